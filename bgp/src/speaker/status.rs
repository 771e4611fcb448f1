//! What the speaker is doing now.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Family, HoldTime, fsm::StateName};

/// Every peer's status by its configured name.
pub type Statuses = BTreeMap<String, PeerStatus>;

/// What an established session agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The router's BGP identifier.
    pub remote_router_id: Ipv4Addr,
    /// Our end of the TCP connection.
    pub local: SocketAddr,
    /// The router's end.
    pub remote: SocketAddr,
    /// The lower of both proposals.
    pub hold_time: HoldTime,
    /// The families that both sides offered.
    pub families: BTreeSet<Family>,
    /// AS numbers travel in four octets.
    pub four_octet_asn: bool,
    /// Both sides offered graceful restart.
    pub graceful_restart: bool,
}

/// Routes that are wanted but not sent to this peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Withheld {
    /// Their family.
    pub family: Family,
    /// How many.
    pub routes: usize,
    /// Why, and what to do.
    pub reason: String,
}

/// Counters since the speaker started; they survive the peer's sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCounters {
    /// Messages received, of any type.
    pub messages_in: u64,
    /// Messages sent, of any type.
    pub messages_out: u64,
    /// UPDATEs received.
    pub updates_in: u64,
    /// UPDATEs sent.
    pub updates_out: u64,
    /// NOTIFICATIONs received.
    pub notifications_in: u64,
    /// NOTIFICATIONs sent.
    pub notifications_out: u64,
    /// UPDATEs received whose routes count as withdrawn because an attribute was malformed (RFC 7606).
    pub treated_as_withdraw: u64,
    /// Attributes received that were discarded as malformed (RFC 7606).
    pub attributes_discarded: u64,
    /// TCP connections made, in either direction.
    pub connects: u64,
    /// Sessions that reached Established.
    pub established: u64,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Where the state machine is.
    pub state: StateName,
    /// Since when.
    pub since: SystemTime,
    /// What was agreed on; `None` unless established.
    pub session: Option<SessionStatus>,
    /// Prefixes that the router holds of us, once everything queued is written; by family.
    pub announced: BTreeMap<Family, usize>,
    /// Prefixes that the router announced in this session, by family, taken or not.
    pub received: BTreeMap<Family, u64>,
    /// Paths that the import rules took, by family; over a restart of the router also those of its last session.
    #[serde(default)]
    pub learned: BTreeMap<Family, usize>,
    /// How many of them were told before a restart or refresh and not since.
    #[serde(default)]
    pub stale: usize,
    /// How often a route was not taken, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Routes that are wanted but not sent, and why.
    pub withheld: Vec<Withheld>,
    /// Everything that is wanted was written.
    pub in_sync: bool,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// What was last wrong with an UPDATE that did not end the session, and what became of it (RFC 7606).
    #[serde(default)]
    pub last_malformed: Option<String>,
    /// From `set_routes` to the return of the write that carried its last withdrawal, the last time.
    pub last_withdraw_latency: Option<Duration>,
    /// The same for announcements.
    pub last_announce_latency: Option<Duration>,
    /// Counters.
    pub counters: PeerCounters,
}

impl PeerStatus {
    /// A peer that was just configured.
    pub(crate) fn new(since: SystemTime) -> Self {
        Self {
            state: StateName::Idle,
            since,
            session: None,
            announced: BTreeMap::new(),
            received: BTreeMap::new(),
            learned: BTreeMap::new(),
            stale: 0,
            refused: BTreeMap::new(),
            withheld: Vec::new(),
            in_sync: false,
            last_error: None,
            last_malformed: None,
            last_withdraw_latency: None,
            last_announce_latency: None,
            counters: PeerCounters::default(),
        }
    }
}
