//! Brings the kernel's IPVS table to the wanted one, and reports what the kernel has.
//!
//! The table that the kernel has is remembered and kept in step with each operation's result, so that a change
//! costs its own operations and no reading. After any error it counts as unknown and is read again.

mod beside;
mod comparison;
mod kernel;

use super::{Backoff, Mode};
use crate::core::Event;
use crate::core::action::WantedTable;
use crate::core::event::ConnectionCount;
use crate::engine::Inbox;
use crate::metrics::Metrics;
use beside::{Beside, Settled};
use comparison::Ask;
use ipvs::{DaemonRole, Op, ServiceKey, Snapshot, Table, Weight, diff, settled};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use comparison::{Comparison, Repair, Traffic};
pub use kernel::Kernel;

/// The handles by which the engine drives the executor.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<Option<Wanted>>,
    /// How many wanted tables are in the kernel, or were refused by it.
    done: Arc<AtomicU64>,
    read: Arc<Notify>,
    asks: mpsc::Sender<Ask>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts the executor. It reads the kernel's table at once and reports it.
    pub fn spawn(ipvs: Kernel, inbox: Inbox, metrics: Arc<Metrics>, mode: Mode) -> Self {
        let (wanted, wanted_rx) = watch::channel(None);
        let read = Arc::new(Notify::new());
        let done = Arc::new(AtomicU64::new(0));
        let executor = Executor {
            ipvs,
            inbox,
            metrics,
            mode,
            done: Arc::clone(&done),
            have: None,
            reported: None,
            beside: Beside::default(),
            is_first: true,
            in_step: 0,
            backoff: Backoff::new(),
        };
        let (asks, asks_rx) = mpsc::channel(ASKS);
        let task = tokio::spawn(executor.run(wanted_rx, Arc::clone(&read), asks_rx));
        Self { wanted, done, read, asks, task }
    }

    /// Wants this table from now on. `since`: when what it follows from became known.
    pub fn set(&self, table: WantedTable, since: Instant) {
        self.wanted.send_modify(|wanted| {
            let (number, since) = match wanted {
                // One that is not in the kernel yet is older than this one, and is done with it.
                Some(before) if before.number > self.done.load(Ordering::Acquire) => {
                    (before.number + 1, before.since)
                }
                Some(before) => (before.number + 1, since),
                None => (1, since),
            };
            *wanted = Some(Wanted { table, number, since });
        });
    }

    /// Has the kernel read again, repaired and reported.
    pub fn read(&self) {
        self.read.notify_one();
    }

    /// Has the kernel read now and compared with what is wanted, and repaired as far as asked to.
    pub fn compare(&self, repair: Repair, reply: oneshot::Sender<Result<Comparison, String>>) {
        if let Err(refused) = self.asks.try_send(Ask { repair, reply }) {
            let (mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) = refused;
            // Who asked may have gone.
            drop(ask.reply.send(Err("the kernel is being asked by too many already: try again".into())));
        }
    }

    /// Ends the executor where it is: the kernel goes on with what it has.
    pub fn stop(&self) {
        self.task.abort();
    }
}

/// Operations that are handed to the kernel's thread at once. A start of ten thousand services has more than a hundred
/// thousand, and each is there twice while it is handed over.
const CHUNK: usize = 4096;

/// Comparisons that may wait for the kernel; each is a person or a script, and one more is told to try again.
const ASKS: usize = 8;

/// A table that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    table: WantedTable,
    /// Counts the tables that were wanted.
    number: u64,
    /// When the oldest reason for it became known.
    since: Instant,
}

struct Executor {
    done: Arc<AtomicU64>,
    ipvs: Kernel,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    mode: Mode,
    /// The kernel's table, unless it is unknown.
    have: Option<Table>,
    /// What was last reported: our services in the kernel, sync daemons, and refusals.
    reported: Option<(BTreeSet<ServiceKey>, BTreeSet<DaemonRole>, Vec<String>)>,
    beside: Beside,
    is_first: bool,
    /// The number of the wanted table that the kernel was brought to last.
    in_step: u64,
    backoff: Backoff,
}

