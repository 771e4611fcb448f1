//! The endpoints of one port of a Service: its slices put together.

use super::model::{Endpoint, Port, Slice};
use super::pods::Pod;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How far an endpoint is to be used, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It takes connections.
    Ready,
    /// It ends, and serves those that it has (KEP-1669).
    Ending,
}

impl Life {
    /// Of an endpoint that is to be used at all.
    fn of(endpoint: &Endpoint) -> Option<Self> {
        if endpoint.is_ready {
            return Some(Self::Ready);
        }
        (endpoint.is_serving && endpoint.is_terminating).then_some(Self::Ending)
    }
}

/// An endpoint that is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable<'a> {
    /// How far.
    pub life: Life,
    /// The node that it is on.
    pub node: Option<&'a Arc<str>>,
    /// The pod that it is.
    pub pod: Option<Pod<'a>>,
}

/// The endpoints of a port by their address and port. One that several slices have, as it happens while the
/// controller moves it, counts once, as the best of them says.
pub fn usable<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    port: &Port,
) -> BTreeMap<(IpAddr, u16), Usable<'a>> {
    let mut found: BTreeMap<(IpAddr, u16), Usable<'a>> = BTreeMap::new();
    for slice in slices {
        let ports = slice.ports.iter().filter(|own| own.name == port.name && own.protocol == port.protocol);
        for own in ports {
            let of_family = |(endpoint, _): &(&Endpoint, Option<Pod<'_>>)| {
                crate::config::Family::of(endpoint.address) == slice.family
            };
            for (endpoint, pod) in slice.endpoints.iter().zip(slice.pods.iter()).filter(of_family) {
                let Some(life) = Life::of(endpoint) else { continue };
                let usable = Usable { life, node: endpoint.node.as_ref(), pod };
                let known = found.entry((endpoint.address, own.port)).or_insert_with(|| usable.clone());
                if usable.life < known.life {
                    *known = usable;
                }
            }
        }
    }
    found
}

/// What a node has of the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// So many are ready.
    pub ready: u32,
    /// So many end.
    pub ending: u32,
}

/// What each node has of the endpoints. A pod with an address of each family counts once.
pub fn by_node<'a>(endpoints: &BTreeMap<(IpAddr, u16), Usable<'a>>) -> BTreeMap<&'a Arc<str>, Local> {
    let mut families: BTreeMap<&Arc<str>, [Local; 2]> = BTreeMap::new();
    for ((address, _), endpoint) in endpoints {
        let Some(node) = endpoint.node else { continue };
        let local = &mut families.entry(node).or_default()[usize::from(address.is_ipv6())];
        match endpoint.life {
            Life::Ready => local.ready += 1,
            Life::Ending => local.ending += 1,
        }
    }
    let merged =
        |[v4, v6]: [Local; 2]| Local { ready: v4.ready.max(v6.ready), ending: v4.ending.max(v6.ending) };
    families.into_iter().map(|(node, both)| (node, merged(both))).collect()
}
