//! The validated configuration: plain data, every rule of the format already held.

mod neighbours;
mod pool;

use super::{Attributes, Canary, Place, Pybal, PybalNames, Route, SourceSettings, Threshold, Vip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use neighbours::{Distance, Group, Peer, TcpAo, Terms};
pub use pool::{
    Admin, Backend, ConnectionLimits, Front, HostAddresses, Pool, PoolId, Query, ServiceQuery, Target,
};

/// A whole configuration, as one or several files gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The daemon's own settings, `[lvsd]`.
    pub daemon: Daemon,
    /// What the kernel's IPVS is set to beside its table, `[ipvs]`; what is not said stays as it is.
    pub ipvs: ipvs::Settings,
    /// The BGP speaker, `[bgp]`; without it nothing is announced.
    pub bgp: Option<Bgp>,
    /// The balanced services by name, `[service.NAME]`.
    pub services: BTreeMap<String, Arc<Service>>,
    /// What pools are read from beside files, by name, `[source.NAME]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<Arc<str>, SourceSettings>,
    /// How VIPs are announced, `[vip."ADDRESS"]`; those that are not here have [`Vip::default`].
    pub vips: BTreeMap<IpAddr, Vip>,
    /// Where checks come from that go to a server by a VIP, `[probes]`; without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// The first of [`IPVS_MARKS`](super::IPVS_MARKS) firewall marks by which lvsd asks through IPVS itself.
    #[serde(default = "super::canary::default_first_mark")]
    pub first_mark: u32,
    /// What balancers tell one another, and where, `[fleet]`; without it nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<super::Fleet>,
    /// The peer of a cluster's nodes, `[nodes]`; without it no route is taken from anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<super::Nodes>,
    /// What was written for PyBal and goes on finding it, `[pybal]`.
    #[serde(default, skip_serializing_if = "Pybal::is_default")]
    pub pybal: Pybal,
    /// The control interface over TLS, `[remote]`; without it there is the unix socket alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<super::Remote>,
}

/// Where checks come from that go to a server by a VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// The network namespace that they come from, by its name in /run/netns.
    pub namespace: String,
    /// The unix socket over which the namespace's sockets are handed over.
    pub socket: PathBuf,
    /// The first of [`MARKS`](super::MARKS) firewall marks, one for each server, and of as many routing tables.
    pub first_mark: u32,
    /// The segments that servers are in; at least one, no interface twice.
    pub segments: Vec<Segment>,
}

/// A segment that servers are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The balancer's interface that leads there.
    pub interface: String,
    /// Addresses in it that nobody else has, at least one.
    pub addresses: Vec<Network>,
    /// Routers in it that lead to other networks, at most one for each family.
    pub gateways: Vec<IpAddr>,
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Network {
    /// The address itself.
    pub address: IpAddr,
    /// The prefix length: 1 to 32, or to 128.
    pub length: u8,
}

impl Network {
    /// Whether an address is in the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// `10.64.0.201/24`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Not an address that a host can have, with a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address with a prefix length, such as 10.64.0.201/24")]
pub struct NetworkError;

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').ok_or(NetworkError)?;
        let (address, length): (IpAddr, u8) =
            (address.parse().map_err(|_| NetworkError)?, length.parse().map_err(|_| NetworkError)?);
        let (most, is_hosts) = match address {
            IpAddr::V4(v4) => (32, !v4.is_multicast() && !v4.is_broadcast()),
            IpAddr::V6(v6) => (128, !v6.is_multicast() && v6.to_ipv4_mapped().is_none()),
        };
        let is_hosts = is_hosts && !address.is_unspecified() && !address.is_loopback();
        let fits = is_hosts && (1..=most).contains(&length);
        fits.then_some(Self { address, length }).ok_or(NetworkError)
    }
}

