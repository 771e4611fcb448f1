//! `[[bgp.group]]`: neighbours that are not known one by one.

use super::transport::check_listens;
use super::{PEER_NAME, asn, terms};
use crate::config::Problem;
use crate::config::model::{Group, Peer};
use crate::config::twice::Seen;
use crate::config::value::{duration_or, is_name};
use crate::config::walk::Node;
use bgp::speaker::{DEFAULT_GROUP_LIMIT, DEFAULT_LINGER};
use bgp::{Asn, AsnSet, Prefix};
use std::ops::RangeInclusive;
use std::time::Duration;

pub(in crate::config) const KEYS: &[&str] = &[
    "name",
    "prefixes",
    "asns",
    "limit",
    "linger",
    "password_file",
    "tcp_ao",
    "families",
    "next_hop_ipv4",
    "next_hop_ipv6",
    "extended_next_hop",
    "link_local_next_hop",
    "graceful_restart_notification",
    "role",
    "role_strict",
    "multihop",
    "ttl_security",
    "med",
    "prepend",
    "import",
    "export",
    "max_prefixes",
    "max_prefixes_warn",
    "max_prefixes_hold_off",
    "bfd",
];

const GROUPS: &str = "groups of neighbours as [[bgp.group]]";
const PREFIXES: &str = "an array of prefixes that neighbours dial from, such as [\"10.64.0.0/16\"]";
const PREFIX: &str = "a prefix without host bits, such as \"10.64.0.0/16\"";
const ASNS: &str = "an array of AS numbers and ranges of them, such as [64512, \"64520-64530\"]";
const ASN_OR_RANGE: &str = "an AS number, or a range such as \"64520-64530\"";

/// So many neighbours cost 64 MiB of buffers; more are not neighbours of one load balancer.
const MOST_NEIGHBOURS: u32 = 4096;

/// What has been gone for longer than a day is no neighbour any more.
const MOST_LINGER: Duration = Duration::from_secs(24 * 3600);

/// Reads the groups. `peers`: the routers that are known, which may lie in a group's prefixes.
pub(super) fn read(node: &Node<'_>, listens: bool, peers: &[Peer]) -> Vec<Group> {
    let (mut names, mut prefixes) = (Seen::default(), Seen::default());
    let mut groups = Vec::new();
    for item in node.array(GROUPS).unwrap_or_default() {
        check_listens(&item, listens);
        if let Some(group) = group(&item, &mut names, &mut prefixes) {
            check_strays(&item, &group, &groups, peers);
            groups.push(group);
        }
    }
    groups
}

fn group(node: &Node<'_>, names: &mut Seen<String>, prefixes: &mut Seen<Prefix>) -> Option<Group> {
    let section = node.section(KEYS)?;
    let name = section.required("name", PEER_NAME).and_then(|node| {
        let name = node.parsed(PEER_NAME, |text| is_name(text, true).then(|| text.to_owned()))?;
        names.first(&node, &name, || format!("group {name}")).then_some(name)
    });
    let prefixes = section.required("prefixes", PREFIXES).and_then(|node| {
        let prefix = |item: Node<'_>| {
            let prefix = item.parsed(PREFIX, |text| text.parse::<Prefix>().ok())?;
            prefixes.first(&item, &prefix, || format!("prefix {prefix}")).then_some(prefix)
        };
        filled(&node, PREFIXES, prefix)
    });
    let asns =
        section.required("asns", ASNS).and_then(|node| filled(&node, ASNS, |item| asn_or_range(&item)));
    let limit = section.get("limit").and_then(|node| {
        let limit = node.integer("a number of neighbours 1-4096", 1..=MOST_NEIGHBOURS)?;
        usize::try_from(limit).ok()
    });
    let first = prefixes.as_ref().and_then(|prefixes| prefixes.first()).map(|prefix| prefix.address());
    let terms = terms::read(&section, first);
    Some(Group {
        limit: limit.unwrap_or(DEFAULT_GROUP_LIMIT),
        linger: duration_or(&section, "linger", Duration::from_secs(1)..=MOST_LINGER, DEFAULT_LINGER),
        name: name?,
        prefixes: prefixes?,
        asns: asns?.into_iter().collect::<AsnSet>(),
        terms: terms?,
    })
}

/// The elements of an array that has some.
fn filled<T>(node: &Node<'_>, expected: &str, read: impl FnMut(Node<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = node.array(expected)?;
    if items.is_empty() {
        node.unexpected(expected);
        return None;
    }
    Some(items.into_iter().filter_map(read).collect())
}

fn asn_or_range(node: &Node<'_>) -> Option<RangeInclusive<Asn>> {
    if node.as_string().is_none() {
        let number = Asn::new(asn(node)?).ok()?;
        return Some(number..=number);
    }
    node.parsed(ASN_OR_RANGE, |text| {
        let (first, last) = text.split_once('-')?;
        let (first, last): (Asn, Asn) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    })
}

/// The kernel holds a key of a prefix against all that is inside it.
fn check_strays(node: &Node<'_>, group: &Group, others: &[Group], peers: &[Peer]) {
    let stray = |what: String, outer: &str| {
        node.report(Problem::Conflict(format!(
            "{what} is inside group {outer}, whose key holds for it too: give it a password_file or tcp_ao"
        )));
    };
    for peer in peers.iter().filter(|peer| group.terms.is_signed() && !peer.terms.is_signed()) {
        if group.prefixes.iter().any(|prefix| prefix.contains(Prefix::host(peer.address))) {
            stray(format!("peer {}", peer.name), &group.name);
        }
    }
    let inside = |inner: &Group, outer: &Group| {
        let one = |prefix: &Prefix| outer.prefixes.iter().any(|other| other.contains(*prefix));
        !inner.terms.is_signed() && outer.terms.is_signed() && inner.prefixes.iter().any(one)
    };
    for other in others {
        for (inner, outer) in [(group, other), (other, group)] {
            if inside(inner, outer) {
                stray(format!("group {}", inner.name), &outer.name);
            }
        }
    }
}
