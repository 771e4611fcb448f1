//! One round of looking: a route for each address, the names of interfaces, the neighbour table.

use crate::core::path::{Neighbour, Path};
use crate::route_message;
use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use nix::errno::Errno;
use rtnetlink::Handle;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a round waits for one answer: the kernel's come within microseconds, and one that is lost must
/// not end all looking.
const LIMIT: Duration = Duration::from_secs(3);

/// What is said when it has waited that long. The round ends then: thousands of such waits would be hours.
const SILENT: &str = "no answer in time";

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The index of the interface that it goes out of; 0 for none.
    pub(super) index: u32,
    pub(super) path: Path,
}

/// Ways by address.
pub(super) type Ways = BTreeMap<IpAddr, Way>;

/// Neighbours by interface and address.
pub(super) type Neighbours = BTreeMap<(u32, IpAddr), Neighbour>;

/// What a round found.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) ways: Ways,
    /// The neighbours among the addresses, unless they could not be read.
    pub(super) neighbours: Option<Neighbours>,
    /// What went wrong, if anything did.
    pub(super) failure: Option<String>,
    pub(super) took: Duration,
}

/// Looks at these addresses, with a socket of its own.
pub(super) async fn look(addresses: BTreeSet<IpAddr>) -> Round {
    let begin = Instant::now();
    let mut round = Round::default();
    match rtnetlink::new_connection() {
        Err(error) => round.failure = Some(format!("no netlink socket: {error}")),
        Ok((connection, kernel, _)) => {
            let mut looker = Looker { kernel, names: BTreeMap::new() };
            // What was found before the connection ended is kept.
            let ended = tokio::select! {
                () = connection => Some("the rtnetlink connection has ended".to_string()),
                () = looker.look(&addresses, &mut round) => None,
            };
            round.failure = ended.or(round.failure);
        }
    }
    round.took = begin.elapsed();
    round
}

struct Looker {
    kernel: Handle,
    /// Names of interfaces by index.
    names: BTreeMap<u32, Arc<str>>,
}

impl Looker {
    async fn look(&mut self, addresses: &BTreeSet<IpAddr>, round: &mut Round) {
        for address in addresses {
            match self.way(*address).await {
                Ok(way) => drop(round.ways.insert(*address, way)),
                Err(error) => {
                    round.failure = Some(format!("the route to {address}: {error}"));
                    if error == SILENT {
                        return;
                    }
                }
            }
        }
        match in_time(self.neighbours(addresses)).await {
            Ok(neighbours) => round.neighbours = Some(neighbours),
            Err(error) => round.failure = Some(format!("the neighbour table: {error}")),
        }
    }

    /// The way to an address. An error says that it could not be looked up, not that there is none.
    async fn way(&mut self, address: IpAddr) -> Result<Way, String> {
        let kernel = self.kernel.clone();
        let answer = async move { kernel.route().get(question(address)).execute().try_next().await };
        let route = match tokio::time::timeout(LIMIT, answer).await.map_err(|_| SILENT)? {
            Ok(Some(route)) => route,
            Ok(None) => return Err("an empty answer".into()),
            Err(rtnetlink::Error::NetlinkError(error)) => {
                return nowhere(Errno::from_raw(error.raw_code().saturating_abs()));
            }
            Err(error) => return Err(error.to_string()),
        };
        let oif = route_message::interface(&route.attributes);
        let interface = match oif {
            Some(index) => self.name(index).await?,
            None => "".into(),
        };
        Ok(Way { index: oif.unwrap_or(0), path: path(address, &route, interface) })
    }

    async fn name(&mut self, index: u32) -> Result<Arc<str>, String> {
        if let Some(name) = self.names.get(&index) {
            return Ok(Arc::clone(name));
        }
        let mut links = self.kernel.link().get().match_index(index).execute();
        let link = in_time(links.try_next()).await?.ok_or("its interface has gone")?;
        let name = link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        let name: Arc<str> = name.unwrap_or_else(|| format!("interface {index}")).into();
        self.names.insert(index, Arc::clone(&name));
        Ok(name)
    }

    async fn neighbours(&self, addresses: &BTreeSet<IpAddr>) -> Result<Neighbours, rtnetlink::Error> {
        let mut messages = self.kernel.neighbours().get().execute();
        let mut neighbours = Neighbours::new();
        while let Some(message) = messages.try_next().await? {
            if let Some(address) = address_of(&message).filter(|address| addresses.contains(address)) {
                neighbours.insert((message.header.ifindex, address), neighbour_of(message.header.state));
            }
        }
        Ok(neighbours)
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, rtnetlink::Error>>) -> Result<T, String> {
    let answer = tokio::time::timeout(LIMIT, answer).await.map_err(|_| SILENT)?;
    answer.map_err(|error| error.to_string())
}

/// RTM_GETROUTE for one address: the kernel answers with the route that a packet would take.
fn question(address: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    (message.header.address_family, message.header.destination_prefix_length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(RouteAttribute::Destination(address.into()));
    message
}

/// What a route says of the way to an address.
fn path(address: IpAddr, route: &RouteMessage, interface: Arc<str>) -> Path {
    let gateway = route_message::gateway(&route.attributes);
    match (route.header.kind, gateway) {
        (RouteType::Local, _) => Path::Local,
        // A route by the address itself is one to its link.
        (RouteType::Unicast, Some(gateway)) if gateway != address => Path::Gateway { interface, gateway },
        (RouteType::Unicast, _) => Path::Direct { interface },
        (kind, _) => Path::Unreachable { error: format!("its route is of type {kind:?}") },
    }
}

/// What the kernel's refusal says: there is no way (ip-route(8): unreachable, prohibit, blackhole), or nothing.
fn nowhere(errno: Errno) -> Result<Way, String> {
    match errno {
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL => {
            Ok(Way { index: 0, path: Path::Unreachable { error: errno.desc().into() } })
        }
        other => Err(other.desc().into()),
    }
}

/// The address that an entry of the neighbour table is for.
pub(super) fn address_of(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

/// What a state of the neighbour table comes to, linux/neighbour.h.
pub(super) fn neighbour_of(state: NeighbourState) -> Neighbour {
    match state {
        NeighbourState::Reachable
        | NeighbourState::Stale
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Noarp
        | NeighbourState::Permanent => Neighbour::Resolved,
        NeighbourState::Failed => Neighbour::Failed,
        // Incomplete, none, and what a later kernel may bring.
        _ => Neighbour::Unknown,
    }
}

#[cfg(test)]
mod tests;
