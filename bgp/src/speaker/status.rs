//! What the speaker is doing now.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::PeerConfig;
use crate::{Family, HoldTime, SessionKey, bfd, fsm::StateName, wire::Notification};

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
    /// The router said that it restarts, and waits for us to tell everything (RFC 4724 §4.1).
    #[serde(default)]
    pub restarting: bool,
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

/// Messages by their type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE, End-of-RIB among them.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH, its markers among them.
    pub refresh: u64,
}

impl MessageCounts {
    /// Each type with its count.
    pub const fn by_type(&self) -> [(&'static str, u64); 5] {
        [
            ("open", self.open),
            ("update", self.update),
            ("notification", self.notification),
            ("keepalive", self.keepalive),
            ("refresh", self.refresh),
        ]
    }
}

/// A NOTIFICATION, in words, and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldAt {
    /// When.
    pub at: SystemTime,
    /// Code, subcode and text.
    pub text: String,
}

impl ToldAt {
    pub(crate) fn now(notification: &Notification) -> Self {
        Self { at: SystemTime::now(), text: notification.to_string() }
    }
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
    /// Messages received, by type; those that could not be read are in none.
    #[serde(default)]
    pub received: MessageCounts,
    /// Messages sent, by type.
    #[serde(default)]
    pub sent: MessageCounts,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The neighbour's address, as configured.
    pub address: IpAddr,
    /// The AS that it has to be in.
    pub asn: u32,
    /// What protects the session, and how it is made: `MD5`, `TCP-AO`, `GTSM`, `passive`.
    #[serde(default)]
    pub marks: Vec<String>,
    /// The hold time that we propose.
    pub hold_time: HoldTime,
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
    /// The most paths of each family that are kept of it; `None` where nothing is taken.
    #[serde(default)]
    pub prefix_limit: Option<usize>,
    /// Families of which it has told everything in this session (End-of-RIB).
    #[serde(default)]
    pub told: BTreeSet<Family>,
    /// How many of them were told before a restart or refresh and not since.
    #[serde(default)]
    pub stale: usize,
    /// How often a route was not taken, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// The capabilities in our last OPEN, in words.
    #[serde(default)]
    pub capabilities_sent: Vec<String>,
    /// The capabilities in the router's last OPEN.
    #[serde(default)]
    pub capabilities_received: Vec<String>,
    /// The hold time that the router proposed last, in seconds.
    #[serde(default)]
    pub hold_time_received: Option<u16>,
    /// The last NOTIFICATION that it was sent.
    #[serde(default)]
    pub notification_sent: Option<ToldAt>,
    /// The last NOTIFICATION that came from it.
    #[serde(default)]
    pub notification_received: Option<ToldAt>,
    /// Routes that are wanted but not sent, and why.
    pub withheld: Vec<Withheld>,
    /// Everything that is wanted was written.
    pub in_sync: bool,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// What was last wrong with an UPDATE that did not end the session, and what became of it (RFC 7606).
    #[serde(default)]
    pub last_malformed: Option<String>,
    /// What BFD knows of the path; `None` without BFD.
    #[serde(default)]
    pub bfd: Option<bfd::Status>,
    /// From `set_routes` to the return of the write that carried its last withdrawal, the last time.
    pub last_withdraw_latency: Option<Duration>,
    /// The same for announcements.
    pub last_announce_latency: Option<Duration>,
    /// Counters.
    pub counters: PeerCounters,
}

impl PeerStatus {
    /// A peer that was just configured.
    pub(crate) fn new(config: &PeerConfig, since: SystemTime) -> Self {
        Self {
            address: config.address,
            asn: config.remote_asn.get(),
            marks: marks(config),
            hold_time: config.hold_time,
            capabilities_sent: Vec::new(),
            capabilities_received: Vec::new(),
            hold_time_received: None,
            notification_sent: None,
            notification_received: None,
            state: StateName::Idle,
            since,
            session: None,
            announced: BTreeMap::new(),
            received: BTreeMap::new(),
            learned: BTreeMap::new(),
            prefix_limit: None,
            told: BTreeSet::new(),
            stale: 0,
            refused: BTreeMap::new(),
            withheld: Vec::new(),
            in_sync: false,
            last_error: None,
            last_malformed: None,
            bfd: None,
            last_withdraw_latency: None,
            last_announce_latency: None,
            counters: PeerCounters::default(),
        }
    }
}

impl PeerStatus {
    /// The same with what was counted and said before the peer was configured anew.
    pub(crate) fn after(self, before: Self) -> Self {
        Self {
            counters: before.counters,
            notification_sent: before.notification_sent,
            notification_received: before.notification_received,
            last_error: before.last_error,
            last_malformed: before.last_malformed,
            last_withdraw_latency: before.last_withdraw_latency,
            last_announce_latency: before.last_announce_latency,
            ..self
        }
    }
}

fn marks(config: &PeerConfig) -> Vec<String> {
    let (md5, ao) = match config.key {
        None => (false, false),
        Some(SessionKey::Md5(_)) => (true, false),
        Some(SessionKey::Ao(_)) => (false, true),
    };
    let marks = [("MD5", md5), ("TCP-AO", ao), ("GTSM", config.gtsm), ("passive", config.passive)];
    marks.into_iter().filter(|(_, is_so)| *is_so).map(|(mark, _)| mark.to_owned()).collect()
}
