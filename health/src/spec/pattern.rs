//! What the bytes of an answer must hold.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use regex::bytes::{self, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::SpecError;

/// The bound on a compiled regex, and on what it keeps while it searches, in bytes: hundreds of alternatives fit, and
/// a service's few patterns stay small beside the rest of a process.
const MAX_REGEX: usize = 256 * 1024;

/// What the bytes of an answer must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// These bytes, anywhere. An empty one is refused by every specification that takes a pattern.
    Contains(Vec<u8>),
    /// Bytes that the regex matches.
    Matches(Regex),
}

impl Pattern {
    /// Whether `bytes` hold it.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Contains(wanted) => position(wanted, bytes).is_some(),
            Self::Matches(regex) => regex.is_match(bytes),
        }
    }

    /// Checks what a pattern alone can be checked for: whether it can be found within `max` bytes.
    pub(super) fn check(&self, what: &'static str, max: usize) -> Result<(), SpecError> {
        match self {
            Self::Contains(wanted) if wanted.is_empty() => {
                Err(SpecError::Pattern { what, why: "expected bytes to look for, found none".to_owned() })
            }
            Self::Contains(wanted) if wanted.len() > max => {
                Err(SpecError::Pattern { what, why: format!("longer than the {max} bytes that are read") })
            }
            Self::Contains(_) | Self::Matches(_) => Ok(()),
        }
    }
}

/// Where `wanted`, which is not empty, begins in `bytes`.
fn position(wanted: &[u8], bytes: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

/// `"+OK"` or `/^220 /`.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(wanted) => write!(f, "\"{}\"", wanted.escape_ascii()),
            Self::Matches(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

/// A regex over bytes in the syntax of the crate `regex`. Compiled once and shared by its clones; equal to another by
/// its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Regex(bytes::Regex);

impl Regex {
    /// Compiles it.
    ///
    /// # Errors
    /// [`SpecError::Pattern`] when it is none, or when it takes more memory than is good.
    pub fn new(text: &str) -> Result<Self, SpecError> {
        RegexBuilder::new(text)
            .size_limit(MAX_REGEX)
            .dfa_size_limit(MAX_REGEX)
            .build()
            .map(Self)
            .map_err(|error| SpecError::Pattern { what: "regex", why: in_one_line(&error) })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches anywhere in `bytes`, in a time linear in their number.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

/// The parser draws its message over several lines, the last of which says what is wrong.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl TryFrom<String> for Regex {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        Self::new(&text)
    }
}

impl From<Regex> for String {
    fn from(regex: Regex) -> Self {
        regex.as_str().to_owned()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Regex {}

impl PartialOrd for Regex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Regex {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Regex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_in_bytes_of_any_kind() {
        let contains = |wanted: &[u8]| Pattern::Contains(wanted.to_vec());
        assert!(contains(b"\0\xff").is_in(b"a\0\xffb"));
        assert!(!contains(b"\0\xff").is_in(b"a\0b\xff"));
        assert!(contains(b"abc").is_in(b"abc") && !contains(b"abc").is_in(b"ab"));
        let matches = |text| Pattern::Matches(Regex::new(text).expect("a regex"));
        assert!(matches("^220[ -]").is_in(b"220 mx1 ready\r\n"));
        assert!(!matches("^220[ -]").is_in(b"421 busy\r\n"));
        assert!(matches(r"(?-u)\xff$").is_in(b"a\xff"));
    }

    #[test]
    fn a_regex_is_equal_to_another_by_its_text_and_refused_when_it_is_none_or_huge() {
        assert_eq!(Regex::new("a|b"), Regex::new("a|b"));
        assert_ne!(Regex::new("a|b"), Regex::new("b|a"));
        for (text, why) in [("(", "unclosed group"), ("a{1000}{1000}{1000}", "size limit")] {
            let refused = Regex::new(text).expect_err("refused").to_string();
            assert!(refused.starts_with("regex: ") && refused.contains(why), "{refused}");
            assert_eq!(refused.lines().count(), 1);
        }
    }

    #[test]
    fn patterns_read_as_they_would_be_written() {
        assert_eq!(Pattern::Contains(b"+OK\r\n\0".to_vec()).to_string(), r#""+OK\r\n\x00""#);
        assert_eq!(Pattern::Matches(Regex::new("^a").expect("a regex")).to_string(), "/^a/");
    }
}
