//! Why a connection could not be secured.

use std::fmt;
use std::time::{Duration, SystemTime};

use der::DateTime;
use serde::{Deserialize, Serialize};

/// Why a connection could not be secured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TlsFailure {
    /// The certificate's time is over.
    #[error("certificate expired on {}", Date(*on))]
    Expired {
        /// When it was.
        on: SystemTime,
    },
    /// The certificate's time has not come, or this host's clock is wrong.
    #[error("certificate is not valid before {}; is this host's clock right?", Date(*before))]
    NotYetValid {
        /// When its time begins.
        before: SystemTime,
    },
    /// The certificate is someone else's.
    #[error("certificate is not for {wanted}{}", Presented(presented))]
    WrongName {
        /// The name that it should be for.
        wanted: String,
        /// The names that it is for, as far as they can be read; a few of them.
        presented: Vec<String>,
    },
    /// Nobody who is trusted vouches for the certificate.
    #[error("certificate is from an authority that is not trusted, or its chain is not whole")]
    UnknownIssuer,
    /// Something else is wrong with the certificate.
    #[error("certificate is bad: {error}")]
    Certificate {
        /// What is wrong with it.
        error: String,
    },
    /// The server refused to go on.
    #[error("server refused TLS with the alert {alert:?}")]
    Alert {
        /// Its reason (RFC 8446, section 6).
        alert: String,
    },
    /// The server has nothing in common with what is asked for.
    #[error("no TLS in common with the server: {error}")]
    Incompatible {
        /// What is missing.
        error: String,
    },
    /// What came is no TLS.
    #[error("not a TLS answer: {error}")]
    Malformed {
        /// What is wrong with it.
        error: String,
    },
}

impl TlsFailure {
    /// The failure's class, for counts.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::WrongName { .. }
            | Self::UnknownIssuer
            | Self::Certificate { .. } => "certificate",
            Self::Alert { .. } | Self::Incompatible { .. } | Self::Malformed { .. } => "tls",
        }
    }
}

/// `2026-11-20T14:00:00Z`; a time that no calendar of four digits holds in seconds.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match DateTime::from_unix_duration(Duration::from_secs(since_epoch.as_secs())) {
            Ok(date) => date.fmt(f),
            Err(_) => write!(f, "{} s after 1970", since_epoch.as_secs()),
        }
    }
}

/// ` but for a.example, b.example`.
struct Presented<'a>(&'a [String]);

impl fmt::Display for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " but for {}", self.0.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_tls_read_as_an_operator_would_say_them() {
        let on = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_640_000);
        let wanted = "www.example.org".to_owned();
        for (failure, text) in [
            (TlsFailure::Expired { on }, "certificate expired on 2025-11-20T12:00:00Z"),
            (
                TlsFailure::WrongName {
                    wanted: wanted.clone(),
                    presented: vec!["a.example".into(), "b.example".into()],
                },
                "certificate is not for www.example.org but for a.example, b.example",
            ),
            (
                TlsFailure::WrongName { wanted, presented: Vec::new() },
                "certificate is not for www.example.org",
            ),
            (
                TlsFailure::Alert { alert: "handshake failure".to_owned() },
                "server refused TLS with the alert \"handshake failure\"",
            ),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }
}
