//! What can be said on a session, and how.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Candidate, Complete, Received, Reflected, Said};
use crate::{
    Asn, Family, Path, Prefix, Role, RouteAttributes,
    fsm::Negotiated,
    policy::{ExportFilter, Overrides},
    wire::{Announcement, Extra, MAX_ATTRIBUTES, NextHop},
};

/// `LOCAL_PREF` when a route says none: what every implementation takes as the default.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// Why a route that is wanted is not sent on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithheldReason {
    /// The neighbour did not offer the family.
    NotNegotiated(Family),
    /// There is no address of the family to send traffic to.
    NoNextHop(Family),
    /// The attributes do not fit into a message.
    AttributesTooLong,
    /// It is a client's, and its next hop means something on that client's own link alone.
    LinkLocal,
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNegotiated(family) => {
                write!(
                    f,
                    "the router did not offer {family} unicast; enable it there or remove it from this peer"
                )
            }
            Self::NoNextHop(family) => {
                write!(
                    f,
                    "the session has no global {family} address of ours; set this peer's {family} next hop"
                )
            }
            Self::AttributesTooLong => {
                f.write_str("the attributes do not fit into an UPDATE; use fewer communities")
            }
            Self::LinkLocal => f.write_str(
                "its next hop is link-local and cannot be passed on; have its node announce a global one",
            ),
        }
    }
}

/// The rules of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    asn: Asn,
    internal: bool,
    four_octet_asn: bool,
    enhanced_refresh: bool,
    filter: ExportFilter,
    overrides: Overrides,
    configured: BTreeSet<Family>,
    negotiated: BTreeSet<Family>,
    next_hop_v4: Option<Ipv4Addr>,
    next_hop_v6: Option<Ipv6Addr>,
    /// Our link-local address beside it.
    link_local: Option<Ipv6Addr>,
    /// IPv4 routes may have the IPv6 next hop (RFC 8950).
    extended_next_hop: bool,
    client: Option<Client>,
    role: Option<Role>,
}

/// A neighbour to whom we are a route reflector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    cluster_id: Ipv4Addr,
    router_id: Ipv4Addr,
    address: IpAddr,
    /// It has said that it restarts (RFC 4724 §3).
    is_restarting: bool,
    /// It knows what is kept beyond a graceful restart, and takes that for the last choice (RFC 9494 §4.6).
    knows_long_lived: bool,
}

impl Export {
    /// The rules of a session with this outcome of negotiation. `local` is our end of the TCP connection: the next
    /// hop of its family unless another is given. An IPv6 address that is link-local is not used: it means nothing
    /// to whom the router tells the route.
    pub fn new(
        asn: Asn,
        configured: &BTreeSet<Family>,
        negotiated: &Negotiated,
        local: IpAddr,
        next_hop_v4: Option<Ipv4Addr>,
        next_hop_v6: Option<Ipv6Addr>,
    ) -> Self {
        let (local_v4, local_v6) = match local.to_canonical() {
            IpAddr::V4(address) => (Some(address), None),
            IpAddr::V6(address) => (None, Some(address).filter(|address| !address.is_unicast_link_local())),
        };
        Self {
            asn,
            internal: negotiated.internal,
            four_octet_asn: negotiated.four_octet_asn,
            enhanced_refresh: negotiated.enhanced_refresh,
            filter: ExportFilter::All,
            overrides: Overrides::default(),
            configured: configured.clone(),
            negotiated: negotiated.families.clone(),
            next_hop_v4: next_hop_v4.or(local_v4),
            next_hop_v6: next_hop_v6.or(local_v6),
            link_local: None,
            extended_next_hop: negotiated.extended_next_hop,
            client: None,
            role: negotiated.role,
        }
    }

    /// The same rules, and the neighbour at this address, if it is in the own AS, is our client in this cluster (RFC 4456):
    /// it is told what other clients told.
    pub fn reflecting(self, cluster_id: Ipv4Addr, negotiated: &Negotiated, address: IpAddr) -> Self {
        let router_id = negotiated.remote_router_id;
        let is_restarting = negotiated.graceful_restart.as_ref().is_some_and(|restart| restart.restarting);
        let knows_long_lived = negotiated.long_lived.is_some();
        let client = Client { cluster_id, router_id, address, is_restarting, knows_long_lived };
        Self { client: negotiated.internal.then_some(client), ..self }
    }

    /// Whether nothing that the neighbour may have kept is yet to be told, as far as clients' routes go.
    pub fn is_complete(&self, reflected: &Reflected) -> bool {
        let enough =
            |client: Client| if client.is_restarting { Complete::ToRestarting } else { Complete::ToAll };
        self.client.is_none_or(|client| reflected.complete() >= enough(client))
    }

    /// Whether the neighbour is told of this path of a client's: not of one that it told or brought into the AS itself, nor
    /// of one whose staleness it would not know for what it is.
    pub fn passes_on(&self, prefix: Prefix, path: &Candidate) -> bool {
        self.client.is_some_and(|client| {
            self.configured.contains(&prefix.family())
                && path.source.address != client.address
                && path.source.router_id != client.router_id
                && path.originator_id() != client.router_id
                && (client.knows_long_lived || !path.route.is_long_lived_stale())
        })
    }

