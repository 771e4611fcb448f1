//! What is sent over a TCP connection, and what must come back.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Pattern, Secret, SpecError};

/// The bound on what a check sends in one piece, in bytes: more than any greeting, command or query needs, and little
/// enough to fit into a fresh connection's window.
pub const MAX_PAYLOAD: usize = 4096;

/// How much of an answer is read unless the check says otherwise, in bytes: greetings and status lines are shorter.
pub const DEFAULT_MAX_READ: usize = 4096;

/// The bound on `max_read`, in bytes. A regex looks at the whole answer again whenever more of it comes: from a server
/// that sends single bytes that is 128 MB to look at here, still well under a second.
pub const MAX_READ: usize = 16 * 1024;

/// The parts of an [`Exchange`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExchangeParts {
    /// What is sent once the connection is established, at most [`MAX_PAYLOAD`]; nothing by default.
    pub send: Secret,
    /// What the answer must hold within its first `max_read` bytes. It is looked for each time more bytes come, so `$`
    /// in a regex is the end of what has come so far. Without it nothing is read.
    pub expect: Option<Pattern>,
    /// How many bytes of the answer are read at most. [`DEFAULT_MAX_READ`] by default, at most [`MAX_READ`].
    pub max_read: usize,
}

impl Default for ExchangeParts {
    fn default() -> Self {
        Self { send: Secret::default(), expect: None, max_read: DEFAULT_MAX_READ }
    }
}

/// What is sent over a TCP connection, and what must come back. Made from [`ExchangeParts`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "ExchangeParts", into = "ExchangeParts")]
pub struct Exchange(ExchangeParts);

impl Exchange {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Payload`], [`SpecError::MaxRead`] or [`SpecError::Pattern`] for the first part that cannot be.
    pub fn new(parts: ExchangeParts) -> Result<Self, SpecError> {
        if parts.send.is_empty() && parts.expect.is_none() {
            return Err(SpecError::Payload { found: 0 });
        }
        check_payload(&parts.send)?;
        if !(1..=MAX_READ).contains(&parts.max_read) {
            return Err(SpecError::MaxRead { found: parts.max_read });
        }
        if let Some(expect) = &parts.expect {
            expect.check("expect", parts.max_read)?;
        }
        Ok(Self(parts))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &ExchangeParts {
        &self.0
    }
}

/// Refuses what is too much to be sent in one piece.
pub(super) fn check_payload(payload: &Secret) -> Result<(), SpecError> {
    if payload.len() > MAX_PAYLOAD { Err(SpecError::Payload { found: payload.len() }) } else { Ok(()) }
}

/// ` (send 12 bytes, expect "+PONG")`: what follows the target in a check's display.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExchangeParts { send, expect, .. } = &self.0;
        match (send.len(), expect) {
            (0, Some(expect)) => write!(f, " (expect {expect})"),
            (sent, Some(expect)) => write!(f, " (send {sent} bytes, expect {expect})"),
            (sent, None) => write!(f, " (send {sent} bytes)"),
        }
    }
}

impl TryFrom<ExchangeParts> for Exchange {
    type Error = SpecError;

    fn try_from(parts: ExchangeParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Exchange> for ExchangeParts {
    fn from(exchange: Exchange) -> Self {
        exchange.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ExchangeParts)) -> Result<Exchange, SpecError> {
        let mut parts = ExchangeParts { send: "PING\r\n".into(), ..ExchangeParts::default() };
        change(&mut parts);
        Exchange::new(parts)
    }

    #[test]
    fn exchanges_that_ask_nothing_or_too_much_are_refused_and_the_limits_are_taken() {
        let long = |length| Secret::from(&vec![b'x'; length][..]);
        assert_eq!(with(|parts| parts.send = Secret::default()), Err(SpecError::Payload { found: 0 }));
        assert!(with(|parts| parts.send = long(MAX_PAYLOAD)).is_ok());
        let over = with(|parts| parts.send = long(MAX_PAYLOAD + 1));
        assert_eq!(over, Err(SpecError::Payload { found: MAX_PAYLOAD + 1 }));
        assert_eq!(with(|parts| parts.max_read = 0), Err(SpecError::MaxRead { found: 0 }));
        assert!(with(|parts| parts.max_read = MAX_READ).is_ok());
        assert_eq!(
            with(|parts| parts.max_read = MAX_READ + 1),
            Err(SpecError::MaxRead { found: MAX_READ + 1 })
        );
        let expecting = |wanted: &[u8], max_read| {
            let expect = Some(Pattern::Contains(wanted.to_vec()));
            with(|parts| (parts.expect, parts.max_read) = (expect, max_read))
        };
        assert!(expecting(b"abc", 3).is_ok());
        for (wanted, max_read) in [(&b"abc"[..], 2), (b"", 3)] {
            assert!(matches!(expecting(wanted, max_read), Err(SpecError::Pattern { what: "expect", .. })));
        }
    }
}