impl Executor {
    async fn run(
        mut self,
        mut wanted: watch::Receiver<Option<Wanted>>,
        read: Arc<Notify>,
        mut asks: mpsc::Receiver<Ask>,
    ) {
        let mut must_read = true;
        loop {
            let want = wanted.borrow_and_update().clone();
            let done = self.round(want.as_ref(), must_read).await;
            self.metrics.ipvs_reconciled(done.is_ok());
            let pause = match done {
                Ok(()) => {
                    self.backoff.reset();
                    None
                }
                Err(error) => {
                    tracing::error!(%error, "the kernel's IPVS table could not be brought to the wanted state");
                    self.have = None;
                    Some(self.backoff.next())
                }
            };
            // Every branch can be dropped at any point: a watch, a permit, a queue and a timer lose nothing.
            must_read = tokio::select! {
                Some(Ask { repair, reply }) = asks.recv() => {
                    let compared = self.compare(want.as_ref(), repair).await;
                    if compared.is_err() {
                        // What was done of it is not known.
                        self.have = None;
                    }
                    // Who asked may have gone.
                    drop(reply.send(compared.map_err(|error| error.to_string())));
                    false
                }
                changed = wanted.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
                () = read.notified() => true,
                () = sleep_or_wait(pause) => true,
            };
        }
    }

    /// Reads if asked to or if the table is unknown, then brings it to what is wanted.
    async fn round(&mut self, want: Option<&Wanted>, must_read: bool) -> Result<(), Failed> {
        let is_reread = must_read || self.have.is_none();
        if is_reread {
            let mut snapshot = self.ipvs.dump().await?;
            if let Some(want) = want {
                // As a rule it is what is wanted: then it needs no memory of its own.
                snapshot.table = snapshot.table.sharing(&want.table.table);
            }
            self.report_read(&snapshot).await;
            self.have = Some(snapshot.table);
        }
        let (Some(want), Some(have)) = (want, self.have.take()) else { return Ok(()) };
        let Applied { have, mut failures, mut is_new, done } = self.apply(have, &want.table).await?;
        let beside = match self.mode {
            Mode::Live => self.beside.settle(&self.ipvs, &want.table.settings, is_reread).await?,
            Mode::DryRun => Settled::default(),
        };
        is_new |= !beside.done.is_empty();
        failures.extend(beside.failures);
        // What was in step before and is not as it was read was changed by somebody else.
        if is_reread && want.number == self.in_step && !self.mode.is_dry() {
            self.repaired(&done, &beside.done);
        }
        self.in_step = want.number;
        if self.done.swap(want.number, Ordering::AcqRel) < want.number {
            self.metrics.ipvs_programmed(want.since.elapsed());
        }
        let want = &want.table;
        let is_done = failures.is_empty();
        let message = failures.first().cloned();
        // Which services there are is worth telling only when that may have changed: it costs a look at each.
        if is_reread || is_new || !is_done {
            self.report_synced(&have, want, failures).await;
        }
        self.have = is_done.then_some(have);
        match message {
            None => Ok(()),
            Some(first) => Err(Failed::Refused(first)),
        }
    }

    /// Sends what differs.
    async fn apply(&self, mut have: Table, want: &WantedTable) -> Result<Applied, Failed> {
        let ops = diff(&have, &want.table, &want.owned);
        if ops.is_empty() {
            return Ok(Applied { have, failures: Vec::new(), is_new: false, done: Done::default() });
        }
        if self.mode.is_dry() {
            let have = settled(&have, &want.table, &want.owned);
            return Ok(Applied { have, failures: Vec::new(), is_new: true, done: Done::default() });
        }
        let is_new = ops.iter().any(|op| matches!(op, Op::NewService { .. } | Op::DeleteService { .. }));
        let ops = keep_slots(ops, &want.nominal);
        let (failures, refused) = self.send(&ops).await?;
        let done =
            || ops.iter().enumerate().filter(|(number, _)| !refused.contains(number)).map(|(_, op)| op);
        if failures.is_empty() {
            have = settled(&have, &want.table, &want.owned);
        } else {
            done().for_each(|op| have.record(op));
        }
        tracing::debug!(operations = ops.len(), refused = failures.len(), "IPVS programmed");
        let done = Done { count: ops.len() - failures.len(), first: done().next().cloned() };
        Ok(Applied { have, failures, is_new, done })
    }

