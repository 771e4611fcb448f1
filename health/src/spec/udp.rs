//! A datagram, and what must come back.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exchange::{DEFAULT_MAX_READ, check_payload};
use super::timing::{MAX_PERIOD, MIN_PERIOD};
use super::{Pattern, Secret, SpecError};

/// How long a probe listens for an ICMP error unless the check says otherwise: on the same segment it comes within a
/// millisecond, from another continent within a third of a second.
pub const DEFAULT_WAIT: Duration = Duration::from_millis(500);

/// How long silence after an ICMP error counts as that error unless the check says otherwise: Linux sends a host about
/// one such error a second (icmp_ratelimit), shared by all who probe it from there.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(10);

/// A datagram, and what must come back. Checked when it is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "UdpParts", into = "UdpParts")]
pub struct Datagram(UdpParts);

/// The parts of a [`Datagram`], not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UdpParts {
    /// What is sent; an empty datagram by default, at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD).
    pub payload: Secret,
    /// What must come back.
    pub reply: Reply,
}

/// What must come back for a datagram. An ICMP error, port unreachable or another, always means down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A datagram that holds this.
    Expected(Pattern),
    /// Anything or nothing.
    Optional {
        /// How long an ICMP error is waited for; no longer than the check's timeout.
        wait: Duration,
        /// How long after an ICMP error silence counts as that error, for ICMP errors are limited in rate. An answer
        /// ends it. May be zero.
        hold: Duration,
    },
}

/// Anything or nothing, with [`DEFAULT_WAIT`] and [`DEFAULT_HOLD`].
impl Default for Reply {
    fn default() -> Self {
        Self::Optional { wait: DEFAULT_WAIT, hold: DEFAULT_HOLD }
    }
}

impl Datagram {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Payload`], [`SpecError::Pattern`] or [`SpecError::Period`] for the first part that cannot be.
    pub fn new(parts: UdpParts) -> Result<Self, SpecError> {
        check_payload(&parts.payload)?;
        match &parts.reply {
            Reply::Expected(pattern) => pattern.check("expect", DEFAULT_MAX_READ)?,
            Reply::Optional { wait, .. } if !(MIN_PERIOD..=MAX_PERIOD).contains(wait) => {
                return Err(SpecError::Period { what: "wait", found: *wait });
            }
            Reply::Optional { hold, .. } if *hold > MAX_PERIOD => {
                return Err(SpecError::Period { what: "hold", found: *hold });
            }
            Reply::Optional { .. } => {}
        }
        Ok(Self(parts))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &UdpParts {
        &self.0
    }
}

/// ` (send 4 bytes, expect "pong")` or ` (send 4 bytes)`: what follows the target in a check's display.
impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.0.payload.len();
        match &self.0.reply {
            Reply::Expected(pattern) => write!(f, " (send {sent} bytes, expect {pattern})"),
            Reply::Optional { .. } => write!(f, " (send {sent} bytes)"),
        }
    }
}

impl TryFrom<UdpParts> for Datagram {
    type Error = SpecError;

    fn try_from(parts: UdpParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Datagram> for UdpParts {
    fn from(datagram: Datagram) -> Self {
        datagram.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_with_periods_out_of_bounds_or_nothing_to_look_for_are_refused() {
        let with = |reply| Datagram::new(UdpParts { payload: Secret::default(), reply });
        let zero = Duration::ZERO;
        assert!(with(Reply::Optional { wait: MIN_PERIOD, hold: zero }).is_ok());
        assert!(with(Reply::Optional { wait: MAX_PERIOD, hold: MAX_PERIOD }).is_ok());
        let refused = with(Reply::Optional { wait: zero, hold: zero });
        assert_eq!(refused, Err(SpecError::Period { what: "wait", found: zero }));
        let over = MAX_PERIOD + MIN_PERIOD;
        let refused = with(Reply::Optional { wait: MIN_PERIOD, hold: over });
        assert_eq!(refused, Err(SpecError::Period { what: "hold", found: over }));
        let refused = with(Reply::Expected(Pattern::Contains(Vec::new())));
        assert!(matches!(refused, Err(SpecError::Pattern { what: "expect", .. })));
    }
}
