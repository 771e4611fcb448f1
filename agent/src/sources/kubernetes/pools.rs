//! The backends that a cluster has for a pool.
//!
//! | the pool names | its backends are | weight |
//! |---|---|---|
//! | a selector of nodes | the nodes that it means | 1 |
//! | a Service, forwarded by direct routing or a tunnel | nodes, as its `externalTrafficPolicy` says: Cluster, every one; Local, those with an endpoint | 1; Local: so many ready endpoints |
//! | a Service, forwarded by NAT | its pods, or with `to = "nodes"` nodes at its node port | 1, or as above |
//! | a Service, with `to = "pods"` but not by NAT | its pods that are in their node's network, which has the VIPs | 1 |
//!
//! An endpoint that ends and still serves has weight 0, so that its connections finish; a node whose endpoints all end has, too.

use super::endpoints::{Life, Usable, by_node, usable};
use super::index::Index;
use super::model::{Key, Node, Policy, Port, Service};
use super::selector::Selector;
use super::serve::{Arrival, entry};
use crate::config::{Admin, Backend, ConnectionLimits, Cordon, Family, Front, Target};
use ipvs::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What a pool takes from a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nodes by their labels.
    Nodes(Selector),
    /// What is behind a port of a Service.
    Service(Behind),
}

/// What is behind a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The Service.
    pub service: Key,
    /// Which of its ports, by name or number; needed when it has several.
    pub port: Option<Arc<str>>,
    /// What it is for.
    pub front: Front,
    /// Whether the nodes have the VIPs themselves.
    pub is_on_nodes: bool,
}

/// The backends, sorted by host.
///
/// # Errors
/// Why there are none to be had, in words.
pub fn backends(index: &Index, wanted: &Wanted, cordon: Cordon) -> Result<Vec<Backend>, String> {
    let (backends, what) = match wanted {
        Wanted::Nodes(selector) => {
            let nodes = index.nodes().values().filter(|node| selector.matches(&node.labels));
            let found = nodes.filter_map(|node| of_node(node, &[], cordon, 1)).collect();
            (found, format!("no node that is to get traffic has the labels {selector}"))
        }
        Wanted::Service(behind) => {
            let found =
                of_service(index, behind, cordon).map_err(|why| format!("{}: {why}", behind.service))?;
            let what = match behind.front.to {
                Target::Nodes | Target::NodePorts => {
                    "no node has an endpoint that serves and is to get traffic"
                }
                Target::Pods | Target::HostPods => "it has no endpoint that serves",
            };
            (found, format!("{}: {what}", behind.service))
        }
    };
    if backends.is_empty() {
        return Err(format!("{what}; an empty pool is refused"));
    }
    Ok(sorted(backends))
}

fn sorted(mut backends: Vec<Backend>) -> Vec<Backend> {
    backends.sort_by(|one, other| one.host.cmp(&other.host));
    backends
}

fn of_service(index: &Index, behind: &Behind, cordon: Cordon) -> Result<Vec<Backend>, String> {
    let service = index.service(&behind.service).ok_or("the cluster has no such Service")?;
    let port = port(service, behind.port.as_deref())?;
    let Front { vips, protocol, backend_port, to } = &behind.front;
    if port.protocol != Some(*protocol) {
        return Err(format!("port {port} is not {protocol}: give the service its protocol"));
    }
    let endpoints = usable(index.slices(&service.key), port);
    match to {
        Target::Nodes => {
            for vip in vips.iter() {
                let arrival = Arrival { vip: *vip, port: *backend_port, is_on_nodes: behind.is_on_nodes };
                entry(service, port, arrival).map_err(|why| why.to_string())?;
            }
            Ok(nodes(index, service, &endpoints, cordon))
        }
        Target::NodePorts => match port.node_port {
            Some(node_port) if node_port == *backend_port => Ok(nodes(index, service, &endpoints, cordon)),
            Some(node_port) => Err(format!(
                "packets arrive at port {backend_port} of nodes, which take them at {node_port}: set backend_port"
            )),
            None => Err(format!("port {port} has no node port: forward to its pods")),
        },
        Target::Pods => pods(service, &endpoints, *backend_port, |_| true),
        Target::HostPods => {
            let addresses: BTreeSet<IpAddr> =
                index.nodes().values().flat_map(|node| node.addresses.iter().copied()).collect();
            pods(service, &endpoints, *backend_port, |address| addresses.contains(&address))
        }
    }
}