    /// Sends operations. Gives the refusals in words, and which operations they are about.
    async fn send(&self, ops: &[Op]) -> Result<(Vec<String>, BTreeSet<usize>), Failed> {
        let (mut failures, mut refused) = (Vec::new(), BTreeSet::new());
        for (chunk, first) in ops.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
            let results = self.ipvs.apply(chunk.to_vec()).await?;
            for (number, error) in (first..).zip(results).filter_map(|(n, result)| Some((n, result.err()?))) {
                refused.insert(number);
                failures.push(error.to_string());
            }
        }
        self.metrics.ipvs_operations(ops.len() - failures.len(), failures.len());
        Ok((failures, refused))
    }

    /// Says what others had changed and is right again.
    fn repaired(&self, done: &Done, beside: &[String]) {
        let first = done.first.as_ref().map(ToString::to_string).or_else(|| beside.first().cloned());
        if let Some(first) = first {
            let operations = done.count + beside.len();
            self.metrics.ipvs_repaired(operations);
            tracing::warn!(
                operations,
                first,
                "the kernel's IPVS table was changed by somebody else and has been repaired"
            );
        }
    }

    async fn report_read(&mut self, snapshot: &Snapshot) {
        self.metrics.ipvs_read();
        if self.is_first {
            tracing::info!(services = snapshot.table.len(), "the kernel's IPVS table was read");
            self.is_first = false;
        }
        let leaves = |service: &ServiceKey, destination| {
            snapshot
                .table
                .get(service)
                .and_then(|entry| entry.destinations.get(destination))
                .is_some_and(|destination| destination.weight == Weight::ZERO)
        };
        let connections = snapshot
            .connections
            .iter()
            .filter(|((service, destination), _)| leaves(service, destination))
            .map(|((service, destination), count)| ConnectionCount {
                service: *service,
                destination: *destination,
                connections: u64::from(count.active) + u64::from(count.inactive),
            })
            .filter(|count| count.connections > 0)
            .collect();
        let (table, unsorted) = (snapshot.table.clone(), snapshot.unsorted.keys().copied().collect());
        self.inbox.event(Event::KernelRead { table, connections, unsorted }).await;
    }

    async fn report_synced(&mut self, have: &Table, want: &WantedTable, failures: Vec<String>) {
        let ours = have.keys().filter(|key| is_ours_and_works(key, have, want)).copied().collect();
        let report = (ours, self.beside.daemons(), failures);
        if self.reported.as_ref() != Some(&report) || want.owns_what_is_nowhere(have) {
            self.reported = Some(report.clone());
            let (services, daemons, failures) = report;
            self.inbox.event(Event::KernelSynced { services, daemons, failures }).await;
        }
    }
}

/// Whether it adds a server that gets no connections.
fn adds_weightless(op: &Op) -> bool {
    matches!(op, Op::NewDestination { destination, .. } if destination.weight == Weight::ZERO)
}

/// Whether a service is ours and the kernel has it as it is wanted, its scheduler included: without one it serves
/// nobody. One that is to go counts until it is gone.
fn is_ours_and_works(key: &ServiceKey, have: &Table, want: &WantedTable) -> bool {
    match (have.get(key), want.table.get(key)) {
        (Some(have), Some(want)) => have.service == want.service,
        (Some(_), None) => want.owned.contains(key),
        (None, _) => false,
    }
}

async fn sleep_or_wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Has mh give a server that is down its place in a service that is new, as it has on a balancer that saw it fail. In a
/// service that serves already it would get a connection in between.
fn keep_slots(ops: Vec<Op>, nominal: &Table) -> Vec<Op> {
    let new: BTreeSet<ServiceKey> = ops
        .iter()
        .filter_map(|op| match op {
            Op::NewService { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    ipvs::diff::keep_slots(ops, |service, destination| {
        let entry = nominal.get(service).filter(|_| new.contains(service))?;
        Some(entry.destinations.get(destination)?.weight)
    })
}

/// What came of sending operations.
struct Applied {
    /// The table with what the kernel confirmed.
    have: Table,
    /// The kernel's refusals.
    failures: Vec<String>,
    /// Whether services came or went.
    is_new: bool,
    /// What the kernel confirmed.
    done: Done,
}

/// Operations that the kernel has confirmed.
#[derive(Debug, Default)]
struct Done {
    count: usize,
    first: Option<Op>,
}

/// Why a round did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Netlink(#[from] ipvs::Error),
    #[error("{0}")]
    Refused(String),
}
