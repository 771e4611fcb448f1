//! The names of the states.

use serde::{Deserialize, Serialize};

/// A session's state, RFC 4271 §8.2.2. The furthest one when two connections are being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StateName {
    /// Waiting before the next attempt, or stopped.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// TCP failed; waiting to try again.
    Active,
    /// TCP is up; waiting for the neighbour's OPEN.
    OpenSent,
    /// OPENs are exchanged; waiting for the first KEEPALIVE.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl StateName {
    /// As the RFC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
