//! Timing of a check.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SpecError;

/// The shortest interval or timeout: the resolution of the runtime's timers.
pub const MIN_PERIOD: Duration = Duration::from_millis(1);

/// The longest interval or timeout: a check that runs more rarely than once a day checks nothing, and sums of
/// such periods stay far from overflow.
pub const MAX_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// The time from one probe to the next while a verdict is being confirmed, unless a timing says otherwise: so short
/// that confirming takes seconds whatever the interval is, and long enough that a server that is in trouble is asked
/// no more often than by an impatient person. Never longer than the interval.
pub const FAST_INTERVAL: Duration = Duration::from_secs(1);

/// How often a check runs, how long one probe may take, and how many answers make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Timing {
    interval: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
    fast_interval: Duration,
}

/// The same as read from outside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    interval: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
    fast_interval: Option<Duration>,
}

impl Timing {
    /// A timing, checked, whose fast interval is [`FAST_INTERVAL`] or the interval if that is shorter. The timeout may
    /// be longer than the interval: a check never has two probes under way, so its next one then waits.
    ///
    /// # Errors
    /// [`SpecError::Period`] when the interval or the timeout is not within [`MIN_PERIOD`]..=[`MAX_PERIOD`],
    /// [`SpecError::Count`] when `fall` or `rise` is zero.
    pub fn new(interval: Duration, timeout: Duration, fall: u32, rise: u32) -> Result<Self, SpecError> {
        for (what, found) in [("interval", interval), ("timeout", timeout)] {
            if !(MIN_PERIOD..=MAX_PERIOD).contains(&found) {
                return Err(SpecError::Period { what, found });
            }
        }
        for (what, found) in [("fall", fall), ("rise", rise)] {
            if found == 0 {
                return Err(SpecError::Count { what });
            }
        }
        Ok(Self { interval, timeout, fall, rise, fast_interval: interval.min(FAST_INTERVAL) })
    }

    /// The same with another fast interval; the interval itself makes confirming no faster.
    ///
    /// # Errors
    /// [`SpecError::FastInterval`] when it is not within [`MIN_PERIOD`] and the interval.
    pub fn with_fast_interval(self, fast_interval: Duration) -> Result<Self, SpecError> {
        if (MIN_PERIOD..=self.interval).contains(&fast_interval) {
            Ok(Self { fast_interval, ..self })
        } else {
            Err(SpecError::FastInterval { interval: self.interval, found: fast_interval })
        }
    }

    /// The same with a verdict by every result.
    pub(crate) fn at_once(self) -> Self {
        Self { fall: 1, rise: 1, ..self }
    }

    /// The longest time from the start of one probe to the start of the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The longest time that one probe may take, from its first packet to its verdict.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The longest time from the start of one probe to the start of the next while a verdict is being confirmed: the
    /// last result spoke against it, and more are needed.
    pub fn fast_interval(&self) -> Duration {
        self.fast_interval
    }

    /// How many failures in a row take an up target down.
    pub fn fall(&self) -> u32 {
        self.fall
    }

    /// How many successes in a row take a down target up.
    pub fn rise(&self) -> u32 {
        self.rise
    }
}

/// Every 2 s, every second while a verdict is being confirmed, 1 s at most, down after 3 failures, up after 2 successes:
/// a silently dead server is found within 5 s, and one lost packet (retransmitted after 1 s) costs no verdict.
impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            fast_interval: FAST_INTERVAL,
        }
    }
}

impl TryFrom<Unchecked> for Timing {
    type Error = SpecError;

    fn try_from(raw: Unchecked) -> Result<Self, SpecError> {
        let timing = Self::new(raw.interval, raw.timeout, raw.fall, raw.rise)?;
        raw.fast_interval.map_or(Ok(timing), |fast_interval| timing.with_fast_interval(fast_interval))
    }
}
