//! What the owner configures.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Asn, Family, HoldTime};

/// The port of BGP (RFC 4271 §4.2).
pub const BGP_PORT: u16 = 179;

/// How long a router keeps our routes while we restart, unless configured.
pub const DEFAULT_RESTART_TIME: Duration = Duration::from_secs(120);

/// How long after a failed TCP connection the next is tried, unless configured. RFC 4271 §10 suggests 120 s; a
/// balancer that announces nothing until then is worth a SYN every few seconds.
pub const DEFAULT_CONNECT_RETRY: Duration = Duration::from_secs(5);

/// A speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeakerConfig {
    /// The own AS.
    pub asn: Asn,
    /// The BGP identifier: unique within the AS, not zero.
    pub router_id: Ipv4Addr,
    /// Graceful restart: how long a router keeps our routes after it lost us (RFC 4724; at most 4095 s).
    pub restart_time: Duration,
    /// We come back after a crash and the kernel kept forwarding: the first session with each peer sets the
    /// Restart State bit (RFC 4724 §3), until everything was sent again.
    pub restarting: bool,
    /// Where connections from peers are accepted; `None`: we only dial.
    pub listen: Option<SocketAddr>,
    /// The neighbours.
    pub peers: Vec<PeerConfig>,
}

impl SpeakerConfig {
    /// A speaker without peers that does not listen.
    pub const fn new(asn: Asn, router_id: Ipv4Addr) -> Self {
        Self {
            asn,
            router_id,
            restart_time: DEFAULT_RESTART_TIME,
            restarting: false,
            listen: None,
            peers: Vec::new(),
        }
    }
}

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerConfig {
    /// The operator's name for it, unique; the key of status, events and logs.
    pub name: String,
    /// Its address, unique.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The AS that it must say it is in; equal to the own one makes the session internal.
    pub remote_asn: Asn,
    /// The address that we dial from; the kernel chooses when `None`.
    pub local_address: Option<IpAddr>,
    /// What we propose; the lower of both sides' proposals holds.
    pub hold_time: HoldTime,
    /// How long after a failed TCP connection the next is tried.
    pub connect_retry: Duration,
    /// The families that are offered.
    pub families: BTreeSet<Family>,
    /// Next hop of IPv4 routes; the session's local address when `None`.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// Next hop of IPv6 routes; the session's local address when `None`.
    pub next_hop_v6: Option<Ipv6Addr>,
    /// Time to live of our packets when the neighbour is more than one hop away. `None`: 1 towards an external
    /// neighbour, the system's default towards an internal one.
    pub multihop: Option<u8>,
    /// The generalized TTL security mechanism (RFC 5082): we send with TTL 255 and drop what arrives with less
    /// than 255, or with less than 256 - `multihop`.
    pub gtsm: bool,
    /// Graceful restart is offered: the router keeps our routes while we restart (RFC 4724).
    pub graceful_restart: bool,
}

impl PeerConfig {
    /// A neighbour with both families, graceful restart and the defaults for everything else.
    pub fn new(name: impl Into<String>, address: IpAddr, remote_asn: Asn) -> Self {
        Self {
            name: name.into(),
            address,
            port: BGP_PORT,
            remote_asn,
            local_address: None,
            hold_time: HoldTime::DEFAULT,
            connect_retry: DEFAULT_CONNECT_RETRY,
            families: Family::ALL.into(),
            next_hop_v4: None,
            next_hop_v6: None,
            multihop: None,
            gtsm: false,
            graceful_restart: true,
        }
    }
}