/// The daemon's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Directory of what must survive a restart.
    pub state_dir: PathBuf,
    /// Path of the unix socket that `lvsctl` talks to.
    pub control_socket: PathBuf,
    /// Where metrics and probes of the daemon itself are served; `None` when switched off.
    pub http: Option<SocketAddr>,
    /// Name of the dummy device that carries the VIPs.
    pub device: String,
    /// How often the kernel is read again and repaired.
    pub resync_interval: Duration,
    /// The longest that a removed backend keeps its connections.
    pub drain_timeout: Duration,
    /// How long a stop waits between withdrawing the VIPs and exiting.
    pub shutdown_delay: Duration,
    /// How often host names are looked up again.
    pub resolve_interval: Duration,
    /// Unix group that may read over the control socket, besides root.
    pub control_group: Option<String>,
    /// The receive buffer of the socket over which the kernel answers about IPVS, in bytes.
    #[serde(default = "super::daemon::default_netlink_buffer")]
    pub netlink_buffer: usize,
    /// Whether everything is done but write: to the kernel, to routers, to the disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The BGP speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bgp {
    /// Our AS number; never 0 nor a reserved one.
    pub local_asn: u32,
    /// Our BGP identifier; never 0.0.0.0.
    pub router_id: Ipv4Addr,
    /// Proposed hold time: zero, or whole seconds from 3 (RFC 4271, section 4.2).
    pub hold_time: Duration,
    /// Whether peers are asked to keep our routes while we restart (RFC 4724).
    pub graceful_restart: bool,
    /// For how long beyond that they may keep them, as the last choice (RFC 9494); not at all when absent.
    #[serde(default)]
    pub long_lived: Option<Duration>,
    /// How long a VIP stays announced after its last backend is gone.
    pub withdraw_hold: Duration,
    /// How long routers are asked to prefer others before a planned withdrawal of everything.
    #[serde(default)]
    pub graceful_shutdown: Duration,
    /// What every announcement says of which nobody else says something.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Where neighbours may dial; only we dial when empty.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// The routers, in the order of the file, names and addresses unique; at least one when there is no group.
    pub peers: Vec<Peer>,
    /// Neighbours that are not known one by one; no two share a name or a prefix.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// The station that hears of sessions and routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmp: Option<Bmp>,
}

/// A station of the BGP Monitoring Protocol (RFC 7854).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bmp {
    /// Where it listens.
    pub station: SocketAddr,
    /// How often it hears each session's counts.
    pub statistics_interval: Duration,
    /// Whether it hears of what neighbours tell before the import rules, too.
    #[serde(default)]
    pub pre_policy: bool,
}

/// An address family that is announced to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// The family's name as the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ipvs::Family> for Family {
    fn from(family: ipvs::Family) -> Self {
        match family {
            ipvs::Family::V4 => Self::Ipv4,
            ipvs::Family::V6 => Self::Ipv6,
        }
    }
}

/// One balanced service: the same port of one or several VIPs, served by one pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, the key of [`Config::services`].
    pub name: Arc<str>,
    /// The virtual addresses in the order of the file; at least one, no two alike.
    pub vips: Vec<IpAddr>,
    /// The port of the VIPs; 0 with a firewall mark.
    pub port: u16,
    /// The mark by which the firewall tells the service's packets, instead of port and protocol.
    pub fwmark: Option<NonZeroU32>,
    /// The transport protocol; TCP with a firewall mark, which may stand for any.
    pub protocol: ipvs::Protocol,
    /// The scheduler with its flags, one-packet scheduling, and the persistence of IPv4 clients.
    pub scheduler: ipvs::Service,
    /// The persistence of IPv6 clients.
    pub persistence_ipv6: Option<ipvs::Persistence>,
    /// How packets get to the backends.
    pub forward: ipvs::Forward,
    /// The port of the backends: that of the VIPs unless packets get another (NAT).
    pub backend_port: u16,
    /// The share of its backends that health never depools.
    pub depool_threshold: Threshold,
    /// The share of a pool that one push of its source may take out; more is held back until it is confirmed.
    pub max_change: Threshold,
    /// How long a backend that comes back takes to its full weight; zero: none.
    pub slow_start: Duration,
    /// Whether only backends on a link of the balancer's own are pooled: direct routing reaches no others.
    pub require_on_link: bool,
    /// Where the backends come from.
    pub pool: Pool,
    /// Hosts of pools that are kept elsewhere whose addresses are given and not looked up; keys as in [`Backend::host`].
    pub addresses: HostAddresses,
    /// How many of the checks a backend must pass.
    pub require: Require,
    /// The checks of a backend; none takes every backend for up.
    pub checks: Vec<CheckTemplate>,
    /// What its VIPs are announced with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Box<Route>>,
    /// What shows whether IPVS forwards for it; it decides about no backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Box<Canary>>,
    /// PyBal's names for its pools; its own for both families as one when there are none.
    #[serde(default, skip_serializing_if = "PybalNames::is_empty")]
    pub pybal_names: PybalNames,
    /// Where the service is defined.
    pub origin: Place,
}

