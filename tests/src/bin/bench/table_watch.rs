//! A watch on the kernel's IPVS table: every change of a weight, and when it was first seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::Host;
use lab::site::LIMIT;
use lab::table;

use crate::clock::Moment;
use lab::measure::priority::{self, Rank};

/// Between two looks; with the look itself the table is seen about five times a millisecond.
const PAUSE: Duration = Duration::from_micros(150);

/// A look that is later than this, in milliseconds, was held up: nothing in the lab's kernel goes before the watch.
const STALL: f64 = 1.0;

/// More than the table of two services with three servers is long. The kernel gives a page at most for one read.
const LONGEST: usize = 4096;

/// A weight that is not what it was at the look before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The end of the look that saw it: the kernel had it by then.
    pub(crate) at: Moment,
    /// The look before, which did not see it.
    pub(crate) before: Moment,
    /// Whose weight.
    pub(crate) server: IpAddr,
    /// What it is now.
    pub(crate) weight: u32,
}

#[derive(Debug, Default)]
struct Shared {
    changes: Mutex<Vec<Change>>,
    /// Looks that were late, as beginning and end of the time without one.
    stalls: Mutex<Vec<(Moment, Moment)>>,
    changed: Condvar,
    is_over: AtomicBool,
}

/// The watch. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct TableWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl TableWatch {
    /// Watches the table of `host`. A server is expected in one service of its family only.
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (host, its) = (host.clone(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("table".into());
        let thread = thread.spawn(move || host.enter(|| look(&its))?)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How many changes there were so far.
    pub(crate) fn mark(&self) -> usize {
        self.changes().len()
    }

    /// The first changes to `weight` of each of `servers` after a mark; waits for them.
    pub(crate) fn wait(&self, mark: usize, servers: &[IpAddr], weight: u32) -> Result<Vec<Change>> {
        let of = |changes: &[Change], server: IpAddr| {
            changes[mark..].iter().find(|change| change.server == server && change.weight == weight).copied()
        };
        let all = |changes: &[Change]| -> Option<Vec<Change>> {
            servers.iter().map(|server| of(changes, *server)).collect()
        };
        let missing = |changes: &mut Vec<Change>| all(changes).is_none();
        let waited = self.shared.changed.wait_timeout_while(self.changes(), LIMIT, missing);
        let (changes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        all(&changes).with_context(|| format!("{servers:?} did not come to weight {weight}"))
    }

    /// How long, between two moments, nobody could look: the whole kernel stood still, for its processor was taken
    /// away by the machine that it runs on or it waited for that machine's disk; milliseconds.
    pub(crate) fn stalled(&self, from: Moment, to: Moment) -> f64 {
        let stalls = self.shared.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |(begin, end): &(Moment, Moment)| (*end).min(to).since((*begin).max(from)).max(0.0);
        stalls.iter().map(within).sum()
    }

    fn changes(&self) -> MutexGuard<'_, Vec<Change>> {
        self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TableWatch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever waited for a change has been told of a failure already.
            let _ = thread.join();
        }
    }
}

fn look(shared: &Shared) -> Result<()> {
    // Looks are on time, whoever else wants the processor; they need it for a small part of the time only.
    priority::put_first(nix::unistd::gettid().as_raw(), Rank::Watch)?;
    let mut table = OpenTable::new()?;
    let mut known = table.weights()?.unwrap_or_default();
    let mut before = Moment::now();
    while !shared.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let now = table.weights()?;
        let at = Moment::now();
        if at.since(before) > STALL {
            shared.stalls.lock().unwrap_or_else(PoisonError::into_inner).push((before, at));
        }
        if let Some(now) = now {
            let is_new = |server: &IpAddr, weight: &u32| known.get(server) != Some(weight);
            let changes = now.iter().filter(|(server, weight)| is_new(server, weight));
            let changes =
                changes.map(|(server, weight)| Change { at, before, server: *server, weight: *weight });
            shared.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
            shared.changed.notify_all();
            known = now;
        }
        before = at;
    }
    Ok(())
}

/// The table's file, opened once: a look is one system call, and what has not changed is not read.
struct OpenTable {
    file: File,
    text: Vec<u8>,
    known: Vec<u8>,
}

impl OpenTable {
    fn new() -> Result<Self> {
        // /proc/net belongs to the process, this to the thread.
        let file = File::open("/proc/thread-self/net/ip_vs").context("the kernel's IPVS table")?;
        Ok(Self { file, text: vec![0; LONGEST], known: Vec::new() })
    }

    /// Each server's weight; none when the table has not changed.
    fn weights(&mut self) -> Result<Option<BTreeMap<IpAddr, u32>>> {
        let length = self.file.read_at(&mut self.text, 0).context("read the kernel's IPVS table")?;
        ensure!(length < LONGEST, "the IPVS table is longer than {LONGEST} bytes");
        let text = &self.text[..length];
        if text == self.known {
            return Ok(None);
        }
        self.known = text.to_vec();
        let table = table::parse(&String::from_utf8_lossy(text))?;
        Ok(Some(table.values().flatten().map(|(server, entry)| (server.ip(), entry.weight)).collect()))
    }
}
