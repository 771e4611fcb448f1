//! The hold time.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// How long a neighbour may stay silent, in whole seconds: 0 (never checked) or 3-65535 (RFC 4271 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct HoldTime(u16);

/// The hold time is 1 or 2 seconds, too long, or no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hold time {0:?} cannot be used; expected 0 or 3-65535 whole seconds")]
pub struct HoldTimeError(String);

impl HoldTime {
    /// 90 s, what RFC 4271 §10 suggests.
    pub const DEFAULT: Self = Self(90);

    /// Checks the number of seconds.
    pub fn from_secs(seconds: u16) -> Result<Self, HoldTimeError> {
        match seconds {
            1 | 2 => Err(HoldTimeError(seconds.to_string())),
            usable => Ok(Self(usable)),
        }
    }

    /// Seconds, as in OPEN.
    pub const fn as_secs(self) -> u16 {
        self.0
    }

    /// The time, `None` for 0: the neighbour's silence is never checked.
    pub fn duration(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(self.0.into()))
    }

    /// How often a KEEPALIVE is sent: a third of the hold time (RFC 4271 §4.4), `None` for 0.
    pub fn keepalive(self) -> Option<Duration> {
        self.duration().map(|hold| hold / 3)
    }
}

impl Default for HoldTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u16> for HoldTime {
    type Error = HoldTimeError;

    fn try_from(seconds: u16) -> Result<Self, HoldTimeError> {
        Self::from_secs(seconds)
    }
}

impl TryFrom<Duration> for HoldTime {
    type Error = HoldTimeError;

    fn try_from(time: Duration) -> Result<Self, HoldTimeError> {
        let refused = || HoldTimeError(format!("{time:?}"));
        if time.subsec_nanos() != 0 {
            return Err(refused());
        }
        u16::try_from(time.as_secs())
            .ok()
            .and_then(|seconds| Self::from_secs(seconds).ok())
            .ok_or_else(refused)
    }
}

impl From<HoldTime> for u16 {
    fn from(time: HoldTime) -> Self {
        time.0
    }
}

impl fmt::Display for HoldTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HoldTime {
    type Err = HoldTimeError;

    fn from_str(text: &str) -> Result<Self, HoldTimeError> {
        let refused = || HoldTimeError(text.into());
        Self::from_secs(text.parse().map_err(|_| refused())?).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two_seconds_are_refused_and_three_is_not() {
        for seconds in [1, 2] {
            assert!(HoldTime::from_secs(seconds).is_err());
        }
        assert_eq!(HoldTime::from_secs(3).unwrap().keepalive(), Some(Duration::from_secs(1)));
        assert_eq!(HoldTime::from_secs(0).unwrap().keepalive(), None);
    }

    #[test]
    fn fractions_of_a_second_and_long_times_are_refused() {
        assert!(HoldTime::try_from(Duration::from_millis(3500)).is_err());
        assert!(HoldTime::try_from(Duration::from_secs(65_536)).is_err());
        assert_eq!(HoldTime::try_from(Duration::from_secs(9)), "9".parse());
        assert!("ninety".parse::<HoldTime>().unwrap_err().to_string().contains("ninety"));
    }
}
