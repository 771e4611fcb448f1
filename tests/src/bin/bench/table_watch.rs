//! A watch on the kernel's IPVS table: every change of a weight, and when it was first seen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::host::Host;
use lab::site::LIMIT;
use lab::table;

use crate::clock::Moment;

/// Between two looks. A look takes some 50 µs, so the table is seen about five times a millisecond.
const PAUSE: Duration = Duration::from_micros(100);

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
    pub(crate) fn start(host: &Host) -> Self {
        let shared = Arc::new(Shared::default());
        let (host, its) = (host.clone(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || host.enter(|| look(&its))?);
        Self { shared, thread: Some(thread) }
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
    let mut known = weights()?;
    let mut before = Moment::now();
    while !shared.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let now = weights()?;
        let at = Moment::now();
        if now != known {
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

fn weights() -> Result<BTreeMap<IpAddr, u32>> {
    let table = table::here()?;
    Ok(table.values().flatten().map(|(server, destination)| (server.ip(), destination.weight)).collect())
}