/// The port that is named, or the only one.
pub fn port<'a>(service: &'a Service, named: Option<&str>) -> Result<&'a Port, String> {
    let is_it = |port: &&Port| match named {
        Some(named) => *port.name == *named || named.parse() == Ok(port.port),
        None => true,
    };
    let mut found = service.ports.iter().filter(is_it);
    let all = || service.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (found.next(), found.next(), named) {
        (Some(port), None, _) => Ok(port),
        (Some(_), Some(_), Some(named)) => {
            Err(format!("several of its ports are {named}: name one of {}", all()))
        }
        (Some(_), Some(_), None) => Err(format!("it has several ports: name one of {}", all())),
        (None, _, Some(named)) => Err(format!("it has no port {named}; its ports are {}", all())),
        (None, _, None) => Err("it has no port".into()),
    }
}

/// The nodes that pass packets on.
fn nodes(
    index: &Index,
    service: &Service,
    endpoints: &BTreeMap<(IpAddr, u16), Usable<'_>>,
    cordon: Cordon,
) -> Vec<Backend> {
    let families = service.families;
    match service.policy {
        Policy::Cluster => {
            index.nodes().values().filter_map(|node| of_node(node, families, cordon, 1)).collect()
        }
        Policy::Local => by_node(endpoints)
            .into_iter()
            .filter_map(|(name, local)| of_node(index.nodes().get(name)?, families, cordon, local.ready))
            .collect(),
    }
}

/// A node as a backend; none when it is to get nothing, or has no address in these families (any, if there are none).
fn of_node(node: &Node, families: &[Family], cordon: Cordon, weight: u32) -> Option<Backend> {
    let weight = match (node.is_cordoned, cordon) {
        (true, Cordon::Remove) => return None,
        (true, Cordon::Drain) => 0,
        (true, Cordon::Ignore) | (false, _) => weight,
    };
    let is_wanted = |address: &&IpAddr| families.is_empty() || families.contains(&Family::of(**address));
    let addresses: Arc<[IpAddr]> = match node.addresses.iter().all(|address| is_wanted(&address)) {
        true => Arc::clone(&node.addresses),
        false => node.addresses.iter().filter(is_wanted).copied().collect(),
    };
    (node.out.is_none() && !addresses.is_empty()).then(|| backend(Arc::clone(&node.name), addresses, weight))
}

/// The pods that are behind a Service; those at another port cannot be reached, because a service has one port for all.
fn pods(
    service: &Service,
    endpoints: &BTreeMap<(IpAddr, u16), Usable<'_>>,
    port_there: u16,
    is_reached: impl Fn(IpAddr) -> bool,
) -> Result<Vec<Backend>, String> {
    let mut found: BTreeMap<Arc<str>, (Vec<IpAddr>, Life)> = BTreeMap::new();
    let mut others = BTreeSet::new();
    for ((address, port), endpoint) in endpoints {
        if *port != port_there {
            others.insert(*port);
        } else if is_reached(*address) {
            let name = match endpoint.pod {
                Some((start, rest)) => format!("{start}{rest}.{}", service.key.namespace).into(),
                None => address.to_string().into(),
            };
            let pod = found.entry(name).or_insert_with(|| (Vec::new(), endpoint.life));
            pod.0.push(*address);
            pod.1 = pod.1.min(endpoint.life);
        }
    }
    if found.is_empty() && !others.is_empty() {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        let others = others.join(", ");
        return Err(format!(
            "packets arrive at port {port_there}, and its pods listen at {others}: set backend_port"
        ));
    }
    let weight = |life| match life {
        Life::Ready => 1,
        Life::Ending => 0,
    };
    Ok(found
        .into_iter()
        .map(|(name, (addresses, life))| backend(name, addresses.into(), weight(life)))
        .collect())
}

fn backend(host: Arc<str>, addresses: Arc<[IpAddr]>, weight: u32) -> Backend {
    let weight = Weight::new(weight.min(crate::config::value::MAX_WEIGHT)).unwrap_or(Weight::ZERO);
    let (pooled, limits) = (Admin::Pooled, ConnectionLimits::default());
    Backend { host, weight, pooled, limits, addresses: Some(addresses) }
}
