//! Autonomous system numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `AS_TRANS`: stands for a four-octet number where only two octets fit (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

/// An autonomous system number that a speaker may use as its own or expect of a neighbour.
///
/// Four octets (RFC 6793), without the numbers that are reserved: 0 (RFC 7607), 23456 (RFC 6793), 65535
/// and 4294967295 (RFC 7300). Reads `64600` (asplain) and `1.10` (asdot, RFC 5396); prints asplain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Asn(u32);

/// Why something is not an autonomous system number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AsnError {
    /// The number is reserved and may not identify a neighbour.
    #[error(
        "AS number {0} is reserved; use one that was assigned, or a private one (64512-65534, 4200000000-4294967294)"
    )]
    Reserved(u32),
    /// The text is no number in asplain or asdot notation.
    #[error("{0:?} is not an AS number; expected 1-4294967294 or the asdot form 1.10")]
    Text(String),
}

impl Asn {
    /// Checks that the number is not reserved.
    pub const fn new(number: u32) -> Result<Self, AsnError> {
        match number {
            0 | 23_456 | 65_535 | u32::MAX => Err(AsnError::Reserved(number)),
            usable => Ok(Self(usable)),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number in two octets, [`AS_TRANS`] when it does not fit.
    pub fn two_octets(self) -> u16 {
        u16::try_from(self.0).unwrap_or(AS_TRANS)
    }
}

impl TryFrom<u32> for Asn {
    type Error = AsnError;

    fn try_from(number: u32) -> Result<Self, AsnError> {
        Self::new(number)
    }
}

impl From<Asn> for u32 {
    fn from(asn: Asn) -> Self {
        asn.0
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Asn {
    type Err = AsnError;

    fn from_str(text: &str) -> Result<Self, AsnError> {
        let number = match text.split_once('.') {
            None => text.parse().ok(),
            Some((high, low)) => match (high.parse::<u16>(), low.parse::<u16>()) {
                (Ok(high), Ok(low)) => Some(u32::from(high) << 16 | u32::from(low)),
                (Err(_), _) | (_, Err(_)) => None,
            },
        };
        Self::new(number.ok_or_else(|| AsnError::Text(text.into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read_and_asplain_is_printed() {
        assert_eq!("1.10".parse::<Asn>().unwrap().to_string(), "65546");
        assert_eq!("4200000001".parse::<Asn>().unwrap().get(), 4_200_000_001);
    }

    #[test]
    fn reserved_and_meaningless_numbers_are_refused() {
        for text in ["0", "23456", "65535", "4294967295", "0.0"] {
            assert!(matches!(text.parse::<Asn>(), Err(AsnError::Reserved(_))), "{text}");
        }
        for text in ["", "AS1", "-1", "4294967296", "1.65536", "1.2.3"] {
            assert!(matches!(text.parse::<Asn>(), Err(AsnError::Text(_))), "{text}");
        }
    }

    #[test]
    fn a_number_past_two_octets_travels_as_as_trans() {
        assert_eq!(Asn::new(65_536).unwrap().two_octets(), AS_TRANS);
        assert_eq!(Asn::new(64_600).unwrap().two_octets(), 64_600);
    }
}