impl Service {
    /// What the kernel is told of it for clients of a family.
    pub fn settings(&self, family: ipvs::Family) -> ipvs::Service {
        match (family, self.persistence_ipv6) {
            (ipvs::Family::V6, Some(persistence)) => self.scheduler.clone().with_persistence(persistence),
            (ipvs::Family::V4 | ipvs::Family::V6, _) => self.scheduler.clone(),
        }
    }

    /// The addresses of its backends that the configuration gives.
    pub fn given_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let inline: &[Backend] = match &self.pool {
            Pool::Inline(backends) => backends,
            Pool::Sources(_) => &[],
        };
        let inline = inline.iter().filter_map(|backend| backend.addresses.as_ref());
        inline.chain(self.addresses.values()).flat_map(|addresses| addresses.iter().copied())
    }

    /// The names that its pools have for those who know PyBal.
    pub fn names_of_pools(&self) -> impl Iterator<Item = &str> {
        let own = self.pybal_names.is_empty().then_some(&*self.name);
        self.pybal_names.keys().map(|name| &**name).chain(own)
    }

    /// The kernel's key of it on one of its VIPs. With a firewall mark all VIPs of a family have the same.
    pub fn key(&self, vip: IpAddr) -> ipvs::ServiceKey {
        match self.fwmark {
            Some(mark) => ipvs::ServiceKey::FwMark { family: ipvs::Family::of(vip), mark },
            None => ipvs::ServiceKey::Address { protocol: self.protocol, address: vip, port: self.port },
        }
    }
}

/// How many of its checks a backend must pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Every one.
    #[default]
    All,
    /// One of them.
    Any,
    /// So many of them.
    AtLeast(NonZeroU16),
}

impl Require {
    /// How many of `count` checks have to pass.
    pub fn of(self, count: usize) -> usize {
        match self {
            Self::All => count,
            Self::Any => count.min(1),
            Self::AtLeast(number) => count.min(number.get().into()),
        }
    }
}

/// A check of every backend of a service; with a backend's address it becomes a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckTemplate {
    /// What is asked.
    pub kind: health::Kind,
    /// The port that is asked; the service's own when absent.
    pub port: Option<NonZeroU16>,
    /// The way that its packets go.
    pub path: CheckPath,
    /// How often it is asked and when the answer counts.
    pub timing: health::Timing,
}

/// The way that a check's packets go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckPath {
    /// To the backend's own address.
    Direct {
        /// The addresses that they come from, at most one of each family; the routing table's choice for a family
        /// without one.
        sources: Vec<IpAddr>,
    },
    /// To the VIP, handed to the backend as a client's packet is.
    Vip,
    /// To the VIP, by the balancer's own IPVS table to the backend.
    Ipvs,
}

/// To the backend's own address, from the address that the routing table chooses.
impl Default for CheckPath {
    fn default() -> Self {
        Self::Direct { sources: Vec::new() }
    }
}
