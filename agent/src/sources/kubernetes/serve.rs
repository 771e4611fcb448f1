//! Which Services a balancer can serve that leaves packets as they are, and why the others not.
//!
//! Neither direct routing nor a tunnel rewrites an address or a port: what a client sent to `VIP:port` arrives at a node
//! as just that, and the node must have a rule for it. kube-proxy makes one for the addresses in `status.loadBalancer` and
//! in `spec.externalIPs`, at the Service's own port, and one for the node port at every address that the node has.
//!
//! | Service | the VIP's port must be | the VIP on the node? | verdict |
//! |---|---|---|---|
//! | `LoadBalancer` with the VIP in its status, `ipMode` VIP or none | `port` | no, kube-proxy takes it | served |
//! | the same with `ipMode` Proxy | | | refused: the node expects its own address |
//! | the VIP in `externalIPs`, any type | `port` | no | served; deprecated since 1.36 (KEP-5707) |
//! | a node port | `nodePort` | yes, on `lo` | served |
//! | a node port, the VIP not on the node | `nodePort` | no | refused: the node would send it back, a loop |
//! | nothing of that | | | refused |

use super::model::{Ingress, IpMode, Kind, Port, Service};
use std::fmt;
use std::net::IpAddr;

/// How a client's packets get into the cluster at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// kube-proxy takes what comes to an address of the load balancer.
    LoadBalancer,
    /// kube-proxy takes what comes to an external address.
    ExternalIp,
    /// The node has the address itself, and kube-proxy the port.
    NodePort,
}

/// Why a balancer cannot serve a port of a Service on a VIP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing is behind it.
    #[error("it is of type ExternalName: there is nothing behind it but a name")]
    ExternalName,
    /// IPVS does not know its protocol.
    #[error("port {0}: only TCP, UDP and SCTP can be balanced")]
    Protocol(String),
    /// Nodes expect their own address.
    #[error(
        "{vip} has ipMode Proxy: nodes take packets for their own addresses only, and direct routing leaves the VIP in them"
    )]
    Proxy {
        /// The VIP.
        vip: IpAddr,
    },
    /// The VIP is known to the nodes, but with another port.
    #[error(
        "packets for {vip} keep their port {listens}, and nodes take {expected} there: the VIP's port must be the Service's"
    )]
    OtherPort {
        /// The VIP.
        vip: IpAddr,
        /// Where clients come.
        listens: u16,
        /// Where nodes listen.
        expected: u16,
    },
    /// The VIP is not on the nodes.
    #[error(
        "nodes take port {node_port} at addresses that they have themselves, and {vip} is none: they would send it back, a loop; \
         put the VIP on lo of the nodes (arp_ignore 1, arp_announce 2) and say vips_on_nodes = true"
    )]
    NotOnNodes {
        /// The VIP.
        vip: IpAddr,
        /// The node port.
        node_port: u16,
    },
    /// No node takes them.
    #[error("no node takes packets for {vip} port {listens}: {}", .ways)]
    NoWay {
        /// The VIP.
        vip: IpAddr,
        /// Where clients come.
        listens: u16,
        /// What there is instead.
        ways: Ways,
    },
}

/// By which addresses and ports nodes take packets for a port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    addresses: Vec<IpAddr>,
    port: u16,
    node_port: Option<u16>,
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        match (addresses.is_empty(), self.node_port) {
            (true, None) => f.write_str(
                "the Service has an address of the cluster only; make it a LoadBalancer or NodePort, or forward by NAT to its pods",
            ),
            (true, Some(node_port)) => write!(f, "they take port {node_port} at their own addresses"),
            (false, None) => write!(f, "they take port {} at {}", self.port, addresses.join(" ")),
            (false, Some(node_port)) => write!(
                f,
                "they take port {} at {}, and port {node_port} at their own addresses",
                self.port,
                addresses.join(" ")
            ),
        }
    }
}

/// Where a client's packets come to, as they arrive at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Their address.
    pub vip: IpAddr,
    /// Their port.
    pub port: u16,
    /// Whether every node has the address itself.
    pub is_on_nodes: bool,
}

/// How a port of a Service is served, or why it cannot be. See the table of the module.
///
/// # Errors
/// When no node would take the packets.
pub fn entry(service: &Service, port: &Port, arrival: Arrival) -> Result<Entry, Refused> {
    let Arrival { vip, port: listens, is_on_nodes } = arrival;
    if service.kind == Kind::ExternalName {
        return Err(Refused::ExternalName);
    }
    if port.protocol.is_none() {
        return Err(Refused::Protocol(port.to_string()));
    }
    let node_port = port.node_port.filter(|_| service.kind != Kind::ClusterIp);
    // Whatever else there is: a port that every node has at the VIP is taken there.
    if is_on_nodes && node_port == Some(listens) {
        return Ok(Entry::NodePort);
    }
    let ingress = service.ingress.iter().find(|ingress| ingress.address == vip);
    if let Some(Ingress { mode, .. }) = ingress.filter(|_| service.kind == Kind::LoadBalancer) {
        return match mode {
            IpMode::Proxy => Err(Refused::Proxy { vip }),
            IpMode::Vip if port.port != listens => {
                Err(Refused::OtherPort { vip, listens, expected: port.port })
            }
            IpMode::Vip => Ok(Entry::LoadBalancer),
        };
    }
    if service.external_ips.contains(&vip) {
        return match port.port == listens {
            true => Ok(Entry::ExternalIp),
            false => Err(Refused::OtherPort { vip, listens, expected: port.port }),
        };
    }
    match node_port.filter(|node_port| *node_port == listens) {
        Some(node_port) => Err(Refused::NotOnNodes { vip, node_port }),
        None => Err(Refused::NoWay { vip, listens, ways: ways(service, port, node_port) }),
    }
}

fn ways(service: &Service, port: &Port, node_port: Option<u16>) -> Ways {
    let ingress = service.ingress.iter().filter(|ingress| ingress.mode == IpMode::Vip);
    let addresses = ingress.map(|ingress| ingress.address).chain(service.external_ips.iter().copied());
    Ways { addresses: addresses.collect(), port: port.port, node_port }
}
