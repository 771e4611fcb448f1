//! What the runner knows, for metrics and for answering "why".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::failure::Outcome;
use crate::spec::Check;
use crate::verdict::State;

/// A probe that starts this much after its deadline counts as late: an order of magnitude above the timer's
/// resolution and the time that a pass of the loop takes.
pub const LATE: Duration = Duration::from_millis(50);

/// [`Snapshot::lag_max`] looks back this far at least and twice as far at most: longer than the usual time
/// between two readings of metrics, so that none is missed, and short enough to forget.
pub const LAG_WINDOW: Duration = Duration::from_secs(60);

/// All checks and the runner's own counts at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Each check that is wanted.
    pub checks: BTreeMap<Arc<Check>, Status>,
    /// Results since the runner's start by the name of the check's kind, checks that are gone included.
    pub results: BTreeMap<&'static str, Results>,
    /// Probes under way.
    pub in_flight: usize,
    /// Probes since the runner's start that started more than [`LATE`] after their deadline.
    pub late: u64,
    /// The longest time by which a probe started after its deadline, lately (see [`LAG_WINDOW`]): the loop's
    /// lag, or the time spent waiting for other probes to end when too many were under way.
    pub lag_max: Duration,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it stands, with its consecutive counts.
    pub state: State,
    /// Since when its verdict stands; when the check began, if the verdict is still unknown.
    pub since: SystemTime,
    /// Its latest result.
    pub last: Option<Last>,
    /// Its results since it began.
    pub results: Results,
}

/// A result and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// What the probe found, or why it failed.
    pub outcome: Outcome,
    /// When it ended.
    pub at: SystemTime,
}

/// Results counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Successes.
    pub ok: u64,
    /// Failures of the target.
    pub failed: u64,
    /// Probes that could not be made on this host.
    pub inconclusive: u64,
}

impl Results {
    /// Counts one more.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(_) => self.ok += 1,
            Err(failure) if failure.is_inconclusive() => self.inconclusive += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// The largest lag of this window and of the one before.
#[derive(Debug, Default)]
pub(super) struct Lag {
    window: u64,
    current: Duration,
    before: Duration,
}

impl Lag {
    /// Records a lag at `now`, the time since the runner's start.
    pub(super) fn record(&mut self, lag: Duration, now: Duration) {
        self.turn(now);
        self.current = self.current.max(lag);
    }

    /// The largest lag lately.
    pub(super) fn max(&mut self, now: Duration) -> Duration {
        self.turn(now);
        self.current.max(self.before)
    }

    fn turn(&mut self, now: Duration) {
        let window = now.as_secs() / LAG_WINDOW.as_secs();
        if window != self.window {
            let follows = window == self.window + 1;
            self.before = if follows { self.current } else { Duration::ZERO };
            self.current = Duration::ZERO;
            self.window = window;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_remembered_for_one_window_and_forgotten_after_two() {
        let mut lag = Lag::default();
        let second = Duration::from_secs(1);
        lag.record(second, second);
        lag.record(second / 2, second * 2);
        assert_eq!(lag.max(LAG_WINDOW - Duration::from_nanos(1)), second);
        assert_eq!(lag.max(LAG_WINDOW), second);
        assert_eq!(lag.max(LAG_WINDOW * 2 - Duration::from_nanos(1)), second);
        assert_eq!(lag.max(LAG_WINDOW * 2), Duration::ZERO);
        lag.record(second, LAG_WINDOW * 2);
        assert_eq!(lag.max(LAG_WINDOW * 9), Duration::ZERO);
    }
}