    /// The same rules, and the neighbour is told only what the filter permits.
    pub fn filtered(self, filter: ExportFilter) -> Self {
        Self { filter, ..self }
    }

    /// The same rules, and the neighbour is told these attributes in place of the routes' own.
    pub fn overriding(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// The same rules, and the neighbour is told this link-local address beside the IPv6 next hop: it is on one link with it
    /// (RFC 2545 §3).
    pub fn beside(self, link_local: Option<Ipv6Addr>) -> Self {
        Self { link_local, ..self }
    }

    /// The families that both sides offered.
    pub const fn families(&self) -> &BTreeSet<Family> {
        &self.negotiated
    }

    /// AS numbers have four octets.
    pub const fn four_octet_asn(&self) -> bool {
        self.four_octet_asn
    }

    /// The neighbour takes markers around refreshed routes (RFC 7313).
    pub const fn enhanced_refresh(&self) -> bool {
        self.enhanced_refresh
    }

    /// Whether the session is configured for a family.
    pub fn carries(&self, family: Family) -> bool {
        self.configured.contains(&family)
    }

    /// Whether this session is meant to carry the route at all; if not, it is no concern of it.
    pub fn concerns(&self, prefix: Prefix, attributes: &RouteAttributes) -> bool {
        self.configured.contains(&prefix.family()) && self.filter.permits(prefix, attributes)
    }

    /// The attributes that the neighbour is told.
    pub fn overridden(&self, attributes: &RouteAttributes) -> RouteAttributes {
        self.overrides.apply(attributes)
    }

    fn next_hop(&self, family: Family) -> Option<NextHop> {
        match family {
            Family::Ipv4 => {
                let extended = self.next_hop_v6.filter(|_| self.extended_next_hop).map(NextHop::V4ByV6);
                self.next_hop_v4.map(NextHop::V4).or(extended)
            }
            Family::Ipv6 => self.next_hop_v6.map(NextHop::V6),
        }
    }

    /// What is said of a route of this family, or why nothing can be said.
    pub fn announcement<'a>(
        &self,
        family: Family,
        said: &'a Said,
    ) -> Result<Announcement<'a>, WithheldReason> {
        if !self.negotiated.contains(&family) {
            return Err(WithheldReason::NotNegotiated(family));
        }
        let announcement = match said {
            Said::Own(attributes) => self.own(family, attributes)?,
            Said::Reflected { route, originator_id } => self.reflected(family, route, *originator_id)?,
        };
        if announcement.octets() > MAX_ATTRIBUTES {
            return Err(WithheldReason::AttributesTooLong);
        }
        Ok(announcement)
    }

    fn own<'a>(
        &self,
        family: Family,
        attributes: &'a RouteAttributes,
    ) -> Result<Announcement<'a>, WithheldReason> {
        let hops = if self.internal { 0 } else { 1 + usize::from(attributes.prepend) };
        let own = self.asn.get();
        Ok(Announcement {
            as_path: Path::sequence(vec![own; hops]),
            next_hop: self.next_hop(family).ok_or(WithheldReason::NoNextHop(family))?,
            med: attributes.med,
            local_pref: self.internal.then(|| attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            communities: &attributes.communities,
            large_communities: &attributes.large_communities,
            // Nobody has marked it yet, so that no role forbids it.
            extra: Extra {
                only_to_customer: self.role.and_then(|role| role.send(None, own).ok()?),
                link_local: self.link_local,
                ..Extra::default()
            },
        })
    }

    /// A client's route as it came, with its originator and our cluster (RFC 4456 §8); the next hop above all stays (§10).
    fn reflected<'a>(
        &self,
        family: Family,
        route: &'a Received,
        originator_id: Ipv4Addr,
    ) -> Result<Announcement<'a>, WithheldReason> {
        let next_hop = match (route.next_hop, family) {
            (IpAddr::V6(hop), _) if hop.is_unicast_link_local() => return Err(WithheldReason::LinkLocal),
            (IpAddr::V4(hop), _) => NextHop::V4(hop),
            (IpAddr::V6(hop), Family::Ipv6) => NextHop::V6(hop),
            (IpAddr::V6(hop), Family::Ipv4) if self.extended_next_hop => NextHop::V4ByV6(hop),
            (IpAddr::V6(_), Family::Ipv4) => return Err(WithheldReason::NoNextHop(family)),
        };
        let own = self.client.map(|client| client.cluster_id);
        Ok(Announcement {
            as_path: route.path.clone(),
            next_hop,
            med: route.med,
            local_pref: Some(route.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            communities: &route.communities,
            large_communities: &route.large_communities,
            extra: Extra {
                origin: route.origin,
                link_local: None,
                atomic_aggregate: route.atomic_aggregate,
                aggregator: route.aggregator,
                originator_id: Some(originator_id),
                cluster_list: own.into_iter().chain(route.cluster_list.iter().copied()).collect(),
                only_to_customer: route.only_to_customer,
                extended_communities: &route.extended_communities,
                unknown: &route.unknown,
            },
        })
    }
}
