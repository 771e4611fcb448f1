//! A route as a neighbour told it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    Community, Family, LargeCommunity, Path,
    wire::{Aggregator, Attributes, MpReach, Origin},
};

/// The attributes of received routes, without the octets. Routes that came together share them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Received {
    /// `ORIGIN`.
    pub origin: Origin,
    /// The path, completed by `AS4_PATH` where that was needed.
    pub path: Path,
    /// Where to; for IPv6 the global address, unless the neighbour has only a link-local one.
    pub next_hop: IpAddr,
    /// The link-local next hop beside it (RFC 2545).
    pub link_local: Option<Ipv6Addr>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`; from external neighbours what the import rules set.
    pub local_pref: Option<u32>,
    /// `ATOMIC_AGGREGATE`.
    pub atomic_aggregate: bool,
    /// `AGGREGATOR`.
    pub aggregator: Option<Aggregator>,
    /// Standard communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// Extended communities.
    pub extended_communities: Vec<[u8; 8]>,
    /// `ORIGINATOR_ID` (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// `CLUSTER_LIST` (RFC 4456).
    pub cluster_list: Vec<Ipv4Addr>,
    /// `ONLY_TO_CUSTOMER`, what was told or what our role adds (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Transitive attributes that this speaker does not know: flags, type, value. Who passes the route on passes them
    /// on, with the partial bit (RFC 4271 §5).
    pub unknown: Vec<(u8, u8, Vec<u8>)>,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            origin: Origin::default(),
            path: Path::default(),
            next_hop: Ipv4Addr::UNSPECIFIED.into(),
            link_local: None,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            only_to_customer: None,
            unknown: Vec::new(),
        }
    }
}

const TRANSITIVE: u8 = 0x40;

impl Received {
    /// It is kept beyond a graceful restart, here or by somebody before us (RFC 9494 §4.3).
    pub fn is_long_lived_stale(&self) -> bool {
        self.communities.contains(&Community::LLGR_STALE)
    }

    /// What an UPDATE says of its routes of this family; `None` when it has no next hop for them.
    pub fn of(attributes: &Attributes<'_>, family: Family) -> Option<Self> {
        let (next_hop, link_local) = match (attributes.mp_reach, family) {
            (Some(MpReach::Known { next_hop, link_local, nlri }), _) if nlri.family() == family => {
                (Some(next_hop).filter(|hop| !hop.is_unspecified()), link_local)
            }
            (_, Family::Ipv4) => (attributes.next_hop.map(IpAddr::from), None),
            (_, Family::Ipv6) => (None, None),
        };
        let transitive = attributes.unknown().filter(|unknown| unknown.flags & TRANSITIVE != 0);
        Some(Self {
            origin: attributes.origin?,
            path: Path::of(attributes)?,
            next_hop: next_hop.or(link_local.map(IpAddr::from))?,
            link_local,
            med: attributes.med,
            local_pref: attributes.local_pref,
            atomic_aggregate: attributes.atomic_aggregate,
            aggregator: attributes.aggregator,
            communities: attributes.communities.map(|all| all.iter().collect()).unwrap_or_default(),
            large_communities: attributes
                .large_communities
                .map(|all| all.iter().collect())
                .unwrap_or_default(),
            extended_communities: attributes
                .extended_communities
                .map(|all| all.iter().collect())
                .unwrap_or_default(),
            originator_id: attributes.originator_id,
            cluster_list: attributes.cluster_list.map(|all| all.iter().collect()).unwrap_or_default(),
            only_to_customer: attributes.only_to_customer,
            unknown: transitive.map(|raw| (raw.flags, raw.kind, raw.value.to_vec())).collect(),
        })
    }
}

/// Sets of attributes, each kept once however many UPDATEs carry it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    sets: BTreeSet<Arc<Received>>,
    /// Sets that no route uses any more are looked for when there are so many.
    sweep_at: usize,
}

/// A sweep is worth its while from here on.
const SMALLEST_SWEEP: usize = 64;

impl Shared {
    /// The one instance of these attributes.
    pub(super) fn intern(&mut self, attributes: Received) -> Arc<Received> {
        if let Some(known) = self.sets.get(&attributes) {
            return Arc::clone(known);
        }
        if self.sets.len() >= self.sweep_at.max(SMALLEST_SWEEP) {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            // As many again may come before the next sweep: on average each set is looked at twice.
            self.sweep_at = 2 * self.sets.len();
        }
        let shared = Arc::new(attributes);
        self.sets.insert(Arc::clone(&shared));
        shared
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }
}
