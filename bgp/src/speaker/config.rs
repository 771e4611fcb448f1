//! What the owner configures.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{BfdConfig, PeerGroup};
use crate::{
    Asn, AsnSet, Family, HoldTime, LocalRole, SessionKey,
    policy::{ExportFilter, Import, Overrides},
};

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
    /// Where connections from peers are accepted; nowhere when empty: we only dial.
    pub listen: Vec<SocketAddr>,
    /// The neighbours.
    pub peers: Vec<PeerConfig>,
    /// Neighbours that are not known one by one.
    #[serde(default)]
    pub groups: Vec<PeerGroup>,
}

impl SpeakerConfig {
    /// A speaker without peers that does not listen.
    pub const fn new(asn: Asn, router_id: Ipv4Addr) -> Self {
        Self {
            asn,
            router_id,
            restart_time: DEFAULT_RESTART_TIME,
            restarting: false,
            listen: Vec::new(),
            peers: Vec::new(),
            groups: Vec::new(),
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
    /// It may be in one of these as well.
    #[serde(default)]
    pub other_asns: AsnSet,
    /// It is waited for, never dialled; see [`SpeakerConfig::listen`].
    #[serde(default)]
    pub passive: bool,
    /// Both ends sign with this. It is not written down with the rest.
    #[serde(skip)]
    pub key: Option<SessionKey>,
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
    /// IPv4 routes may have IPv6 next hops, told and taken (RFC 8950): those of ours the IPv6 one, unless there is one of
    /// their own family.
    #[serde(default)]
    pub extended_next_hop: bool,
    /// A neighbour on the link of an IPv6 session is told our link-local address beside the IPv6 next hop (RFC 2545 §3). Off
    /// unless asked for, other than the RFC has it: bgpd of FRR takes such a route for withdrawn when it does not know the
    /// session's interface.
    #[serde(default)]
    pub link_local_next_hop: bool,
    /// Time to live of our packets when the neighbour is more than one hop away. `None`: 1 towards an external
    /// neighbour, the system's default towards an internal one.
    pub multihop: Option<u8>,
    /// The generalized TTL security mechanism (RFC 5082): we send with TTL 255 and drop what arrives with less
    /// than 255, or with less than 256 - `multihop`.
    pub gtsm: bool,
    /// Graceful restart is offered: the router keeps our routes while we restart, and we keep its (RFC 4724).
    pub graceful_restart: bool,
    /// Both keep routes over a NOTIFICATION and over a hold timer that expires, too (RFC 8538). Not for a router that
    /// sends traffic here: it would go on with that for the restart time after this host has died.
    #[serde(default)]
    pub graceful_notification: bool,
    /// Our routes may be kept for so long, as the last choice, when we have not come back within the restart time (RFC
    /// 9494; at most [`MAX_STALE_TIME`](crate::wire::MAX_STALE_TIME) seconds). `None`: not. What the neighbour wants kept so
    /// is kept anyway, with graceful restart, for a day at most.
    #[serde(default)]
    pub long_lived: Option<Duration>,
    /// What is taken of the router's routes. `None`: nothing, they are only counted (RFC 8212).
    #[serde(default)]
    pub import: Option<Import>,
    /// Which of our routes it is told.
    #[serde(default)]
    pub export: ExportFilter,
    /// Attributes that it is told in place of the routes' own.
    #[serde(default)]
    pub overrides: Overrides,
    /// We are its route reflector, in this cluster (RFC 4456): it is told what others that have one told, as far as
    /// [`Speaker::set_permits`](crate::Speaker::set_permits) lets it through. Only a neighbour in the own AS can be.
    #[serde(default)]
    pub cluster_id: Option<Ipv4Addr>,
    /// What we are to it; for a neighbour in another AS (RFC 9234).
    #[serde(default)]
    pub role: Option<LocalRole>,
    /// How the path to it is watched. `None`: not beyond the hold time. A change resets no session.
    #[serde(default)]
    pub bfd: Option<BfdConfig>,
}

/// Why a peer cannot be run as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerConfigError {
    /// There is nothing to talk about.
    #[error("it has no address family; configure ipv4, ipv6 or both")]
    NoFamily,
    /// Nobody can be reached there.
    #[error("{0} is no neighbour's address; configure the address of one router")]
    Address(IpAddr),
    /// Port 0 cannot be dialled.
    #[error("port 0 cannot be dialled; configure {BGP_PORT} or the router's own")]
    Port,
    /// The two ends are of different families.
    #[error(
        "its address {remote} cannot be dialled from {local}; configure a local address of the same family"
    )]
    LocalFamily {
        /// The neighbour's address.
        remote: IpAddr,
        /// Ours.
        local: IpAddr,
    },
    /// A packet that may make no hop goes nowhere.
    #[error("multihop 0 lets no packet leave; configure 1-255")]
    Multihop,
}

impl PeerConfig {
    /// Whether the speaker can run this peer; names are the owner's business. The speaker refuses one that fails,
    /// with [`SpeakerEvent::PeerRefused`](crate::SpeakerEvent::PeerRefused).
    pub fn validate(&self) -> Result<(), PeerConfigError> {
        if self.families.is_empty() {
            return Err(PeerConfigError::NoFamily);
        }
        if self.address.is_unspecified() || self.address.is_multicast() {
            return Err(PeerConfigError::Address(self.address));
        }
        if self.port == 0 {
            return Err(PeerConfigError::Port);
        }
        match self.local_address {
            Some(local) if local.is_ipv4() != self.address.is_ipv4() => {
                return Err(PeerConfigError::LocalFamily { remote: self.address, local });
            }
            Some(_) | None => {}
        }
        if self.multihop == Some(0) { Err(PeerConfigError::Multihop) } else { Ok(()) }
    }

    /// A neighbour with both families, graceful restart and the defaults for everything else.
    pub fn new(name: impl Into<String>, address: IpAddr, remote_asn: Asn) -> Self {
        Self {
            name: name.into(),
            address,
            port: BGP_PORT,
            remote_asn,
            other_asns: AsnSet::NONE,
            passive: false,
            key: None,
            local_address: None,
            hold_time: HoldTime::DEFAULT,
            connect_retry: DEFAULT_CONNECT_RETRY,
            families: Family::ALL.into(),
            next_hop_v4: None,
            next_hop_v6: None,
            extended_next_hop: false,
            link_local_next_hop: false,
            multihop: None,
            gtsm: false,
            graceful_restart: true,
            graceful_notification: false,
            long_lived: None,
            import: None,
            export: ExportFilter::All,
            overrides: Overrides::default(),
            cluster_id: None,
            role: None,
            bfd: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_run_is_refused_with_what_to_configure() {
        let peer = PeerConfig::new("r1", Ipv4Addr::LOCALHOST.into(), Asn::new(65_001).unwrap());
        assert_eq!(peer.validate(), Ok(()));
        let local = Some(Ipv6Addr::LOCALHOST.into());
        let wrong = [
            (PeerConfig { families: BTreeSet::new(), ..peer.clone() }, "configure ipv4, ipv6 or both"),
            (
                PeerConfig { address: Ipv4Addr::UNSPECIFIED.into(), ..peer.clone() },
                "0.0.0.0 is no neighbour's",
            ),
            (PeerConfig { port: 0, ..peer.clone() }, "configure 179"),
            (PeerConfig { local_address: local, ..peer.clone() }, "127.0.0.1 cannot be dialled from ::1"),
            (PeerConfig { multihop: Some(0), ..peer.clone() }, "1-255"),
        ];
        for (peer, words) in wrong {
            let error = peer.validate().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
