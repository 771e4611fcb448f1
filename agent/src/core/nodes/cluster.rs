//! What a source says of a cluster, always the whole of it.

use crate::config::IpPool;
use bgp::Prefix;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A cluster: its nodes, where pods' addresses come from, and who has which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The nodes by name.
    pub nodes: BTreeMap<String, ClusterNode>,
    /// The ranges of pods' addresses.
    pub pools: BTreeSet<IpPool>,
    /// Which node has which block; confirmed ones only.
    pub blocks: BTreeMap<Prefix, String>,
    /// Addresses of services that nodes announce.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The AS of nodes that say none.
    pub asn: Option<u32>,
    /// Whom its nodes were told to talk to (Calico's `BGPPeer`), by name; none when the source does not say.
    #[serde(default)]
    pub peers: Option<BTreeMap<String, NodesNeighbour>>,
}

/// Whom a cluster's nodes were told to talk to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesNeighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its AS.
    pub asn: Option<u32>,
}

/// A node of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Its AS, if it says one.
    pub asn: Option<u32>,
    /// It passes on what other nodes announce.
    pub is_reflector: bool,
}
