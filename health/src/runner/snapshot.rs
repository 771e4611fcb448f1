//! What the runner knows, for metrics and for answering "why".

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Histogram;
use crate::failure::{Advice, Failure, Outcome};
use crate::spec::{Check, Timing};
use crate::verdict::{Notice, State, Verdict};

/// A probe that starts this much after its deadline counts as late: an order of magnitude above the timer's
/// resolution and the time that a pass of the loop takes.
pub const LATE: Duration = Duration::from_millis(50);

/// [`Snapshot::lag_max`] looks back this far at least and twice as far at most: longer than the usual time
/// between two readings of metrics, so that none is missed, and short enough to forget.
pub const LAG_WINDOW: Duration = Duration::from_secs(60);

/// How many changes of verdict a check remembers: enough to see that a server flaps, and since when, and few enough for
/// tens of thousands of checks.
pub const HISTORY: usize = 8;

/// The bounds of [`Tally::latency`]: from a server on the same segment to the longest timeouts in use.
const LATENCIES: [Duration; 14] = [
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
];

/// The bounds of [`Snapshot::lag`]: from the resolution of the runtime's timers to what no one should see.
pub(super) const LAGS: [Duration; 10] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    LATE,
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// All checks and the runner's own counts at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Each check that is wanted.
    pub checks: BTreeMap<Arc<Check>, Status>,
    /// Results since the runner's start by the name of the check's kind, checks that are gone included.
    pub kinds: BTreeMap<&'static str, Tally>,
    /// Probes under way.
    pub in_flight: usize,
    /// Connections that are kept, and that may be.
    pub kept: Kept,
    /// Probes since the runner's start that started more than [`LATE`] after their deadline.
    pub late: u64,
    /// The times by which probes since the runner's start started after their deadlines.
    pub lag: Histogram,
    /// The longest time by which a probe started after its deadline, lately (see [`LAG_WINDOW`]): the loop's
    /// lag, or the time spent waiting for other probes to end when too many were under way.
    pub lag_max: Duration,
}

/// Kept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Established, or being established.
    pub open: usize,
    /// The most at once.
    pub limit: usize,
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
    /// How often it came to say up since it began.
    pub ups: u64,
    /// How often it came to say down since it began.
    pub downs: u64,
    /// What its target wants, out of all successes since it began (see [`Advice`]).
    pub advice: Advice,
    /// How long its last success took.
    pub latency: Option<Duration>,
    /// When the certificate that its last success saw expires.
    pub certificate_expires: Option<SystemTime>,
    /// Its latest changes of verdict, the oldest first: [`HISTORY`] at most.
    pub history: VecDeque<Transition>,
}

impl Status {
    /// Before the first result.
    pub(super) fn new(now: SystemTime) -> Self {
        Self {
            state: State::NEW,
            since: now,
            last: None,
            results: Results::default(),
            ups: 0,
            downs: 0,
            advice: Advice::default(),
            latency: None,
            certificate_expires: None,
            history: VecDeque::new(),
        }
    }

    /// Takes a result in; returns whether that is worth telling.
    pub(super) fn take_in(&mut self, timing: &Timing, outcome: &Outcome, at: SystemTime) -> bool {
        let (state, notice) = self.state.after(outcome, timing);
        self.state = state;
        if notice == Notice::Transition {
            self.since = at;
            match state.verdict() {
                Verdict::Up => self.ups += 1,
                Verdict::Down => self.downs += 1,
                Verdict::Unknown => {}
            }
            self.remember(outcome, at);
        }
        let before = self.advice;
        if let Ok(found) = outcome {
            self.latency = Some(found.latency);
            self.certificate_expires = found.certificate_expires;
            self.advice = before.then(found.advice.unwrap_or_default());
        }
        self.results.count(outcome);
        self.last = Some(Last { outcome: outcome.clone(), at });
        notice != Notice::Nothing || self.advice != before
    }

    fn remember(&mut self, outcome: &Outcome, at: SystemTime) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let failure = outcome.as_ref().err().map(|failure| failure.to_string().into());
        self.history.push_back(Transition { verdict: self.state.verdict(), at, failure });
    }
}

