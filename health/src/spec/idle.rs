//! A connection that is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{MAX_PERIOD, MIN_PERIOD, SpecError};

/// The longest wait between two attempts to connect again, unless the specification says otherwise: a server that
/// returns is in service some 6 s later, and a pool of thousands of dead servers costs less than connecting to each
/// every few seconds by a check of its own would.
pub const DEFAULT_MAX_DELAY: Duration = Duration::from_secs(5);

/// A TCP connection that is established and then kept, with nothing sent over it but keepalives.
///
/// The target is up while there is a connection, so neither `fall` nor `rise` moves the verdict:
/// - it goes down at once when the connection is reset, or cannot be established within `timeout`, and up at once when it
///   is established;
/// - when the target closes the connection in order, another is established at once, and no sooner than `fast_interval`
///   after the one before was; meanwhile the verdict stands;
/// - a silently dead host is found by TCP's keepalives: the first goes out when `interval` has passed without a packet,
///   others follow every `timeout`, and after `fall` of them without an answer the connection is dead (the kernel counts
///   these periods in whole seconds);
/// - while down, connecting is tried again after `fast_interval`, then after a delay that doubles up to the longest one,
///   each up to a half shorter by chance, so that thousands do not come back in step.
///
/// Whatever the target sends is read and dropped. Nothing tells whether its process still works: the kernel of a host
/// keeps the connections of a stopped process open. So this check goes beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Idle {
    max_delay: Duration,
}

/// The same as read from outside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    max_delay: Duration,
}

impl Idle {
    /// A kept connection that is tried again after `max_delay` at the latest.
    ///
    /// # Errors
    /// [`SpecError::Period`] when that is not within [`MIN_PERIOD`]..=[`MAX_PERIOD`].
    pub fn new(max_delay: Duration) -> Result<Self, SpecError> {
        if (MIN_PERIOD..=MAX_PERIOD).contains(&max_delay) {
            Ok(Self { max_delay })
        } else {
            Err(SpecError::Period { what: "max_delay", found: max_delay })
        }
    }

    /// The longest wait between two attempts to connect.
    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }
}

/// With [`DEFAULT_MAX_DELAY`].
impl Default for Idle {
    fn default() -> Self {
        Self { max_delay: DEFAULT_MAX_DELAY }
    }
}

impl TryFrom<Unchecked> for Idle {
    type Error = SpecError;

    fn try_from(raw: Unchecked) -> Result<Self, SpecError> {
        Self::new(raw.max_delay)
    }
}
