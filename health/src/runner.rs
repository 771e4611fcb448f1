//! The runner: all wanted checks on one schedule, in one task.
//!
//! The task owns every state. It is handed whole sets of checks, never changes to them: checks that stay keep
//! their state and their deadlines, others stop or start.
//!
//! A connection that is kept ([`Kind::Idle`](crate::Kind::Idle)) has a task of its own, which this one owns too.
//! When one breaks, or a target that was up refuses a check, the other checks of that target look sooner.
//!
//! Bounds: probes under way by [`Options::max_in_flight`], kept connections by [`Options::max_kept`], reports by [`REPORTS`]. When the reader of reports
//! is slow the runner stops probing until there is room; it loses no transition.

mod histogram;
mod keeper;
mod snapshot;
mod task;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::failure::{Advice, Outcome};
use crate::probe::{OwnSockets, Sockets};
use crate::spec::Check;
use crate::verdict::Verdict;

pub use histogram::Histogram;
pub use snapshot::{HISTORY, Kept, LAG_WINDOW, LATE, Last, Results, Snapshot, Status, Tally, Transition};

/// Probes under way at once unless the options say otherwise. Each holds a file descriptor, two when its server is
/// slow to answer, and a process starts with a limit of 1024 of them: half of that leaves room for all else. Who raises
/// the limit may raise this; a host whose servers are all silent needs one for each check and second of timeout per
/// interval.
pub const DEFAULT_MAX_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

/// Connections kept at once by checks of the kind [`Kind::Idle`](crate::Kind::Idle) unless the options say otherwise: a
/// quarter of the file descriptors that a process starts with. Each holds one for good.
pub const DEFAULT_MAX_KEPT: usize = 256;

/// Reports that wait for their reader: room for a burst in which all servers of a large pool change at once.
pub const REPORTS: usize = 1024;

/// Questions that wait for the task: more than that many askers at once wait for room.
const QUESTIONS: usize = 16;

/// Requests to look at once that wait for the task: more come only when it is far behind, and then they would be
/// too late.
const HASTES: usize = 64;

/// How a runner is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Moves the phases of all checks. Should differ between processes and between starts.
    pub seed: u64,
    /// The most probes at once, each with one socket or two.
    pub max_in_flight: NonZeroUsize,
    /// The most connections kept at once. A check beyond that is inconclusive, in words that say so.
    pub max_kept: usize,
    /// Where all sockets come from.
    pub sockets: Arc<dyn Sockets>,
}

impl Options {
    /// The given seed, [`DEFAULT_MAX_IN_FLIGHT`], [`DEFAULT_MAX_KEPT`] and the process' [own sockets](OwnSockets).
    pub fn new(seed: u64) -> Self {
        let (max_in_flight, max_kept) = (DEFAULT_MAX_IN_FLIGHT, DEFAULT_MAX_KEPT);
        Self { seed, max_in_flight, max_kept, sockets: Arc::new(OwnSockets) }
    }
}

/// A result that is worth telling: a change of verdict or of advice, or the first result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The check.
    pub check: Arc<Check>,
    /// Its verdict after this result.
    pub verdict: Verdict,
    /// Whether this result changed the verdict. If not, it is the check's first one and the verdict is still
    /// unknown, or it changed the advice.
    pub changed: bool,
    /// What the target wants, out of all successes of the check.
    pub advice: Advice,
    /// The result: what the probe found, or why it failed.
    pub outcome: Outcome,
    /// When the probe ended.
    pub at: SystemTime,
}

/// The runner's task has ended: it was stopped, or the receiver of its reports was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the runner of health checks has stopped: start a new one")]
pub struct Stopped;

/// Runs the wanted checks. Owns its task: dropping it ends the task and all probes under way.
#[derive(Debug)]
pub struct Runner {
    wanted: watch::Sender<Arc<BTreeSet<Arc<Check>>>>,
    hastes: mpsc::Sender<BTreeSet<Arc<Check>>>,
    questions: mpsc::Sender<oneshot::Sender<Snapshot>>,
    task: JoinHandle<()>,
}

impl Runner {
    /// Starts a runner that wants nothing yet. Its reports come out of the receiver; when that is dropped the
    /// runner stops.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn spawn(options: Options) -> (Self, mpsc::Receiver<Report>) {
        let (wanted, wanted_rx) = watch::channel(Arc::default());
        let (hastes, hastes_rx) = mpsc::channel(HASTES);
        let (questions, questions_rx) = mpsc::channel(QUESTIONS);
        let (reports, reports_rx) = mpsc::channel(REPORTS);
        let task = tokio::spawn(task::run(options, (wanted_rx, hastes_rx, questions_rx), reports));
        (Self { wanted, hastes, questions, task }, reports_rx)
    }

    /// Wants exactly these checks from now on. Unchanged checks keep their state; others stop, and are not
    /// reported any more once a later [`snapshot`](Self::snapshot) has been answered; new ones start. A report
    /// that was in the channel before stays there, so the reader passes over checks that it no longer wants.
    ///
    /// Of several sets in quick succession only the last may be seen; it is the whole truth.
    pub fn set(&self, checks: BTreeSet<Arc<Check>>) {
        self.wanted.send_replace(Arc::new(checks));
    }

    /// Lets these checks look at once, as something speaks against their targets: a word from elsewhere moves no
    /// verdict, but it is a reason to look. A check looks no sooner than half an interval after its last probe
    /// began; its later probes come when they would have come anyway. Checks that are not wanted are passed over.
    ///
    /// When the task is far behind, the request is dropped: the checks look in their own time.
    pub fn hasten(&self, checks: BTreeSet<Arc<Check>>) {
        drop(self.hastes.try_send(checks));
    }

    /// All states and counts, with every earlier [`set`](Self::set) obeyed. Cancel-safe.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        let (answer, snapshot) = oneshot::channel();
        self.questions.send(answer).await.map_err(|_| Stopped)?;
        snapshot.await.map_err(|_| Stopped)
    }

    /// Stops all checks and waits until their task has ended.
    pub async fn stop(mut self) {
        self.task.abort();
        // An error says that the task was cancelled, as wanted, or has panicked, as the panic hook has said.
        drop((&mut self.task).await);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
