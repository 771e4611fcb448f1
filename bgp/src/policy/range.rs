//! Ranges of prefixes, as prefix lists have them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Prefix, prefix::PrefixError};

/// A range of prefixes: those inside one, with a length between two bounds. Reads and prints
/// `10.0.0.0/8 ge 26 le 32`: without bounds exactly the prefix, with `le` alone from its own length, with `ge` alone up to a
/// host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PrefixRange {
    within: Prefix,
    shortest: u8,
    longest: u8,
}

/// Why something is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixRangeError {
    /// No prefix can meet the bounds.
    #[error("{within} with lengths {shortest} to {longest} matches nothing; expected {}..={} in order", within.len(), within.family().bits())]
    Empty {
        /// What they are inside of.
        within: Prefix,
        /// The lower bound.
        shortest: u8,
        /// The upper bound.
        longest: u8,
    },
    /// It begins with no prefix.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// What follows the prefix is no bound.
    #[error("{0:?} is no range of prefixes; expected PREFIX, with ge LENGTH, le LENGTH or both behind it")]
    Text(String),
}

impl PrefixRange {
    /// Exactly this prefix.
    pub const fn exactly(prefix: Prefix) -> Self {
        Self { within: prefix, shortest: prefix.len(), longest: prefix.len() }
    }

    /// The prefix and everything inside it.
    pub const fn inside(prefix: Prefix) -> Self {
        Self { within: prefix, shortest: prefix.len(), longest: prefix.family().bits() }
    }

    /// What is inside `within` and has a length from `shortest` (ge) to `longest` (le).
    pub fn new(within: Prefix, shortest: u8, longest: u8) -> Result<Self, PrefixRangeError> {
        if within.len() <= shortest && shortest <= longest && longest <= within.family().bits() {
            Ok(Self { within, shortest, longest })
        } else {
            Err(PrefixRangeError::Empty { within, shortest, longest })
        }
    }

    /// Whether the prefix is one of them.
    pub fn matches(&self, prefix: Prefix) -> bool {
        (self.shortest..=self.longest).contains(&prefix.len()) && self.within.contains(prefix)
    }
}

impl FromStr for PrefixRange {
    type Err = PrefixRangeError;

    fn from_str(text: &str) -> Result<Self, PrefixRangeError> {
        let wrong = || PrefixRangeError::Text(text.into());
        let mut words = text.split_ascii_whitespace();
        let within: Prefix = words.next().ok_or_else(wrong)?.parse()?;
        let (mut shortest, mut longest) = (None, None);
        while let Some(word) = words.next() {
            let bound = match word {
                "ge" => &mut shortest,
                "le" => &mut longest,
                _ => return Err(wrong()),
            };
            let length = words.next().and_then(|length| length.parse::<u8>().ok()).ok_or_else(wrong)?;
            if bound.replace(length).is_some() {
                return Err(wrong());
            }
        }
        match (shortest, longest) {
            (None, None) => Ok(Self::exactly(within)),
            (shortest, longest) => {
                Self::new(within, shortest.unwrap_or(within.len()), longest.unwrap_or(within.family().bits()))
            }
        }
    }
}

impl fmt::Display for PrefixRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { within, shortest, longest } = *self;
        write!(f, "{within}")?;
        if (shortest, longest) == (within.len(), within.len()) {
            return Ok(());
        }
        if shortest > within.len() {
            write!(f, " ge {shortest}")?;
        }
        if longest < within.family().bits() || shortest == within.len() {
            write!(f, " le {longest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_prints_as_it_reads() {
        for text in [
            "10.0.0.0/8",
            "10.0.0.0/8 le 24",
            "10.0.0.0/8 le 32",
            "10.0.0.0/8 ge 26",
            "10.0.0.0/8 ge 26 le 28",
            "2001:db8::/32 ge 128",
            "10.0.0.1/32",
        ] {
            assert_eq!(text.parse::<PrefixRange>().unwrap().to_string(), text);
        }
        let range: PrefixRange = "10.0.0.0/8 ge 26 le 32".parse().unwrap();
        assert_eq!(range, PrefixRange::new(prefix("10.0.0.0/8"), 26, 32).unwrap());
    }

    #[test]
    fn a_text_that_is_no_range_is_refused() {
        for text in
            ["", "10.0.0.1/8", "10.0.0.0/8 le", "10.0.0.0/8 26", "10.0.0.0/8 le 24 le 25", "10.0.0.0/8 ge 7"]
        {
            assert!(text.parse::<PrefixRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_takes_lengths_between_its_bounds_and_only_inside() {
        let range = PrefixRange::new(prefix("10.0.0.0/8"), 26, 32).unwrap();
        for (text, expected) in [
            ("10.0.0.0/26", true),
            ("10.255.255.255/32", true),
            ("10.0.0.0/25", false),
            ("10.0.0.0/8", false),
            ("11.0.0.0/26", false),
            ("a00::/26", false),
        ] {
            assert_eq!(range.matches(prefix(text)), expected, "{text}");
        }
        assert!(PrefixRange::exactly(prefix("::/0")).matches(prefix("::/0")));
        assert!(!PrefixRange::exactly(prefix("::/0")).matches(prefix("8000::/1")));
        assert!(PrefixRange::inside(prefix("0.0.0.0/0")).matches(prefix("192.0.2.0/24")));
    }

    #[test]
    fn bounds_that_match_nothing_are_refused() {
        for (shortest, longest) in [(7, 32), (26, 25), (26, 33)] {
            let error = PrefixRange::new(prefix("10.0.0.0/8"), shortest, longest).unwrap_err();
            assert!(error.to_string().contains("matches nothing; expected 8..=32"), "{error}");
        }
    }
}
