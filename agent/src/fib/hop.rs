//! Where a next hop is: on which link of this host, or behind which router.

use bgp::{Family, Prefix};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What becomes of a route whose next hop is on no link of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffLink {
    /// It is not installed: a router that does not know the pods would drop what is sent there, or send it back.
    #[default]
    Refuse,
    /// It goes by the router that the main table has for the next hop: for networks whose routers know the pods.
    Resolve,
}

/// Where packets are handed to: an address on a link of this host. It is written with `onlink`, as its link is known:
/// the kernel's own look-up could find it in a route that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The node itself, or the router before it.
    pub gateway: IpAddr,
    /// The index of the interface.
    pub interface: u32,
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The router; none for a network that is on the link.
    pub gateway: Option<IpAddr>,
    /// The index of the interface.
    pub interface: u32,
    /// Of two with the same prefix, the lower one counts.
    pub metric: u32,
}

/// Why there is no hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// IPv4 by way of IPv6, or the other way round.
    #[error("its next hop {0} is of the other family")]
    Family(IpAddr),
    /// An address that no host on a link has, or that says nothing without an interface.
    #[error("its next hop {0} is no address of a host")]
    Address(IpAddr),
    /// It is behind a router.
    #[error("its next hop {next_hop} is on no link of this host: it is behind {gateway}")]
    OffLink {
        /// The next hop.
        next_hop: IpAddr,
        /// The router.
        gateway: IpAddr,
    },
    /// There is no way there.
    #[error("its next hop {0} is on no link of this host, and no route leads there")]
    Nowhere(IpAddr),
}

/// The main table's routes by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    by_prefix: BTreeMap<Prefix, Way>,
    /// The prefix lengths that there are: few, so that a look-up tries few.
    lengths: BTreeSet<(Family, u8)>,
}

impl Ways {
    /// Adds a route; one of the same prefix stays if its metric is lower or the same.
    pub fn add(&mut self, prefix: Prefix, way: Way) {
        self.lengths.insert((prefix.family(), prefix.len()));
        let best = self.by_prefix.entry(prefix).or_insert(way);
        if way.metric < best.metric {
            *best = way;
        }
    }

    /// The way that a packet to an address takes by these routes: the longest prefix.
    fn to(&self, address: IpAddr) -> Option<Way> {
        let family = Family::of(address);
        let lengths = self.lengths.range((family, 0)..=(family, family.bits())).rev();
        lengths
            .filter_map(|(_, length)| self.by_prefix.get(&Prefix::truncating(address, *length)))
            .next()
            .copied()
    }

    /// Where packets for a prefix are handed to.
    ///
    /// # Errors
    /// Why they are handed to nobody.
    pub fn hop(&self, prefix: Prefix, next_hop: IpAddr, off_link: OffLink) -> Result<Hop, Refusal> {
        if Family::of(next_hop) != prefix.family() {
            return Err(Refusal::Family(next_hop));
        }
        if !is_of_a_host(next_hop) {
            return Err(Refusal::Address(next_hop));
        }
        match (self.to(next_hop), off_link) {
            (None, _) => Err(Refusal::Nowhere(next_hop)),
            (Some(Way { gateway: None, interface, .. }), _) => Ok(Hop { gateway: next_hop, interface }),
            (Some(Way { gateway: Some(gateway), .. }), OffLink::Refuse) => {
                Err(Refusal::OffLink { next_hop, gateway })
            }
            (Some(Way { gateway: Some(gateway), interface, .. }), OffLink::Resolve) => {
                Ok(Hop { gateway, interface })
            }
        }
    }
}

/// Whether an address can be a next hop by itself.
fn is_of_a_host(address: IpAddr) -> bool {
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !is_special && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways() -> Ways {
        let mut ways = Ways::default();
        let mut add = |prefix: &str, gateway: Option<&str>, interface, metric| {
            let gateway = gateway.map(|gateway| gateway.parse().unwrap());
            ways.add(prefix.parse().unwrap(), Way { gateway, interface, metric });
        };
        add("10.64.0.0/22", None, 2, 0);
        add("10.64.0.0/22", None, 3, 100);
        add("10.64.16.7/32", None, 4, 0);
        add("0.0.0.0/0", Some("10.64.0.254"), 2, 0);
        add("fd00:64::/64", None, 2, 256);
        add("fd00:65::/64", Some("fe80::1"), 2, 1024);
        ways
    }

    fn hop(prefix: &str, next_hop: &str, off_link: OffLink) -> Result<(String, u32), String> {
        let hop = ways().hop(prefix.parse().unwrap(), next_hop.parse().unwrap(), off_link);
        hop.map(|hop| (hop.gateway.to_string(), hop.interface)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_node_on_a_link_is_handed_its_packets_there() {
        for off_link in [OffLink::Refuse, OffLink::Resolve] {
            assert_eq!(hop("10.67.0.0/26", "10.64.3.5", off_link), Ok(("10.64.3.5".into(), 2)));
            assert_eq!(hop("10.67.0.0/26", "10.64.16.7", off_link), Ok(("10.64.16.7".into(), 4)));
            assert_eq!(hop("fd67::/122", "fd00:64::5", off_link), Ok(("fd00:64::5".into(), 2)));
        }
    }

    #[test]
    fn a_node_behind_a_router_is_refused_with_the_router_or_goes_by_it() {
        let refused = "its next hop 10.64.16.8 is on no link of this host: it is behind 10.64.0.254";
        assert_eq!(hop("10.67.0.0/26", "10.64.16.8", OffLink::Refuse), Err(refused.into()));
        assert_eq!(hop("10.67.0.0/26", "10.64.16.8", OffLink::Resolve), Ok(("10.64.0.254".into(), 2)));
        assert_eq!(hop("fd67::/122", "fd00:65::5", OffLink::Resolve), Ok(("fe80::1".into(), 2)));
    }

    #[test]
    fn what_is_no_host_of_the_family_is_refused() {
        for (prefix, next_hop, refused) in [
            (
                "fd67::/122",
                "fd00:66::5",
                "its next hop fd00:66::5 is on no link of this host, and no route leads there",
            ),
            ("fd67::/122", "10.64.0.5", "its next hop 10.64.0.5 is of the other family"),
            ("fd67::/122", "fe80::5", "its next hop fe80::5 is no address of a host"),
            ("10.67.0.0/26", "127.0.0.1", "its next hop 127.0.0.1 is no address of a host"),
            ("10.67.0.0/26", "0.0.0.0", "its next hop 0.0.0.0 is no address of a host"),
            ("10.67.0.0/26", "224.0.0.5", "its next hop 224.0.0.5 is no address of a host"),
        ] {
            assert_eq!(hop(prefix, next_hop, OffLink::Resolve), Err(refused.into()));
        }
    }
}
