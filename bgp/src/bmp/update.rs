//! A route that was received, as an UPDATE once more: with every attribute that is kept, AS numbers of four octets.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    Family, Prefix,
    rib::Received,
    wire::{MAX_MESSAGE, Origin, SegmentKind, encode_withdraw},
};

/// Octets of a message that its header and the two lengths of an UPDATE take.
const FRAME: usize = 23;

/// Attribute flags (RFC 4271 §4.3).
const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0x40;
const PARTIAL: u8 = 0x20;
const EXTENDED_LENGTH: u8 = 0x10;

/// Room that is left for prefixes of a message at least, however long its attributes are.
const LEAST_ROOM: usize = 512;

/// Attributes beside which there is no room left in a message, however long (RFC 8654).
const LONGEST: usize = u16::MAX as usize - FRAME - LEAST_ROOM - 64;

/// The UPDATEs that announce these prefixes, all of one family, with these attributes.
pub(crate) fn announce(route: &Received, prefixes: &[Prefix]) -> Vec<Vec<u8>> {
    let Some(family) = prefixes.first().map(|prefix| prefix.family()) else { return Vec::new() };
    let attributes = attributes(route, family);
    if attributes.len() > LONGEST {
        return Vec::new();
    }
    let room = MAX_MESSAGE.saturating_sub(FRAME + attributes.len() + 32).max(LEAST_ROOM);
    let mut messages = Vec::new();
    let mut routes = Vec::new();
    for prefix in prefixes {
        if routes.len() + 17 > room {
            messages.push(update(family, route, &attributes, &std::mem::take(&mut routes)));
        }
        push_prefix(&mut routes, *prefix);
    }
    messages.push(update(family, route, &attributes, &routes));
    messages
}

/// The UPDATEs that withdraw these prefixes, all of one family.
pub(crate) fn withdraw(family: Family, prefixes: &[Prefix]) -> Vec<Vec<u8>> {
    // So many of the longest fit into one.
    let one = |some: &[Prefix]| {
        let mut out = Vec::new();
        encode_withdraw(&mut out, family, some).ok().map(|_| out)
    };
    prefixes.chunks(200).filter_map(one).collect()
}

fn update(family: Family, route: &Received, attributes: &[u8], routes: &[u8]) -> Vec<u8> {
    let mut all = attributes.to_vec();
    let in_body = family == Family::Ipv4 && route.next_hop.is_ipv4();
    if !in_body {
        push(&mut all, OPTIONAL, 14, &reach(family, route, routes));
    }
    let own = if in_body { routes } else { &[] };
    let length = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&length(FRAME + all.len() + own.len()));
    out.extend_from_slice(&[2, 0, 0]);
    out.extend_from_slice(&length(all.len()));
    out.extend_from_slice(&all);
    out.extend_from_slice(own);
    out
}

/// `MP_REACH_NLRI` (RFC 2545 §3), of IPv4 where the next hop is IPv6 (RFC 8950).
fn reach(family: Family, route: &Received, routes: &[u8]) -> Vec<u8> {
    let mut hops = match route.next_hop {
        IpAddr::V6(hop) => hop.octets().to_vec(),
        IpAddr::V4(hop) => hop.octets().to_vec(),
    };
    if let Some(link_local) =
        route.link_local.filter(|link_local| route.next_hop != IpAddr::from(*link_local))
    {
        hops.extend_from_slice(&link_local.octets());
    }
    let [high, low] = family.afi().to_be_bytes();
    let mut value = vec![high, low, family.safi(), u8::try_from(hops.len()).unwrap_or(0)];
    value.extend_from_slice(&hops);
    value.push(0);
    value.extend_from_slice(routes);
    value
}

fn attributes(route: &Received, family: Family) -> Vec<u8> {
    let mut out = Vec::new();
    let origin = match route.origin {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    };
    push(&mut out, TRANSITIVE, 1, &[origin]);
    push(&mut out, TRANSITIVE, 2, &path(route));
    if let (Family::Ipv4, IpAddr::V4(hop)) = (family, route.next_hop) {
        push(&mut out, TRANSITIVE, 3, &hop.octets());
    }
    let words = |list: &[u32]| list.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let ids = |list: &[Ipv4Addr]| list.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>();
    let mut number = |kind, flags, value: Option<u32>| {
        if let Some(value) = value {
            push(&mut out, flags, kind, &value.to_be_bytes());
        }
    };
    number(4, OPTIONAL, route.med);
    number(5, TRANSITIVE, route.local_pref);
    number(9, OPTIONAL, route.originator_id.map(Ipv4Addr::to_bits));
    number(35, OPTIONAL | TRANSITIVE, route.only_to_customer);
    if route.atomic_aggregate {
        push(&mut out, TRANSITIVE, 6, &[]);
    }
    let both = OPTIONAL | TRANSITIVE;
    if let Some(by) = route.aggregator {
        push(&mut out, both, 7, &words(&[by.asn, by.router_id.to_bits()]));
    }
    let standard: Vec<_> = route.communities.iter().map(|one| one.0).collect();
    let large = route.large_communities.iter().flat_map(|one| [one.global, one.local1, one.local2]);
    let large: Vec<_> = large.collect();
    for (flags, kind, value) in [
        (both, 8, words(&standard)),
        (OPTIONAL, 10, ids(&route.cluster_list)),
        (both, 16, route.extended_communities.concat()),
        (both, 32, words(&large)),
    ] {
        if !value.is_empty() {
            push(&mut out, flags, kind, &value);
        }
    }
    for (flags, kind, value) in &route.unknown {
        push(&mut out, flags & (OPTIONAL | TRANSITIVE | PARTIAL), *kind, value);
    }
    out
}

fn path(route: &Received) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in route.path.segments() {
        let kind = match segment.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => 2,
        };
        for some in segment.asns.chunks(usize::from(u8::MAX)) {
            out.extend_from_slice(&[kind, u8::try_from(some.len()).unwrap_or(u8::MAX)]);
            some.iter().for_each(|asn| out.extend_from_slice(&asn.to_be_bytes()));
        }
    }
    out
}

/// Appends an attribute.
fn push(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) {
    match u8::try_from(value.len()) {
        Ok(length) => out.extend_from_slice(&[flags, kind, length]),
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
            out.extend_from_slice(&[flags | EXTENDED_LENGTH, kind, high, low]);
        }
    }
    out.extend_from_slice(value);
}

fn push_prefix(out: &mut Vec<u8>, prefix: Prefix) {
    out.push(prefix.len());
    let octets = usize::from(prefix.len()).div_ceil(8);
    match prefix.address() {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()[..octets]),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()[..octets]),
    }
}
