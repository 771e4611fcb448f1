//! `[nodes]`, validated: plain data.

use crate::config::{Family, Secret};
use bgp::Prefix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The peer of a cluster's nodes: whom to talk to, and what of their routes to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Where the nodes are found.
    pub mode: NodeMode,
    /// Where their routes come from.
    pub routes: NodeRoutes,
    /// How routes are held against the blocks that the cluster says its nodes have.
    pub blocks: BlockCheck,
    /// The AS of nodes that say none themselves.
    pub asn: Option<u32>,
    /// Offered to nodes: 3 s to 240 s.
    pub hold_time: Duration,
    /// Families of sessions; a node has one session for each in which it has an address. Never empty.
    pub families: BTreeSet<Family>,
    /// Our end of IPv4 sessions; the kernel chooses when absent.
    pub local_ipv4: Option<Ipv4Addr>,
    /// Our end of IPv6 sessions; the kernel chooses when absent.
    pub local_ipv6: Option<Ipv6Addr>,
    /// The time to live of our packets.
    pub multihop: u8,
    /// What sessions with nodes are signed with (TCP-MD5, RFC 2385).
    pub password: Option<Secret>,
    /// Where the cluster's nodes, pools and blocks are written down.
    pub cluster: Option<ClusterPlace>,
    /// Routes of one node and family at most; as the number of blocks wants it when absent.
    pub max_prefixes: Option<u32>,
    /// How long a node that told more is left alone.
    pub hold_off: Duration,
    /// Prefixes of services, beside those that the cluster says: never taken from a node.
    pub service_cidrs: BTreeSet<Prefix>,
    /// IP pools, beside those that the cluster says.
    pub pools: Vec<IpPool>,
    /// Nodes, beside those that the cluster says.
    pub nodes: Vec<Node>,
    /// From where nodes may connect that are not known by name.
    pub listen: Vec<NodeListen>,
    /// We are their route reflector: each is told the others' pod routes.
    pub reflector: bool,
    /// The cluster that we are the reflector of, where it is not the router id.
    pub cluster_id: Option<Ipv4Addr>,
    /// Where their routes go in the kernel.
    pub fib: crate::fib::Settings,
}

/// Where a cluster's nodes, pools and blocks are written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterPlace {
    /// In a file.
    File(PathBuf),
    /// In a source of [`Config::sources`](crate::config::Config::sources).
    Source(Arc<str>),
}

/// The path of the file, or `source NAME`.
impl fmt::Display for ClusterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Source(source) => write!(f, "source {source}"),
        }
    }
}

/// Where nodes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeMode {
    /// In the cluster file, beside those of the configuration.
    Discover,
    /// In the configuration alone.
    Static,
    /// They connect from known prefixes, beside those of the configuration.
    Listen,
}

/// Where the nodes' routes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRoutes {
    /// The nodes say them over BGP.
    Bgp,
    /// They follow from the cluster's blocks and the nodes' addresses; there are no sessions.
    Datastore,
}

/// How routes are held against the cluster's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlockCheck {
    /// Not at all.
    Off,
    /// A route of a block that is another node's, or nobody's, is taken and named.
    Warn,
    /// Such a route is refused.
    Enforce,
}

/// A range of pods' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IpPool {
    /// The whole range.
    pub cidr: Prefix,
    /// The length of the blocks that nodes get of it; no shorter than the range's.
    pub block_size: u8,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// Its addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Its AS; [`Nodes::asn`] when absent.
    pub asn: Option<u32>,
    /// Its TCP port.
    pub port: u16,
    /// It passes on what other nodes announce, so that their addresses are next hops of its routes, too.
    pub is_reflector: bool,
}

/// From where nodes may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeListen {
    /// Their addresses.
    pub prefix: Prefix,
    /// The AS that they must be in.
    pub asn: u32,
}
