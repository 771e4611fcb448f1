//! When each check is due: one schedule for all of them.
//!
//! Time is a [`Duration`] since an origin that the caller chooses, so a test may turn the clock by hand.
//!
//! The probes of a check lie on a grid of its own. Its phase comes from a hash of the check and a seed: the
//! checks of one schedule spread evenly over their interval, and another process with another seed probes the
//! same server at other moments. Each probe is moved on its grid by a little jitter, so that nothing periodic
//! in a server can stay in step with it:
//!
//! ```text
//!  origin      slot 0           slot 1           slot 2
//!    ├──phase────┼▒▒──────────────┼▒▒──────────────┼▒▒─────────▶      ▒ jitter: 1/32 of the interval
//!                ├────────────────┤ period: 31/32 of the interval
//! ```
//!
//! Period and jitter together are the interval, so no gap between the starts of two probes is longer than the
//! interval, and `fall` failures in a row take at most `fall × interval + timeout` from the moment a server dies.
//! That holds while probes end before their next slot and the loop is on time. A probe that takes longer is
//! followed by the next at once.
//!
//! A new check does not wait for its grid: its first probe comes within [`FIRST_SPREAD`]. A schedule that runs
//! late never catches up: slots that passed are skipped, and so is one that comes sooner than half a period
//! after the last probe.
//!
//! Who knows of something that speaks against a target may have its check look sooner: at once, but never sooner
//! than half an interval after the probe before. The slot that the check has been waiting for stands all the same,
//! so such a probe is one more, a check makes at most twice as many, and no gap grows.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::spec::{Check, Timing};

/// The time over which the first probes of new checks are spread: short, because a start waits for them, but
/// not zero, so that thousands of new checks are no burst. Never longer than the check's own interval.
pub const FIRST_SPREAD: Duration = Duration::from_millis(200);

/// The part of an interval that jitter may take. Small, because the period shrinks by it.
const JITTER_SHARE: u64 = 32;

/// All deadlines, each check once.
#[derive(Debug)]
pub struct Schedule {
    seed: u64,
    due: BTreeSet<(Duration, Arc<Check>)>,
}

/// The probe of a check that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It was the check's first, which does not lie on the grid.
    First,
    /// It was a later one, started at this time.
    Later(Duration),
    /// It was hastened and started at this time, before the slot that it had waited for.
    Hastened(Duration),
}

impl Schedule {
    /// An empty schedule. Processes that check the same servers should have different seeds.
    pub fn new(seed: u64) -> Self {
        Self { seed, due: BTreeSet::new() }
    }

    /// Enters a new check, whose first probe is due soon after `now`; returns its deadline.
    pub fn begin(&mut self, check: Arc<Check>, now: Duration) -> Duration {
        let deadline = Grid::of(&check, self.seed).first_deadline(now, &check.timing);
        self.due.insert((deadline, check));
        deadline
    }

    /// Enters a check again, after a probe that ended `now`; returns its next deadline.
    pub fn again(&mut self, check: Arc<Check>, probed: Probed, now: Duration) -> Duration {
        let deadline = Grid::of(&check, self.seed).next_deadline(probed, now);
        self.due.insert((deadline, check));
        deadline
    }

    /// Lets a check look sooner that waits for `deadline` since its probe that began at `started`. Returns the new
    /// deadline, unless it is not sooner.
    pub fn hasten(
        &mut self,
        check: &Arc<Check>,
        deadline: Duration,
        started: Duration,
        now: Duration,
    ) -> Option<Duration> {
        let sooner = now.max(started + check.timing.interval() / 2);
        (sooner < deadline).then(|| {
            self.cancel(check, deadline);
            self.due.insert((sooner, Arc::clone(check)));
            sooner
        })
    }

    /// Takes out a check that waits for `deadline`.
    pub fn cancel(&mut self, check: &Arc<Check>, deadline: Duration) {
        self.due.remove(&(deadline, Arc::clone(check)));
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Duration> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the check that has been due longest, if one is due, with its deadline.
    pub fn pop(&mut self, now: Duration) -> Option<(Duration, Arc<Check>)> {
        if self.next()? <= now { self.due.pop_first() } else { None }
    }
}

/// The grid of one check, in nanoseconds since the origin.
struct Grid {
    hash: u64,
    period: u64,
    phase: u64,
    jitter: u64,
}

impl Grid {
    fn of(check: &Check, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, check).hash(&mut hasher);
        let hash = hasher.finish();
        let interval = nanos(check.timing.interval());
        let jitter = interval / JITTER_SHARE;
        let period = interval - jitter;
        Self { hash, period, phase: hash % period, jitter }
    }

    fn first_deadline(&self, now: Duration, timing: &Timing) -> Duration {
        let spread = nanos(timing.interval().min(FIRST_SPREAD));
        now + Duration::from_nanos(self.hash % spread)
    }

    /// The next deadline after a probe that ended `now`: a slot, or at once when the probe took longer.
    fn next_deadline(&self, probed: Probed, now: Duration) -> Duration {
        match probed {
            Probed::First => self.slot_after(now),
            Probed::Later(started) => {
                self.slot_after(started + Duration::from_nanos(self.period / 2)).max(now)
            }
            Probed::Hastened(started) => self.slot_after(started).max(now),
        }
    }

    /// The first slot later than `time`.
    fn slot_after(&self, time: Duration) -> Duration {
        let time = nanos(time);
        // Jitter is shorter than a period, so only the slot of this period and the next one come into question.
        let number = time.saturating_sub(self.phase) / self.period;
        let slot = self.slot(number);
        Duration::from_nanos(if slot > time { slot } else { self.slot(number + 1) })
    }

    fn slot(&self, number: u64) -> u64 {
        self.phase + number * self.period + mix(self.hash ^ number) % self.jitter
    }
}

/// Nanoseconds as an integer; it overflows after 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014):
/// neighbouring numbers come out unrelated.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
