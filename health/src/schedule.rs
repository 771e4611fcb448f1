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
//!    ├──phase────┼▒▒──────────────┼▒▒──────────────┼▒▒─────────▶      ▒ jitter: 1/8 of the interval
//!                ├────────────────┤ period: 7/8 of the interval
//! ```
//!
//! Period and jitter together are the interval, so no gap between the starts of two probes is longer than the
//! interval. That holds while probes end before their next slot and the loop is on time. A probe that takes longer is
//! followed by the next at once.
//!
//! While a verdict is being confirmed there are probes between the slots; the slots stand all the same:
//!
//! ```text
//!            dies
//!     ✓       │   ✗            ✗            ✗  down
//!  ───┼───────┼───┼────────────┼────────────┼───────┼──▶        ✗ timeouts: after the fast interval, or
//!    slot     │  slot       between        slot    slot           as soon as the probe before has ended
//!
//!     ✓       │   ✗✗✗  down
//!  ───┼───────┼───┼┼┼───────────────────────┼───────┼──▶        ✗ refused: CONFIRM_GAP after the one before
//! ```
//!
//! So from the moment a server dies to the verdict it takes at most
//! - `interval + fall × max(fast interval, timeout)` when it is silent (5 s at the defaults),
//! - `interval + fall × (CONFIRM_GAP + round trip)` when it refuses: less than half the interval at the median;
//!
//! and from the moment it is back, `interval + (rise - 1) × fast interval` and what the probes take.
//!
//! A new check does not wait for its grid: its first probe comes within [`FIRST_SPREAD`]. A schedule that runs
//! late never catches up: slots that passed are skipped, and so is one that comes sooner than half a period
//! after a probe at a slot.
//!
//! Who knows of something that speaks against a target may have its check look sooner: at once, but never sooner
//! than half an interval after the probe before. The slot that the check has been waiting for stands all the same,
//! so such a probe is one more, a check makes at most twice as many, and no gap grows.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::spec::Check;

/// The time over which the first probes of new checks are spread: short, because a start waits for them, but
/// not zero, so that thousands of new checks are no burst. Never longer than the check's own interval.
pub const FIRST_SPREAD: Duration = Duration::from_millis(200);

/// The time from a failure that is certain of its moment (see
/// [`Failure::is_conclusive`](crate::Failure::is_conclusive)) to the probe that confirms it: long enough that the same
/// packet storm or full queue does not answer both, and short enough that a closed port is told from a hiccup in a few
/// hundredths of a second.
pub const CONFIRM_GAP: Duration = Duration::from_millis(10);

/// The part of an interval that jitter may take. The period shrinks by it, so more would cost more probes; with this one
/// checks every two seconds meet a closed port 0.9 s after it closed, at the median.
const JITTER_SHARE: u64 = 8;

/// All deadlines, each of a check that its caller calls `K`.
#[derive(Debug)]
pub struct Schedule<K> {
    due: BTreeSet<(Duration, K)>,
}

impl<K: Ord + Copy> Schedule<K> {
    /// An empty schedule.
    pub fn new() -> Self {
        Self { due: BTreeSet::new() }
    }

    /// Enters a check that waits for `deadline`.
    pub fn enter(&mut self, deadline: Deadline, check: K) {
        self.due.insert((deadline.at, check));
    }

    /// Takes out a check that waits for `deadline`.
    pub fn cancel(&mut self, deadline: Deadline, check: K) {
        self.due.remove(&(deadline.at, check));
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Duration> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the check that has been due longest, if one is due.
    pub fn pop(&mut self, now: Duration) -> Option<K> {
        if self.next()? <= now { self.due.pop_first().map(|(_, check)| check) } else { None }
    }
}

impl<K: Ord + Copy> Default for Schedule<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// When a probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Duration,
    /// Why then.
    pub place: Place,
}

/// Where a probe lies on its check's grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before it: the check's first.
    First,
    /// At one of its slots.
    Slot,
    /// Between two, to confirm a verdict or because it was hastened. The slot after it stands.
    Between,
}

/// How soon a check wants to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// After its interval.
    Regular,
    /// After its fast interval: its verdict is being confirmed.
    Confirming,
    /// After [`CONFIRM_GAP`]: its verdict is being confirmed, and its last result was certain of its moment.
    AtOnce,
}

/// The grid of one check, in nanoseconds since the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    hash: u64,
    interval: u64,
    fast_interval: u64,
}

impl Grid {
    /// The grid of `check`. Processes that check the same servers should have different seeds.
    pub fn new(check: &Check, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, check).hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            interval: nanos(check.timing.interval()),
            fast_interval: nanos(check.timing.fast_interval()),
        }
    }

    /// A number that other checks and other seeds do not share.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// When a check that is new `now` is first due.
    pub fn first(&self, now: Duration) -> Deadline {
        let spread = self.interval.min(nanos(FIRST_SPREAD));
        Deadline { at: now + Duration::from_nanos(self.hash % spread), place: Place::First }
    }

    /// When the check is due after a probe that was at `place`, began at `started` and ended `now`.
    pub fn next(&self, place: Place, started: Duration, pace: Pace, now: Duration) -> Deadline {
        let slot = match place {
            Place::First => self.slot_after(now),
            Place::Slot => self.slot_after(started + Duration::from_nanos(self.period() / 2)).max(now),
            Place::Between => self.slot_after(started).max(now),
        };
        let slot = Deadline { at: slot, place: Place::Slot };
        let fast = (started + Duration::from_nanos(self.fast_interval)).max(now);
        match pace {
            Pace::Regular => slot,
            Pace::Confirming => slot.unless_sooner(fast),
            Pace::AtOnce => slot.unless_sooner(fast.min(now + CONFIRM_GAP)),
        }
    }

    /// When a check looks that waits for `deadline` since its probe that began at `started` and is hastened `now`;
    /// none if that is not sooner.
    pub fn hastened(&self, deadline: Deadline, started: Duration, now: Duration) -> Option<Deadline> {
        let sooner = deadline.unless_sooner(now.max(started + Duration::from_nanos(self.interval / 2)));
        (sooner != deadline).then_some(sooner)
    }

    /// The first slot later than `time`.
    fn slot_after(&self, time: Duration) -> Duration {
        let time = nanos(time);
        // Jitter is shorter than a period, so only the slot of this period and the next one come into question.
        let number = time.saturating_sub(self.phase()) / self.period();
        let slot = self.slot(number);
        Duration::from_nanos(if slot > time { slot } else { self.slot(number + 1) })
    }

    fn slot(&self, number: u64) -> u64 {
        self.phase() + number * self.period() + mix(self.hash ^ number) % self.jitter()
    }

    fn phase(&self) -> u64 {
        self.hash % self.period()
    }

    fn period(&self) -> u64 {
        self.interval - self.jitter()
    }

    fn jitter(&self) -> u64 {
        self.interval / JITTER_SHARE
    }
}

impl Deadline {
    fn unless_sooner(self, between: Duration) -> Self {
        if between < self.at { Self { at: between, place: Place::Between } } else { self }
    }
}

/// Nanoseconds as an integer; it overflows after 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014):
/// neighbouring numbers come out unrelated.
pub(crate) fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
