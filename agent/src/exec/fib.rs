//! Has exactly the wanted routes in a table of lvsd's own, and the rule by which the kernel uses it.
//!
//! What the kernel has is remembered, so that a change costs its own write. It is read at start, when the engine asks for
//! it, after an error, and when the kernel tells that somebody else changed it, or links, or the main table; then it is
//! repaired. Before the first routes are wanted nothing is written: what an earlier process left goes on. A stop leaves
//! everything in place.
//!
//! Reading order: this file, `kernel`, `messages` (pure), `socket`, `monitor`.

mod kernel;
mod messages;
mod monitor;
mod socket;

use super::Backoff;
use crate::core::Event;
use crate::engine::Inbox;
use crate::fib::{FibRoute, Hop, Op, Plan, Refusal, Report, Routes, Settings, Table, Ways, plan};
use crate::metrics::Metrics;
use bgp::Prefix;
use kernel::{Kernel, Reading};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long changes of others may go on before the kernel is read: an interface that comes up tells of a dozen at once.
const SETTLE: Duration = Duration::from_millis(100);

/// A reading that others' changes led to is followed by so many times its own length of rest: a router with a million
/// routes must not keep a processor busy here.
const REST: u32 = 9;

/// Writes that are handed over at once; after each it is seen whether other routes are wanted by now.
const CHUNK: usize = 4096;

