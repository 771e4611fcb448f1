//! Connections that nobody takes: counted by reason, said seldom.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Instant};

use serde::{Deserialize, Serialize};

use super::{Outlet, Seldom};

/// Why a connection was closed before a word was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It came from an address that no peer has and no group covers.
    UnknownAddress,
    /// Its group has as many neighbours as it may.
    GroupFull,
    /// The peer has not yet looked at those that came before.
    TooMany,
    /// The speaker, or the group, is being stopped.
    Stopping,
    /// It had to be signed, and the kernel could not be told to check that.
    Unsigned,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::UnknownAddress, Self::GroupFull, Self::TooMany, Self::Stopping, Self::Unsigned];

    /// The reason as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAddress => "unknown_address",
            Self::GroupFull => "group_full",
            Self::TooMany => "too_many",
            Self::Stopping => "stopping",
            Self::Unsigned => "unsigned",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAddress => "no peer has the address it came from, and no group covers it",
            Self::GroupFull => {
                "its group has as many neighbours as it may; raise the limit if they are wanted"
            }
            Self::TooMany => "the peer has not yet looked at those that came before",
            Self::Stopping => "its peer is being stopped",
            Self::Unsigned => "it has to be signed, and the kernel could not be told to check that",
        })
    }
}

/// How many connections were refused since the start, by reason; every reason is in it.
pub type Refused = BTreeMap<Refusal, u64>;

/// See the module.
#[derive(Debug)]
pub(super) struct Refusals {
    outlet: Outlet,
    lines: BTreeMap<Refusal, (Seldom, SocketAddr)>,
}

impl Refusals {
    pub(super) const fn new(outlet: Outlet) -> Self {
        Self { outlet, lines: BTreeMap::new() }
    }

    /// A connection from there is refused.
    pub(super) fn note(&mut self, reason: Refusal, from: SocketAddr, now: Instant) {
        self.outlet.refused(reason);
        let (seldom, latest) = self.lines.entry(reason).or_insert((Seldom::default(), from));
        *latest = from;
        if let Some(count) = seldom.happened(now) {
            say(reason, count, from);
        }
    }

    /// When something is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lines.values().filter_map(|(seldom, _)| seldom.due()).min()
    }

    /// Says what is due.
    pub(super) fn overdue(&mut self, now: Instant) {
        for (reason, (seldom, latest)) in &mut self.lines {
            if let Some(count) = seldom.overdue(now) {
                say(*reason, count, *latest);
            }
        }
    }
}

fn say(reason: Refusal, count: u64, latest: SocketAddr) {
    tracing::warn!(%reason, count, %latest, "BGP connections refused");
}
