//! HTTP status codes that are expected.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SpecError;

/// The codes of RFC 9110, section 15.
const CODES: std::ops::RangeInclusive<u16> = 100..=599;

/// One status code or a range of them, both ends included: `200`, `200-399`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// 200-299, the codes that say success.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// 200 alone.
    pub(crate) const OK: Self = Self { first: 200, last: 200 };

    /// The codes from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`SpecError::Status`] when one is not within 100-599 or `last` is before `first`.
    pub fn new(first: u16, last: u16) -> Result<Self, SpecError> {
        if CODES.contains(&first) && CODES.contains(&last) && first <= last {
            Ok(Self { first, last })
        } else {
            Err(SpecError::Status { found: format!("{first}-{last}") })
        }
    }

    /// Whether `code` is one of these.
    pub fn contains(&self, code: u16) -> bool {
        (self.first..=self.last).contains(&code)
    }

    /// The same codes in the fewest ranges, in order; so that lists that mean the same are equal.
    pub(super) fn merge(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(before) if range.first <= before.last + 1 => before.last = before.last.max(range.last),
                _ => merged.push(range),
            }
        }
        merged
    }
}

impl FromStr for StatusRange {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let refused = || SpecError::Status { found: text.to_owned() };
        let code = |digits: &str| match digits.as_bytes() {
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] => digits.parse().map_err(|_| refused()),
            _ => Err(refused()),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(code(first)?, code(last)?).map_err(|_| refused())
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}
