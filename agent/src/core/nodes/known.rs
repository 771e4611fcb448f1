//! What is known of the cluster: the configuration and its source together.

use super::Cluster;
use super::prefixes::PrefixMap;
use crate::config::{Family, IpPool, NodeMode, Nodes};
use bgp::Prefix;
use bgp::speaker::BGP_PORT;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The AS of Calico's nodes when nobody says another.
pub const DEFAULT_NODE_ASN: u32 = 64_512;

/// A node that is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// Its addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Its AS.
    pub asn: u32,
    /// Its TCP port.
    pub port: u16,
    /// It passes on what other nodes announce.
    pub is_reflector: bool,
    /// Whether we talk to it over BGP.
    pub is_peer: bool,
}

impl KnownNode {
    /// Its address in a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Nodes by name. One that the configuration has is as it says there.
    pub nodes: BTreeMap<String, KnownNode>,
    /// The name of the node that has an address.
    pub names: BTreeMap<IpAddr, String>,
    /// Lengths of blocks by pool.
    pub pools: PrefixMap<u8>,
    /// Owners of blocks.
    pub blocks: PrefixMap<String>,
    /// Whether a source says who has which block.
    pub has_blocks: bool,
    /// Prefixes of services.
    pub services: PrefixMap<()>,
    /// Whether everything has spoken that says where pods' addresses are.
    pub is_complete: bool,
}

impl Known {
    /// Puts both together. `cluster` is what the source said last, if it ever has.
    pub fn of(config: &Nodes, cluster: Option<&Cluster>) -> Self {
        let mut known = Self {
            is_complete: config.cluster.is_none() || cluster.is_some(),
            has_blocks: cluster.is_some(),
            ..Self::default()
        };
        let asn = config.asn.or(cluster.and_then(|cluster| cluster.asn)).unwrap_or(DEFAULT_NODE_ASN);
        let empty = Cluster::default();
        let cluster = cluster.unwrap_or(&empty);
        known.nodes.extend(cluster.nodes.iter().map(|(name, node)| {
            let (addresses, asn) = (node.addresses.clone(), node.asn.unwrap_or(asn));
            let (is_reflector, is_peer) = (node.is_reflector, config.mode == NodeMode::Discover);
            (name.clone(), KnownNode { addresses, asn, port: BGP_PORT, is_reflector, is_peer })
        }));
        known.nodes.extend(config.nodes.iter().map(|node| {
            let (addresses, asn) = (node.addresses.clone(), node.asn.unwrap_or(asn));
            let is_reflector = node.is_reflector;
            (node.name.clone(), KnownNode { addresses, asn, port: node.port, is_reflector, is_peer: true })
        }));
        for (name, node) in &known.nodes {
            known.names.extend(node.addresses.iter().map(|address| (*address, name.clone())));
        }
        let pools = config.pools.iter().chain(&cluster.pools);
        known.pools = pools.map(|IpPool { cidr, block_size }| (*cidr, *block_size)).collect();
        known.blocks = cluster.blocks.iter().map(|(block, owner)| (*block, owner.clone())).collect();
        let services: BTreeSet<Prefix> = &config.service_cidrs | &cluster.service_cidrs;
        known.services = services.into_iter().map(|cidr| (cidr, ())).collect();
        known
    }
}
