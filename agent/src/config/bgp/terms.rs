//! How a neighbour is talked to: the same keys for a router and for a group of neighbours.

use super::transport::{
    check_next_hop, distance, extended_next_hop, flag, next_hop_ipv4, next_hop_ipv6, role,
};
use super::{FAMILIES, key};
use crate::config::model::{Family, Terms};
use crate::config::twice::Seen;
use crate::config::walk::Section;
use crate::config::{attributes, bfd, policy};
use bgp::policy::Overrides;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Reads them; `None` when a part without a default is wrong, which is then reported. `peer`: where the other end is.
pub(super) fn read(section: &Section<'_>, peer: Option<IpAddr>) -> Option<Terms> {
    let key = key::read(section);
    let families = families(section, peer);
    Some(Terms {
        next_hop_ipv4: section.get("next_hop_ipv4").and_then(|node| next_hop_ipv4(&node)),
        next_hop_ipv6: section.get("next_hop_ipv6").and_then(|node| next_hop_ipv6(&node)),
        extended_next_hop: extended_next_hop(section),
        link_local_next_hop: flag(section, "link_local_next_hop"),
        graceful_notification: flag(section, "graceful_restart_notification"),
        role: role(section),
        import: policy::import(section),
        export: policy::export(section),
        overrides: Overrides { med: attributes::med(section), prepend: attributes::prepend(section) },
        distance: distance(section),
        bfd: section.get("bfd").and_then(|node| bfd::read(&node)),
        families: families?,
        password: key.password?,
        tcp_ao: key.tcp_ao?,
    })
}

/// What is announced: what is asked for, or the family of the session.
fn families(section: &Section<'_>, peer: Option<IpAddr>) -> Option<BTreeSet<Family>> {
    let Some(node) = section.get("families") else {
        return peer.map(|peer| BTreeSet::from([Family::of(peer)]));
    };
    let items = node.array(FAMILIES)?;
    if items.is_empty() {
        node.unexpected(FAMILIES);
        return None;
    }
    let mut seen = Seen::default();
    let mut families = BTreeSet::new();
    for item in items {
        let family = item.parsed("\"ipv4\" or \"ipv6\"", |text| {
            [Family::Ipv4, Family::Ipv6].into_iter().find(|family| family.as_str() == text)
        });
        if let Some(family) = family.filter(|family| seen.first(&item, family, || family.as_str().to_owned()))
        {
            check_next_hop(section, &item, family, peer);
            families.insert(family);
        }
    }
    Some(families)
}
