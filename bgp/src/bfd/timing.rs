//! How often, and how many may be missed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a session wants while it is not Up, at least: a neighbour that is away costs a packet a second (RFC 5880
/// §6.8.3).
pub const SLOW: Duration = Duration::from_secs(1);

/// The shortest interval: timers are exact to a millisecond, and a balancer that is busy for less than three of
/// these has to live.
pub const SHORTEST: Duration = Duration::from_millis(10);

/// The longest interval: past it the hold time of BGP is quicker.
pub const LONGEST: Duration = Duration::from_secs(60);

/// How often a session sends and wants to hear, and after how many missed packets the path counts as broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Timing {
    interval: Duration,
    multiplier: u8,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    interval: Duration,
    multiplier: u8,
}

/// A timing that no session can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Too short or too long.
    #[error("BFD interval {0:?}; expected {SHORTEST:?} to {LONGEST:?}")]
    Interval(Duration),
    /// With 0 a path breaks before its first packet.
    #[error("BFD multiplier 0; expected 1-255")]
    Multiplier,
}

impl Timing {
    /// Three packets, 300 ms apart: a path that breaks is known within 900 ms.
    pub const DEFAULT: Self = Self { interval: Duration::from_millis(300), multiplier: 3 };

    /// Checks both.
    pub fn new(interval: Duration, multiplier: u8) -> Result<Self, TimingError> {
        if !(SHORTEST..=LONGEST).contains(&interval) {
            return Err(TimingError::Interval(interval));
        }
        if multiplier == 0 { Err(TimingError::Multiplier) } else { Ok(Self { interval, multiplier }) }
    }

    /// Between two packets, in either direction, unless the neighbour wants more.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// How many packets of ours in a row the neighbour has to miss.
    pub const fn multiplier(self) -> u8 {
        self.multiplier
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<Raw> for Timing {
    type Error = TimingError;

    fn try_from(raw: Raw) -> Result<Self, TimingError> {
        Self::new(raw.interval, raw.multiplier)
    }
}

impl From<Timing> for Raw {
    fn from(timing: Timing) -> Self {
        Self { interval: timing.interval, multiplier: timing.multiplier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_allowed_and_what_is_past_them_is_not() {
        for interval in [SHORTEST, LONGEST] {
            assert_eq!(Timing::new(interval, 1).unwrap().interval(), interval);
        }
        let step = Duration::from_nanos(1);
        for interval in [SHORTEST - step, LONGEST + step] {
            assert_eq!(Timing::new(interval, 3), Err(TimingError::Interval(interval)));
        }
        assert_eq!(Timing::new(SLOW, 0), Err(TimingError::Multiplier));
        assert_eq!(Timing::default().interval() * Timing::default().multiplier().into(), SLOW * 9 / 10);
    }
}
