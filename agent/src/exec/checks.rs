//! Runs the wanted checks and reports what they say.

use super::probes;
use crate::core::Event;
use crate::core::view::ProbesView;
use crate::engine::Inbox;
use health::runner::DEFAULT_MAX_IN_FLIGHT;
use health::{Check, Options, Report, Runner, Snapshot};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::watch;

/// The runner and the task that forwards its reports.
#[derive(Debug)]
pub struct Handle {
    runner: Arc<Runner>,
    forwarder: tokio::task::JoinHandle<()>,
    probes: Option<probes::Handle>,
}

impl Handle {
    /// Starts a runner; `seed` moves the phases of its checks. Those that go through a server need `probes`.
    pub fn spawn(seed: u64, inbox: Inbox, probes: Option<probes::Handle>) -> Self {
        let sockets = probes::sockets(probes.as_ref());
        let (runner, mut reports) = Runner::spawn(Options { sockets, ..options(seed) });
        let forwarder = tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let Report { check, verdict, advice, outcome, .. } = report;
                let failure = outcome.err().map(|failure| failure.to_string());
                inbox.event(Event::Checked { check, verdict, failure, advice }).await;
            }
        });
        Self { runner: Arc::new(runner), forwarder, probes }
    }

    /// Runs exactly these from now on.
    pub fn set(&self, checks: BTreeSet<Arc<Check>>) {
        // The way first: a check without one would say so.
        if let Some(probes) = &self.probes {
            probes.set(checks.iter().map(Arc::as_ref));
        }
        self.runner.set(checks);
    }

    /// Lets these look at once.
    pub fn hasten(&self, checks: BTreeSet<Arc<Check>>) {
        self.runner.hasten(checks);
    }

    /// For those who only want to look.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::downgrade(&self.runner))
    }

    /// How the probe namespace stands, where one is configured.
    pub fn probes(&self) -> Option<watch::Receiver<ProbesView>> {
        self.probes.as_ref().map(probes::Handle::view)
    }

    /// Ends all checks.
    pub fn stop(&self) {
        self.probes.iter().for_each(probes::Handle::stop);
        self.runner.set(BTreeSet::new());
        self.forwarder.abort();
    }
}

/// Of the descriptors that the process may have, probes get a quarter, as one that hears nothing takes two, and kept
/// connections another, so that sessions, sockets and files always find theirs. The soft limit is raised to the hard one
/// first, which needs no privilege.
fn options(seed: u64) -> Options {
    let limit = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard).or(Ok(soft)));
    let quarter = usize::try_from(limit.unwrap_or_default()).unwrap_or(usize::MAX) / 4;
    let max_in_flight = NonZeroUsize::new(quarter.min(MAX_IN_FLIGHT)).unwrap_or(DEFAULT_MAX_IN_FLIGHT);
    Options { max_in_flight, max_kept: quarter, ..Options::new(seed) }
}

/// The most probes at once whatever the limit: as many as 10,000 silent servers need at the default timing.
const MAX_IN_FLIGHT: usize = 8192;

/// Reads the runner's states and counts.
#[derive(Clone, Debug)]
pub struct Watcher(std::sync::Weak<Runner>);

impl Watcher {
    /// All states and counts; none once the runner has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.0.upgrade()?.snapshot().await.ok()
    }
}
