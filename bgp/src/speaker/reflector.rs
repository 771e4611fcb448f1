//! What clients are told of one another, kept up to date as their paths and the owner's permits change.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use crate::rib::{LocRib, Permits, Reflected};

/// The least time between two changes: clients that all come up tell thousands of routes one after the other, and each
/// change is looked at by every client's session. A single change is told at once.
const GATHER: Duration = Duration::from_millis(50);

/// The task that decides. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Reflector {
    task: AbortHandle,
    reflected: watch::Receiver<Arc<Reflected>>,
}

impl Reflector {
    /// Starts it. Must be called within a tokio runtime.
    pub(super) fn spawn(permits: watch::Receiver<Permits>, table: watch::Receiver<LocRib>) -> Self {
        let (sender, reflected) = watch::channel(Arc::default());
        let task: JoinHandle<()> = tokio::spawn(run(permits, table, sender));
        Self { task: task.abort_handle(), reflected }
    }

    /// What is passed on.
    pub(super) fn reflected(&self) -> watch::Receiver<Arc<Reflected>> {
        self.reflected.clone()
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut permits: watch::Receiver<Permits>,
    mut table: watch::Receiver<LocRib>,
    reflected: watch::Sender<Arc<Reflected>>,
) {
    loop {
        let (passes, is_new) = {
            let permits = permits.borrow_and_update();
            let now = Reflected::of(&table.borrow_and_update(), &permits);
            let is_new = reflected.send_if_modified(|before| {
                let is_new = **before != now;
                if is_new {
                    *before = Arc::new(now);
                }
                is_new
            });
            (!permits.ways.is_empty(), is_new)
        };
        if is_new {
            tokio::time::sleep(GATHER).await;
        }
        // Both branches can be dropped: what was not looked at is still new the next time. Without permits no path matters.
        let changed = tokio::select! {
            changed = permits.changed() => changed,
            changed = table.changed(), if passes => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
