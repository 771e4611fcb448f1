//! Which sessions with nodes there are to be.

use super::known::Known;
use crate::config::{MOST_NODE_PREFIXES as MOST_PREFIXES, NodeRoutes, Nodes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What the names of all sessions with nodes begin with; no router's name can.
pub const PREFIX: &str = "node/";

/// The sessions to keep, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodePeers {
    /// By name.
    pub sessions: BTreeMap<String, NodeSession>,
    /// Routes of one node and family at most.
    pub max_prefixes: u32,
    /// What holds for all of them.
    pub settings: Nodes,
}

/// A session with one node for one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeSession {
    /// The node.
    pub node: String,
    /// Its address, whose family is the session's.
    pub address: IpAddr,
    /// Its AS.
    pub asn: u32,
    /// Its TCP port.
    pub port: u16,
}

/// A node has a block or a few, and each borrowed address; more is a mistake, or a full table.
const MAX_PREFIXES: u32 = 1_000;

/// How many routes a node may tell. One of a mesh tells every node's blocks and borrowed addresses: where many blocks are
/// known, twice as many. By powers of two, so that it rarely changes: nodes are then asked for their routes once more.
pub(super) fn max_prefixes(config: &Nodes, known: &Known) -> u32 {
    let blocks = u32::try_from(known.blocks.iter().count()).unwrap_or(MOST_PREFIXES);
    let meshed = blocks.min(MOST_PREFIXES).next_power_of_two() * 2;
    config.max_prefixes.unwrap_or_else(|| meshed.clamp(MAX_PREFIXES, MOST_PREFIXES))
}

/// The name of a session.
pub fn name(node: &str, address: IpAddr) -> String {
    format!("{PREFIX}{node}/{}", crate::config::Family::of(address))
}

/// The sessions to keep, and why some nodes have none.
pub fn sessions(
    config: &Nodes,
    known: &Known,
    routers: &BTreeSet<IpAddr>,
) -> (BTreeMap<String, NodeSession>, BTreeMap<String, String>) {
    let (mut sessions, mut without) = (BTreeMap::new(), BTreeMap::new());
    if config.routes == NodeRoutes::Datastore {
        return (sessions, without);
    }
    for (node, known_node) in known.nodes.iter().filter(|(_, node)| node.is_peer) {
        let addresses: Vec<IpAddr> =
            config.families.iter().filter_map(|family| known_node.address(*family)).collect();
        if addresses.is_empty() {
            without.insert(node.clone(), "it has no address in a family that is wanted".to_owned());
        }
        for address in addresses {
            // An address has one name: the last node that claims it, as it is with next hops.
            let other = known.names.get(&address).filter(|other| *other != node);
            if let Some(other) = other {
                without.insert(node.clone(), format!("its address {address} is that of {other}"));
            } else if routers.contains(&address) {
                without.insert(node.clone(), format!("its address {address} is a router's"));
            } else {
                let (asn, port) = (known_node.asn, known_node.port);
                sessions.insert(name(node, address), NodeSession { node: node.clone(), address, asn, port });
            }
        }
    }
    (sessions, without)
}
