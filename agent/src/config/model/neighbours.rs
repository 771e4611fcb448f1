//! Who is told of VIPs: routers, and groups of neighbours.

use super::Family;
use crate::config::Secret;
use bgp::policy::{ExportFilter, Import, Overrides};
use bgp::{AoAlgorithm, LocalRole};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// One router that VIPs are announced to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Name in logs, status and metrics.
    pub name: String,
    /// The router's address.
    pub address: IpAddr,
    /// The router's AS number.
    pub asn: u32,
    /// The router's TCP port.
    pub port: u16,
    /// Our end of the session; the kernel chooses when absent.
    pub local_address: Option<IpAddr>,
    /// The router dials, and we wait for it.
    #[serde(default)]
    pub passive: bool,
    /// How it is talked to.
    #[serde(flatten)]
    pub terms: Terms,
}

/// Neighbours that dial from some prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What their names in logs, status and metrics begin with, before `/` and the address.
    pub name: String,
    /// Where they dial from; at least one.
    pub prefixes: Vec<bgp::Prefix>,
    /// The AS numbers that they may be in; at least one.
    pub asns: bgp::AsnSet,
    /// So many at the same time, those that are remembered among them.
    pub limit: usize,
    /// How long one is remembered after its last connection.
    pub linger: Duration,
    /// How each of them is talked to.
    #[serde(flatten)]
    pub terms: Terms,
}

/// How a neighbour is talked to, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What is announced; never empty. A family other than the session's own has its next hop below.
    pub families: BTreeSet<Family>,
    /// Next hop of IPv4 announcements; our end of the session when absent.
    pub next_hop_ipv4: Option<Ipv4Addr>,
    /// Next hop of IPv6 announcements; our end of the session when absent.
    pub next_hop_ipv6: Option<Ipv6Addr>,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    #[serde(default)]
    pub extended_next_hop: bool,
    /// Our link-local address is told beside the IPv6 next hop (RFC 2545).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link_local_next_hop: bool,
    /// Both keep routes over a NOTIFICATION, too (RFC 8538).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub graceful_notification: bool,
    /// What our AS is to its (RFC 9234).
    #[serde(default)]
    pub role: Option<LocalRole>,
    /// What is taken of its routes; nothing without rules.
    #[serde(default)]
    pub import: Option<Import>,
    /// Which of our routes it is told.
    #[serde(default)]
    pub export: ExportFilter,
    /// Attributes that it is told in place of the routes' own.
    #[serde(default)]
    pub overrides: Overrides,
    /// How far away it is.
    #[serde(default)]
    pub distance: Distance,
    /// What both ends sign with (RFC 2385).
    #[serde(default)]
    pub password: Option<Secret>,
    /// What both ends sign with in its place (RFC 5925).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_ao: Option<TcpAo>,
    /// How the path to it is watched, beyond the hold time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<bgp::BfdConfig>,
}

impl Terms {
    /// Whether both ends sign.
    pub fn is_signed(&self) -> bool {
        self.password.is_some() || self.tcp_ao.is_some()
    }
}

/// How far away a neighbour is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// On the link when it is in another AS, anywhere when it is in ours.
    #[default]
    Usual,
    /// Our packets get this TTL.
    Ttl(u8),
    /// At most so many hops; what comes from further away is dropped (RFC 5082). 1 is the link.
    Within(u8),
}

/// The key of TCP-AO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpAo {
    /// Its number, the same at both ends.
    pub key_id: u8,
    /// What signs.
    pub algorithm: AoAlgorithm,
    /// The secret.
    pub secret: Secret,
}
