//! The depool threshold as a checked number.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The share of a pool that stays pooled whatever its checks say, 0 to 1 in steps of a thousandth.
///
/// Thousandths, not a float: it can be compared, ordered and recorded exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Threshold(u16);

/// A threshold outside 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a depool threshold is 0 to 1000 thousandths, not {0}")]
pub struct ThresholdError(pub u16);

impl Threshold {
    /// The whole pool, in thousandths.
    const WHOLE: u16 = 1000;

    /// Half of the pool, the default.
    pub const HALF: Self = Self(500);

    /// Takes thousandths, 0 to 1000.
    pub fn from_permille(thousandths: u16) -> Result<Self, ThresholdError> {
        if thousandths > Self::WHOLE { Err(ThresholdError(thousandths)) } else { Ok(Self(thousandths)) }
    }

    /// Takes a share, 0 to 1, rounded to the nearest thousandth; `None` outside that range.
    pub fn from_share(share: f64) -> Option<Self> {
        // The range is checked first, so the product is a whole number of 0 to 1000.
        (0.0..=1.0).contains(&share).then(|| Self((share * f64::from(Self::WHOLE)).round() as u16))
    }

    /// The threshold in thousandths.
    pub fn permille(self) -> u16 {
        self.0
    }

    /// How many of `total` backends must stay pooled, rounded up.
    pub fn needed(self, total: usize) -> usize {
        let needed = (total as u128 * u128::from(self.0)).div_ceil(u128::from(Self::WHOLE));
        // needed ≤ total, as the threshold is at most the whole.
        usize::try_from(needed).unwrap_or(total)
    }
}

impl Threshold {
    /// This share of `total`, rounded down.
    pub fn rounded_down(self, total: usize) -> usize {
        let share = total as u128 * u128::from(self.0) / u128::from(Self::WHOLE);
        // share ≤ total, as the threshold is at most the whole.
        usize::try_from(share).unwrap_or(total)
    }
}

impl TryFrom<u16> for Threshold {
    type Error = ThresholdError;

    fn try_from(thousandths: u16) -> Result<Self, ThresholdError> {
        Self::from_permille(thousandths)
    }
}

impl From<Threshold> for u16 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold;

    fn of(share: f64) -> Threshold {
        Threshold::from_share(share).expect("a test's share is valid")
    }

    #[test]
    fn a_share_between_two_backends_needs_the_larger_number() {
        assert_eq!(of(0.5).needed(3), 2);
        assert_eq!(of(0.334).needed(3), 2);
        assert_eq!(of(0.333).needed(3), 1);
    }

    #[test]
    fn none_and_the_whole_are_exact() {
        assert_eq!(of(0.0).needed(10), 0);
        assert_eq!(of(1.0).needed(10), 10);
        assert_eq!(of(1.0).needed(usize::MAX), usize::MAX);
        assert_eq!(of(0.5).needed(0), 0);
    }

    #[test]
    fn what_lies_outside_0_to_1_is_refused() {
        for share in [-0.001, 1.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Threshold::from_share(share), None, "{share}");
        }
        assert!(Threshold::from_permille(1001).is_err());
        assert!(serde_json::from_str::<Threshold>("1001").is_err());
    }
}
