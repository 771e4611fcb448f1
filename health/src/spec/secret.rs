//! What a check sends and nobody but its server is to see.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use ring::hmac::{HMAC_SHA256, Key, sign};
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};

use super::Digest;

/// Makes marks. It is drawn for each process and stays in its memory: whoever reads a mark cannot try passwords until one
/// has the same.
static KEY: LazyLock<Key> = LazyLock::new(|| {
    Key::generate(HMAC_SHA256, &SystemRandom::new()).expect("the kernel gives random bytes to whoever asks")
});

/// Bytes that are sent and otherwise not shown: a header's value, a password in a greeting. They are known by their length
/// and by a mark: of equal bytes it is equal within a process. Written down, only length and mark are; what is read again
/// from that is good for comparing, not for probing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Read", into = "Written")]
pub struct Secret {
    length: usize,
    /// Empty bytes are no secret and have none, so that they are the same everywhere.
    mark: Option<Digest>,
    bytes: Option<Arc<[u8]>>,
}

/// How a secret is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    length: usize,
    mark: Option<Digest>,
}

/// What a secret is read from: as it was written down, or as itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Written(Written),
    Text(String),
    Bytes(Vec<u8>),
}

impl Secret {
    /// The bytes themselves; `None` after they were written down.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Nothing.
impl Default for Secret {
    fn default() -> Self {
        Self::from(&[][..])
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        let mark = (!bytes.is_empty()).then(|| Digest::from(sign(&KEY, bytes)));
        Self { length: bytes.len(), mark, bytes: Some(bytes.into()) }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Read> for Secret {
    fn from(read: Read) -> Self {
        match read {
            Read::Written(Written { length: 0, .. }) => Self::default(),
            Read::Written(Written { length, mark }) => Self { length, mark, bytes: None },
            Read::Text(text) => text.as_str().into(),
            Read::Bytes(bytes) => bytes[..].into(),
        }
    }
}

impl From<Secret> for Written {
    fn from(secret: Secret) -> Self {
        Self { length: secret.length, mark: secret.mark }
    }
}

/// `12 bytes`.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        (self.length, self.mark) == (other.length, other.mark)
    }
}

impl Eq for Secret {}

impl PartialOrd for Secret {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Secret {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.length, self.mark).cmp(&(other.length, other.mark))
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.length, self.mark).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Secret {
        serde_json::from_str(text).expect("a secret")
    }

    #[test]
    fn what_is_written_down_is_equal_to_what_it_was_and_cannot_be_found_out_by_trying() {
        let secret = Secret::from("Bearer s3cret");
        let written = serde_json::to_string(&secret).expect("text");
        assert!(written.starts_with("{\"length\":13,\"mark\":\""), "{written}");
        assert!(!written.contains(&Digest::of(b"Bearer s3cret").to_string()), "anybody could make that");
        assert_eq!(read(&written), secret);
        assert_eq!(read(&written).bytes(), None);
        assert_eq!(serde_json::to_string(&read(&written)).expect("text"), written);
        assert_ne!(read(&written), Secret::from("Bearer s3creT"));
        assert_eq!(format!("{secret:?}"), "13 bytes");
    }

    #[test]
    fn a_secret_may_be_given_as_text_or_as_bytes() {
        assert_eq!(read("\"PING\\r\\n\"").bytes(), Some(&b"PING\r\n"[..]));
        assert_eq!(read("[80, 255]").bytes(), Some(&[80, 255][..]));
    }

    #[test]
    fn nothing_is_no_secret_and_the_same_in_every_process() {
        let written = serde_json::to_string(&Secret::default()).expect("text");
        assert_eq!(written, "{\"length\":0,\"mark\":null}");
        assert_eq!(read(&written).bytes(), Some(&[][..]));
        assert!(read(&written).is_empty());
    }
}
