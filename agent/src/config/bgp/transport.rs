//! How far away a neighbour is, what it signs with, and where it dials: the same for a router and a group of neighbours.

use crate::config::Problem;
use crate::config::model::{Distance, Family};
use crate::config::twice::Seen;
use crate::config::value::{address, boolean};
use crate::config::walk::{Node, Section};
use bgp::LocalRole;
use std::net::{IpAddr, SocketAddr};

const LISTEN: &str = "an array of this host's addresses, such as [\"10.64.0.1\", \"[fd00:64::1]:1179\"]";
const LISTEN_ADDRESS: &str = "an address of this host, with a port or without";

/// The addresses to listen on.
pub(super) fn listen(node: &Node<'_>) -> Option<Vec<SocketAddr>> {
    let mut seen = Seen::default();
    let read = |item: Node<'_>| {
        let found = item.parsed(LISTEN_ADDRESS, |text| {
            let with_port = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
            with_port.or_else(|| Some(SocketAddr::new(text.parse().ok()?, super::BGP_PORT)))
        })?;
        seen.first(&item, &found, || format!("listening on {found}")).then_some(found)
    };
    Some(node.array(LISTEN)?.into_iter().filter_map(read).collect())
}

/// How far away the neighbour is: `multihop` or `ttl_security`.
pub(super) fn distance(section: &Section<'_>) -> Distance {
    let hops = |key, expected: &str, most| {
        let hops = section.get(key)?.integer(expected, 1..=most)?;
        u8::try_from(hops).ok()
    };
    let multihop = hops("multihop", "a TTL 1-255", 255);
    let security = hops("ttl_security", "a number of hops 1-254, 1 for a neighbour on the link", 254);
    if let (Some(_), Some(node)) = (section.get("multihop"), section.get("ttl_security")) {
        node.report(Problem::Conflict(
            "multihop and ttl_security exclude one another: ttl_security alone says how many hops away the neighbour is"
                .to_owned(),
        ));
    }
    match (multihop, security) {
        (_, Some(hops)) => Distance::Within(hops),
        (Some(ttl), None) => Distance::Ttl(ttl),
        (None, None) => Distance::Usual,
    }
}

/// Reports that nobody can dial where nothing listens.
pub(super) fn check_listens(node: &Node<'_>, listens: bool) {
    if !listens {
        node.report(Problem::Conflict(
            "nobody can dial: set bgp.listen to this host's addresses that neighbours dial".to_owned(),
        ));
    }
}

/// An IPv4 next hop.
pub(super) fn next_hop_ipv4(node: &Node<'_>) -> Option<std::net::Ipv4Addr> {
    const EXPECTED: &str = "an IPv4 address of this host";
    match address(node, EXPECTED)? {
        IpAddr::V4(hop) => Some(hop),
        IpAddr::V6(_) => {
            node.unexpected(EXPECTED);
            None
        }
    }
}

/// An IPv6 next hop.
pub(super) fn next_hop_ipv6(node: &Node<'_>) -> Option<std::net::Ipv6Addr> {
    const EXPECTED: &str = "an IPv6 address of this host";
    match address(node, EXPECTED)? {
        IpAddr::V6(hop) => Some(hop),
        IpAddr::V4(_) => {
            node.unexpected(EXPECTED);
            None
        }
    }
}

/// Whether IPv4 routes may have IPv6 next hops.
pub(super) fn extended_next_hop(section: &Section<'_>) -> bool {
    flag(section, "extended_next_hop")
}

/// What is off unless it is said to be on.
pub(super) fn flag(section: &Section<'_>, key: &str) -> bool {
    section.get(key).and_then(|node| boolean(&node)).unwrap_or(false)
}

/// What we are to the neighbour: `role`, and `role_strict` with it.
pub(super) fn role(section: &Section<'_>) -> Option<LocalRole> {
    const ROLE: &str =
        "what lvsd's AS is to it: \"customer\", \"provider\", \"peer\", \"rs\" or \"rs-client\"";
    let role = section.get("role").map(|node| node.parsed(ROLE, |text| text.parse().ok()));
    let strict = section.get("role_strict");
    if let (None, Some(node)) = (&role, &strict) {
        node.report(Problem::Conflict("role_strict is for a router with a role".to_owned()));
    }
    let strict = strict.and_then(|node| boolean(&node)).unwrap_or(false);
    role.flatten().map(|role| LocalRole { role, strict })
}

/// A session gives a next hop of its own family only; the other one must be named, unless an IPv6 session may give one to IPv4.
pub(super) fn check_next_hop(section: &Section<'_>, item: &Node<'_>, family: Family, peer: Option<IpAddr>) {
    let key = match family {
        Family::Ipv4 => "next_hop_ipv4",
        Family::Ipv6 => "next_hop_ipv6",
    };
    let Some(peer) = peer.filter(|&peer| Family::of(peer) != family) else {
        return;
    };
    let is_given = family == Family::Ipv4 && extended_next_hop(section);
    if section.get(key).is_none() && !is_given {
        item.report(Problem::Conflict(format!(
            "{} routes over the session with {peer} have no next hop: set {key} to this host's address{}",
            family.as_str(),
            if family == Family::Ipv4 {
                ", or extended_next_hop where the router takes IPv6 ones"
            } else {
                ""
            }
        )));
    }
}
