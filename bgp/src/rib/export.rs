//! What can be said on a session, and how.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    Asn, Family, Prefix, RouteAttributes,
    fsm::Negotiated,
    policy::{ExportFilter, Overrides},
    wire::{Announcement, MAX_ATTRIBUTES, NextHop},
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
        }
    }

    /// The same rules, and the neighbour is told only what the filter permits.
    pub fn filtered(self, filter: ExportFilter) -> Self {
        Self { filter, ..self }
    }

    /// The same rules, and the neighbour is told these attributes in place of the routes' own.
    pub fn overriding(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
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
            Family::Ipv4 => self.next_hop_v4.map(NextHop::V4),
            Family::Ipv6 => self.next_hop_v6.map(NextHop::V6),
        }
    }

    /// What is said of a route of this family, or why nothing can be said.
    pub fn announcement<'a>(
        &self,
        family: Family,
        attributes: &'a RouteAttributes,
    ) -> Result<Announcement<'a>, WithheldReason> {
        if !self.negotiated.contains(&family) {
            return Err(WithheldReason::NotNegotiated(family));
        }
        let next_hop = self.next_hop(family).ok_or(WithheldReason::NoNextHop(family))?;
        let own = self.asn.get();
        let announcement = Announcement {
            as_path: if self.internal { Vec::new() } else { vec![own; 1 + usize::from(attributes.prepend)] },
            next_hop,
            med: attributes.med,
            local_pref: self.internal.then(|| attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            communities: &attributes.communities,
            large_communities: &attributes.large_communities,
        };
        if announcement.octets() > MAX_ATTRIBUTES {
            return Err(WithheldReason::AttributesTooLong);
        }
        Ok(announcement)
    }
}
