//! Passwords: read from files of their own, never shown nor recorded.

use super::walk::Node;
use bgp::Password;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// What the marks of this process's recordings are made with.
static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A password. A recording holds a mark in its place: equal for equal passwords of one process, so that a replay sees when
/// it changed, and worth nothing to who reads it.
#[derive(Clone)]
pub struct Secret(Known);

#[derive(Clone)]
enum Known {
    Read(Password),
    Recorded(u64),
}

impl Secret {
    /// The password; `None` in what was read from a recording.
    pub fn password(&self) -> Option<&Password> {
        match &self.0 {
            Known::Read(password) => Some(password),
            Known::Recorded(_) => None,
        }
    }

    fn mark(&self) -> u64 {
        match &self.0 {
            Known::Read(password) => MARKS.hash_one(password.expose()),
            Known::Recorded(mark) => *mark,
        }
    }
}

impl From<Password> for Secret {
    fn from(password: Password) -> Self {
        Self(Known::Read(password))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Known::Read(one), Known::Read(other)) => one == other,
            (_, _) => self.mark() == other.mark(),
        }
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.mark())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|mark| Self(Known::Recorded(mark)))
    }
}

const FILE: &str = "the path of a file with the password, or the name of one of systemd's credentials";

/// Reads the file that the setting names. The end of its last line is no part of the password.
pub(super) fn read(node: &Node<'_>) -> Option<Secret> {
    let path = node.credential(FILE)?;
    node.content_of(&path, |bytes| {
        let line = bytes.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Password::new(line.unwrap_or(bytes)).map(Secret::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_secret_is_equal_to_its_like_and_says_nothing() {
        let secret = |text: &str| Secret::from(Password::new(text).unwrap());
        let recorded = serde_json::to_string(&secret("open sesame")).unwrap();
        let back: Secret = serde_json::from_str(&recorded).unwrap();
        assert_eq!((back.clone() == secret("open sesame"), back == secret("open")), (true, false));
        assert_eq!(back.password(), None);
        assert!(recorded.bytes().all(|byte| byte.is_ascii_digit()), "{recorded}");
        assert_eq!(format!("{:?}", secret("open sesame")), "Secret(hidden)");
    }
}