/// The handles by which the engine drives the executor.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<Option<Arc<Routes>>>,
    read: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Handle {
    /// Starts the executor. It reads the kernel at once, and reports what it has and what an earlier process left.
    pub fn spawn(settings: Settings, inbox: Inbox, metrics: Arc<Metrics>) -> Self {
        let (wanted, wanted_rx) = watch::channel(None);
        let (read, changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let port = Arc::new(AtomicU32::new(0));
        let executor = Executor {
            settings,
            kernel: Kernel::new(settings, Arc::clone(&port)),
            inbox,
            metrics,
            have: None,
            in_step: None,
            reported: None,
            backoff: Backoff::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(monitor::run(settings, port, Arc::clone(&changed)));
        tasks.spawn(executor.run(wanted_rx, Arc::clone(&read), changed));
        Self { wanted, read, tasks }
    }

    /// Wants exactly these routes from now on. When there are none the rule goes as well.
    pub fn set(&self, routes: BTreeMap<Prefix, FibRoute>) {
        self.wanted.send_replace(Some(Arc::new(routes)));
    }

    /// Has the kernel read again and repaired.
    pub fn read(&self) {
        self.read.notify_one();
    }

    /// Ends the executor where it is: routes and rule stay.
    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

struct Executor {
    settings: Settings,
    kernel: Kernel,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    /// What the kernel has, unless it is unknown.
    have: Option<Reading>,
    /// The routes and the ways that the kernel was brought in step with last.
    in_step: Option<(Arc<Routes>, Arc<Ways>)>,
    reported: Option<Report>,
    backoff: Backoff,
}

/// What became of the routes.
#[derive(Default)]
struct Applied {
    refused: BTreeMap<Prefix, String>,
    /// The kernel has refused something: it is read again.
    is_unsure: bool,
    done: usize,
    first: Option<Op>,
}

impl Executor {
    async fn run(
        mut self,
        mut wanted: watch::Receiver<Option<Arc<Routes>>>,
        read: Arc<Notify>,
        changed: Arc<Notify>,
    ) {
        let mut due: Option<Instant> = None;
        let mut rested = Instant::now();
        let mut must_read = true;
        loop {
            let want = wanted.borrow_and_update().clone();
            let begin = Instant::now();
            let retry = self.round(want, must_read).await.map(|pause| Instant::now() + pause);
            if must_read {
                due = None;
                rested = Instant::now() + begin.elapsed() * REST;
            }
            must_read = loop {
                // Every branch can be dropped at any point: a watch, permits and timers lose nothing.
                tokio::select! {
                    changed = wanted.changed() => match changed {
                        Ok(()) => break false,
                        Err(_) => return,
                    },
                    () = read.notified() => break true,
                    () = changed.notified() => {
                        due.get_or_insert_with(|| rested.max(Instant::now() + SETTLE));
                    }
                    () = until(due) => break true,
                    () = until(retry) => break true,
                }
            };
        }
    }

    /// Reads if asked to or if what the kernel has is unknown, then brings it to what is wanted. Gives when to try again
    /// if that did not succeed.
    async fn round(&mut self, want: Option<Arc<Routes>>, must_read: bool) -> Option<Duration> {
        let is_reread = must_read || self.have.is_none();
        let mut report = self.reported.clone().unwrap_or_default();
        report.left = Routes::new();
        let outcome = self.bring(want, is_reread, &mut report).await;
        let is_done = match outcome {
            Ok(()) => report.failures.is_empty() && report.refused.is_empty(),
            // Who hears of the kernel for the first time is to hear what is in it.
            Err(error) if self.reported.is_none() => {
                tracing::error!(%error, "the routes to nodes could not be read");
                return Some(self.backoff.next());
            }
            Err(error) => {
                self.have = None;
                report.failures = vec![error.to_string()];
                false
            }
        };
        let is_to_retry = !is_done && self.have.is_none();
        self.report(report).await;
        if is_to_retry {
            return Some(self.backoff.next());
        }
        self.backoff.reset();
        None
    }

    async fn bring(
        &mut self,
        want: Option<Arc<Routes>>,
        is_reread: bool,
        report: &mut Report,
    ) -> Result<(), socket::Error> {
        let mut have = match self.have.take() {
            Some(have) if !is_reread => have,
            _ => {
                self.metrics.fib_read();
                self.kernel.read().await?
            }
        };
        report.failures.clear();
        if self.reported.is_none() {
            report.left = left(&have.table);
        }
        if let Some(want) = want {
            let in_step = self.in_step.take();
            let applied = self.apply(&mut have, &want).await?;
            // What was in step and is not as it was read was changed by somebody else.
            if is_reread && in_step.is_some_and(|(routes, ways)| routes == want && ways == have.ways) {
                self.repaired(&applied);
            }
            let is_used = !want.is_empty() || !have.table.ours.is_empty();
            report.failures = self.kernel.set_rule(&mut have, is_used).await?;
            report.refused = applied.refused;
            self.in_step = Some((want, Arc::clone(&have.ways)));
            report.installed = have.table.ours.len();
            report.foreign = have.table.foreign.len();
            let is_sure = !applied.is_unsure && report.failures.is_empty();
            self.have = is_sure.then_some(have);
            return Ok(());
        }
        report.installed = have.table.ours.len();
        report.foreign = have.table.foreign.len();
        self.have = Some(have);
        Ok(())
    }

    /// Writes what differs.
    async fn apply(&mut self, have: &mut Reading, want: &Routes) -> Result<Applied, socket::Error> {
        let mut applied = Applied::default();
        let hops = self.hops(&have.ways, want, &mut applied.refused);
        let Plan { ops, taken } = plan(&have.table, &hops, self.settings.metric);
        for prefix in taken {
            let table = self.settings.table.get();
            applied.refused.insert(prefix, format!("table {table} has a route of somebody else's for it"));
        }
        for chunk in ops.chunks(CHUNK) {
            let results = self.kernel.write(chunk).await?;
            for (op, result) in chunk.iter().zip(results) {
                match result {
                    Ok(()) => {
                        have.table.record(op, self.settings.metric);
                        applied.done += 1;
                        applied.first.get_or_insert(*op);
                    }
                    Err(refused) => {
                        applied.is_unsure = true;
                        applied.refused.insert(op.prefix(), format!("the kernel refused to {op}: {refused}"));
                    }
                }
            }
        }
        if !ops.is_empty() {
            self.metrics.fib_operations(applied.done, ops.len() - applied.done);
            tracing::debug!(operations = ops.len(), done = applied.done, "routes written");
        }
        Ok(applied)
    }

    /// Where the packets of each wanted route go; those that go nowhere are refused.
    fn hops(
        &self,
        ways: &Ways,
        want: &Routes,
        refused: &mut BTreeMap<Prefix, String>,
    ) -> BTreeMap<Prefix, Hop> {
        let mut known: BTreeMap<(bgp::Family, IpAddr), Result<Hop, Refusal>> = BTreeMap::new();
        let mut hops = BTreeMap::new();
        for (prefix, route) in want {
            // Nodes are far fewer than their routes.
            let hop = known
                .entry((prefix.family(), route.next_hop))
                .or_insert_with(|| ways.hop(*prefix, route.next_hop, self.settings.off_link));
            match hop {
                Ok(hop) => drop(hops.insert(*prefix, *hop)),
                Err(refusal) => drop(refused.insert(*prefix, refusal.to_string())),
            }
        }
        hops
    }

    /// Says what others had changed and is right again.
    fn repaired(&self, applied: &Applied) {
        if let Some(first) = &applied.first {
            self.metrics.fib_repaired(applied.done);
            tracing::warn!(
                operations = applied.done,
                %first,
                "the routes to nodes were changed by somebody else and have been repaired"
            );
        }
    }

    /// Reports what is new.
    async fn report(&mut self, report: Report) {
        self.metrics.fib_routes(&report);
        if self.reported.as_ref() == Some(&report) {
            return;
        }
        let before =
            self.reported.replace(Report { left: Routes::new(), ..report.clone() }).unwrap_or_default();
        if before.failures != report.failures {
            report
                .failures
                .iter()
                .for_each(|error| tracing::error!(error, "routes to nodes are not in order"));
        }
        if before.refused != report.refused {
            match report.refused.iter().next() {
                Some((prefix, reason)) => {
                    let count = report.refused.len();
                    tracing::warn!(count, first = %prefix, reason, "routes to nodes are not in the kernel");
                }
                None => tracing::info!("every wanted route to nodes is in the kernel again"),
            }
        }
        self.inbox.event(Event::FibSynced(report)).await;
    }
}

/// Routes of ours in the kernel, as they would be wanted.
fn left(table: &Table) -> Routes {
    let ours = table.ours.iter();
    ours.filter_map(|(key, hop)| Some((key.prefix, FibRoute { next_hop: (*hop)?.gateway }))).collect()
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
