//! Runs the wanted checks and reports what they say.

use crate::core::Event;
use crate::engine::Inbox;
use health::{Check, Options, Runner, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The runner and the task that forwards its reports.
#[derive(Debug)]
pub struct Handle {
    runner: Arc<Runner>,
    forwarder: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts a runner; `seed` moves the phases of its checks.
    pub fn spawn(seed: u64, inbox: Inbox) -> Self {
        let (runner, mut reports) = Runner::spawn(Options::new(seed));
        let forwarder = tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let failure = report.outcome.err().map(|failure| failure.to_string());
                inbox.event(Event::Checked { check: report.check, verdict: report.verdict, failure }).await;
            }
        });
        Self { runner: Arc::new(runner), forwarder }
    }

    /// Runs exactly these from now on.
    pub fn set(&self, checks: BTreeSet<Arc<Check>>) {
        self.runner.set(checks);
    }

    /// For those who only want to look.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::downgrade(&self.runner))
    }

    /// Ends all checks.
    pub fn stop(&self) {
        self.runner.set(BTreeSet::new());
        self.forwarder.abort();
    }
}

/// Reads the runner's states and counts.
#[derive(Clone, Debug)]
pub struct Watcher(std::sync::Weak<Runner>);

impl Watcher {
    /// All states and counts; none once the runner has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.0.upgrade()?.snapshot().await.ok()
    }
}
