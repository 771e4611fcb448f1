//! Communities, standard and large.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A standard community (RFC 1997), written `65535:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Community(pub u32);

/// A large community (RFC 8092), written `4200000001:1:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct LargeCommunity {
    /// The AS whose operator defines the meaning.
    pub global: u32,
    /// First word of the operator's.
    pub local1: u32,
    /// Second word of the operator's.
    pub local2: u32,
}

/// The text is no community.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a community; expected {expected}")]
pub struct CommunityError {
    text: String,
    expected: &'static str,
}

impl Community {
    /// `GRACEFUL_SHUTDOWN` (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self::new(65_535, 0);
    /// `LLGR_STALE`: kept beyond a graceful restart, and the last choice (RFC 9494 §3.3).
    pub const LLGR_STALE: Self = Self::new(65_535, 6);
    /// `NO_LLGR`: not to be kept so (RFC 9494 §3.4).
    pub const NO_LLGR: Self = Self::new(65_535, 7);
    /// `NO_EXPORT` (RFC 1997).
    pub const NO_EXPORT: Self = Self::new(65_535, 65_281);
    /// `NO_ADVERTISE` (RFC 1997).
    pub const NO_ADVERTISE: Self = Self::new(65_535, 65_282);

    /// From its two halves.
    pub const fn new(high: u16, low: u16) -> Self {
        Self((high as u32) << 16 | low as u32)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        text.split_once(':')
            .and_then(|(high, low)| Some(Self::new(high.parse().ok()?, low.parse().ok()?)))
            .ok_or_else(|| CommunityError { text: text.into(), expected: "A:B, each 0-65535" })
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        let mut words = text.split(':').map(|word| word.parse().ok());
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(Some(global)), Some(Some(local1)), Some(Some(local2)), None) => {
                Ok(Self { global, local1, local2 })
            }
            (_, _, _, _) => Err(CommunityError { text: text.into(), expected: "A:B:C, each 0-4294967295" }),
        }
    }
}

impl TryFrom<String> for Community {
    type Error = CommunityError;

    fn try_from(text: String) -> Result<Self, CommunityError> {
        text.parse()
    }
}

impl TryFrom<String> for LargeCommunity {
    type Error = CommunityError;

    fn try_from(text: String) -> Result<Self, CommunityError> {
        text.parse()
    }
}

impl From<Community> for String {
    fn from(community: Community) -> Self {
        community.to_string()
    }
}

impl From<LargeCommunity> for String {
    fn from(community: LargeCommunity) -> Self {
        community.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_print_as_they_read() {
        assert_eq!("65535:0".parse(), Ok(Community::GRACEFUL_SHUTDOWN));
        assert_eq!(Community::NO_EXPORT.to_string(), "65535:65281");
        assert_eq!("4200000001:1:2".parse::<LargeCommunity>().unwrap().to_string(), "4200000001:1:2");
    }

    #[test]
    fn what_is_no_community_is_refused_with_what_was_expected() {
        for text in ["", "1", "65536:0", "1:2:3", "a:b", "-1:0"] {
            assert!(text.parse::<Community>().unwrap_err().to_string().contains("0-65535"), "{text}");
        }
        for text in ["1:2", "1:2:3:4", "4294967296:0:0", "1::3"] {
            assert!(text.parse::<LargeCommunity>().is_err(), "{text}");
        }
    }
}