/// A change of verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The verdict since then.
    pub verdict: Verdict,
    /// When the probe ended that decided it.
    pub at: SystemTime,
    /// In what words it failed, if it did.
    pub failure: Option<Box<str>>,
}

/// A result and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// What the probe found, or why it failed.
    pub outcome: Outcome,
    /// When it ended.
    pub at: SystemTime,
}

/// The results of all checks of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub results: Results,
    /// The failures among them, inconclusive ones included, by class (see [`Failure::class`]).
    pub failures: BTreeMap<&'static str, u64>,
    /// How long the successes took.
    pub latency: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self { results: Results::default(), failures: BTreeMap::new(), latency: Histogram::new(&LATENCIES) }
    }
}

impl Tally {
    /// Counts one more.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.results.count(outcome);
        match outcome {
            Ok(found) => self.latency.record(found.latency),
            Err(failure) => *self.failures.entry(Failure::class(failure)).or_default() += 1,
        }
    }
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
    /// All of them.
    pub fn total(&self) -> u64 {
        self.ok + self.failed + self.inconclusive
    }

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
    use crate::failure::{Found, Mode};

    const SECOND: Duration = Duration::from_secs(1);

    fn advising(advice: Advice) -> Outcome {
        Ok(Found { advice: Some(advice), ..Found::default() })
    }

    /// A status and its timing, up at once and down at once.
    fn status() -> (Status, Timing) {
        (Status::new(SystemTime::UNIX_EPOCH), Timing::new(SECOND, SECOND, 1, 1).expect("a timing"))
    }

    #[test]
    fn advice_is_told_when_it_changes_and_what_was_not_spoken_of_still_holds() {
        let (mut status, timing) = status();
        let half = Advice { percent: Some(50), mode: None };
        let drain = Advice { percent: None, mode: Some(Mode::Drain) };
        let mut told = |outcome| status.take_in(&timing, &outcome, SystemTime::UNIX_EPOCH);
        assert!(told(advising(half)), "the first result");
        assert!(!told(advising(half)));
        assert!(told(advising(drain)));
        assert!(!told(Ok(Found::default())));
        assert!(told(Err(Failure::Refused)), "down");
        assert!(!told(Err(Failure::Refused)));
        assert_eq!(status.advice, Advice { percent: Some(50), mode: Some(Mode::Drain) });
    }

    #[test]
    fn the_latest_changes_of_verdict_are_remembered_with_their_words() {
        let (mut status, timing) = status();
        let at = |number| SystemTime::UNIX_EPOCH + SECOND * number;
        for number in 0..HISTORY as u32 * 2 {
            let outcome = if number % 2 == 0 { Err(Failure::Refused) } else { Ok(Found::default()) };
            status.take_in(&timing, &outcome, at(number * 2));
            status.take_in(&timing, &outcome, at(number * 2 + 1));
        }
        assert_eq!(status.history.len(), HISTORY);
        let (before, last) = (&status.history[HISTORY - 2], &status.history[HISTORY - 1]);
        let refused = Some("connection refused".into());
        assert_eq!(*before, Transition { verdict: Verdict::Down, at: at(28), failure: refused });
        assert_eq!(*last, Transition { verdict: Verdict::Up, at: at(30), failure: None });
        assert_eq!(status.since, at(30));
    }

    #[test]
    fn results_are_counted_by_class_and_latency() {
        let mut tally = Tally::default();
        tally.count(&Err(Failure::Refused));
        tally.count(&Err(Failure::Refused));
        tally.count(&Err(Failure::Local { error: "no sockets".to_owned() }));
        tally.count(&Ok(Found { latency: SECOND, ..Found::default() }));
        assert_eq!(tally.results, Results { ok: 1, failed: 2, inconclusive: 1 });
        assert_eq!(tally.failures, BTreeMap::from([("refused", 2), ("local", 1)]));
        assert_eq!((tally.latency.count(), tally.latency.sum()), (1, SECOND));
    }

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
