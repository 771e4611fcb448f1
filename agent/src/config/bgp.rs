//! `[bgp]` and its `[[bgp.peer]]` and `[[bgp.group]]`.

mod bmp;
mod group;
mod key;
mod terms;
mod transport;

pub(super) use bmp::KEYS as BMP_KEYS;
pub(super) use group::KEYS as GROUP_KEYS;
pub(super) use key::KEYS as KEY_KEYS;

use super::Problem;
use super::attributes;
use super::model::{Bgp, Family, Group, Peer};
use super::twice::Seen;
use super::value::{address, boolean, duration, duration_or, is_name, port};
use super::walk::{Node, Section};
use bgp::policy::ExportFilter;
use bgp::wire::MAX_STALE_TIME;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use transport::check_listens;

pub(super) const KEYS: &[&str] = &[
    "local_asn",
    "router_id",
    "hold_time",
    "graceful_restart",
    "long_lived_graceful_restart",
    "withdraw_hold",
    "graceful_shutdown",
    "strict_export",
    "med",
    "local_pref",
    "prepend",
    "communities",
    "large_communities",
    "listen",
    "peer",
    "group",
    "bmp",
];

pub(super) const PEER_KEYS: &[&str] = &[
    "name",
    "address",
    "asn",
    "port",
    "local_address",
    "families",
    "next_hop_ipv4",
    "next_hop_ipv6",
    "extended_next_hop",
    "link_local_next_hop",
    "graceful_restart_notification",
    "role",
    "role_strict",
    "multihop",
    "med",
    "prepend",
    "import",
    "export",
    "max_prefixes",
    "max_prefixes_warn",
    "max_prefixes_hold_off",
    "ttl_security",
    "passive",
    "password_file",
    "tcp_ao",
    "bfd",
];

/// The port of BGP (RFC 4271, section 4.2).
pub(super) const BGP_PORT: u16 = 179;

/// A third of RFC 4271's suggestion: a dead balancer is forgotten within it.
const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(30);

/// The longest hold time that the field of the OPEN message holds.
const MOST_HOLD_TIME: Duration = Duration::from_secs(u16::MAX as u64);

const LEAST_LONG_LIVED: Duration = Duration::from_secs(1);

/// What the field of the OPEN message holds: 194 days.
const MOST_LONG_LIVED: Duration = Duration::from_secs(MAX_STALE_TIME as u64);

/// A VIP that nothing serves draws traffic into a hole; an hour of it is more than anyone means.
const MOST_WITHDRAW_HOLD: Duration = Duration::from_secs(3600);

/// A router's next choice of paths and its kernel's new routes take far less.
const DEFAULT_GRACEFUL_SHUTDOWN: Duration = Duration::from_secs(2);

/// RFC 8326 leaves it to the operator; who waits for longer has forgotten.
const MOST_GRACEFUL_SHUTDOWN: Duration = Duration::from_secs(3600);

pub(super) const ASN: &str = "an AS number 1-4294967294, neither 23456 nor 65535";
const ROUTER_ID: &str = "an IPv4 address, such as \"10.64.0.1\"";
const PEERS: &str = "at least one router as [[bgp.peer]]";
const PEER_NAME: &str =
    "a name of 1 to 64 letters, digits, \"_\", \".\" or \"-\", the first a letter or digit";
const PEER_ADDRESS: &str = "the router's IPv4 or IPv6 address";
const FAMILIES: &str = "an array of \"ipv4\" and \"ipv6\"";

/// Reads the table; `None` when a part without a default is wrong, which is then reported.
pub(super) fn read(node: &Node<'_>) -> Option<Bgp> {
    let section = node.section(KEYS)?;
    let local_asn = section.required("local_asn", ASN).and_then(|node| asn(&node));
    let router_id = section.required("router_id", ROUTER_ID).and_then(|node| router_id(&node));
    let hold_time = section.get("hold_time").and_then(|node| hold_time(&node));
    let graceful_restart = section.get("graceful_restart").and_then(|node| boolean(&node));
    let long_lived =
        section.get("long_lived_graceful_restart").and_then(|node| long_lived(&node, graceful_restart));
    let withdraw_hold =
        duration_or(&section, "withdraw_hold", Duration::ZERO..=MOST_WITHDRAW_HOLD, Duration::ZERO);
    let graceful_shutdown = duration_or(
        &section,
        "graceful_shutdown",
        Duration::ZERO..=MOST_GRACEFUL_SHUTDOWN,
        DEFAULT_GRACEFUL_SHUTDOWN,
    );
    let attributes = attributes::read(&section);
    let listen = section.get("listen").map_or(Some(Vec::new()), |node| transport::listen(&node));
    let listens = listen.as_ref().is_none_or(|listen| !listen.is_empty());
    let (peers, groups) = neighbours(&section, listens, local_asn);
    let bmp = section.get("bmp").and_then(|node| bmp::read(&node));
    Some(Bgp {
        local_asn: local_asn?,
        router_id: router_id?,
        hold_time: hold_time.unwrap_or(DEFAULT_HOLD_TIME),
        graceful_restart: graceful_restart.unwrap_or(true),
        long_lived,
        withdraw_hold,
        graceful_shutdown,
        attributes,
        listen: listen?,
        peers: peers?,
        groups,
        bmp,
    })
}

fn long_lived(node: &Node<'_>, graceful_restart: Option<bool>) -> Option<Duration> {
    if graceful_restart == Some(false) {
        let what = "long_lived_graceful_restart goes on where graceful_restart ends, and that is off";
        node.report(Problem::Conflict(what.to_owned()));
    }
    duration(node, LEAST_LONG_LIVED..=MOST_LONG_LIVED).map(|time| Duration::from_secs(time.as_secs()))
}

/// Routers, of which there is one at least unless there is a group, and groups.
fn neighbours(
    section: &Section<'_>,
    listens: bool,
    local_asn: Option<u32>,
) -> (Option<Vec<Peer>>, Vec<Group>) {
    let groups = section.get("group");
    let mut peers = match section.get("peer") {
        None if groups.is_some() => Some(Vec::new()),
        _ => section.required("peer", PEERS).and_then(|node| peers(&node, listens, local_asn)),
    };
    let known = peers.as_deref().unwrap_or_default();
    let mut groups = groups.map(|node| group::read(&node, listens, known)).unwrap_or_default();
    if section.get("strict_export").and_then(|node| boolean(&node)).unwrap_or(false) {
        without_rules_nothing(local_asn, peers.as_deref_mut().unwrap_or_default(), &mut groups);
    }
    (peers, groups)
}

/// Neighbours in other ASes that have no rules for it are told nothing (RFC 8212 §3).
fn without_rules_nothing(own: Option<u32>, peers: &mut [Peer], groups: &mut [Group]) {
    let peers = peers.iter_mut().filter(|peer| Some(peer.asn) != own).map(|peer| &mut peer.terms.export);
    let is_external = |group: &&mut Group| own.is_none_or(|own| !group.asns.contains(own));
    let groups = groups.iter_mut().filter(is_external).map(|group| &mut group.terms.export);
    for export in peers.chain(groups).filter(|export| **export == ExportFilter::All) {
        *export = ExportFilter::Rules(Vec::new());
    }
}

/// An AS number that a speaker may have: 0 (RFC 7607), 23456 (RFC 6793) and the last of 16 and of 32 bits
/// (RFC 7300) are reserved.
pub(super) fn asn(node: &Node<'_>) -> Option<u32> {
    match node.as_integer() {
        Some(asn) if !matches!(asn, 0 | 23_456 | 65_535 | u32::MAX) => Some(asn),
        Some(_) | None => {
            node.unexpected(ASN);
            None
        }
    }
}

fn router_id(node: &Node<'_>) -> Option<Ipv4Addr> {
    node.parsed(ROUTER_ID, |text| text.parse().ok().filter(|id: &Ipv4Addr| !id.is_unspecified()))
}

/// Zero switches the timer off, one and two seconds are forbidden (RFC 4271, section 4.2).
fn hold_time(node: &Node<'_>) -> Option<Duration> {
    let time = duration(node, Duration::ZERO..=MOST_HOLD_TIME)?;
    if time.subsec_millis() == 0 && !matches!(time.as_secs(), 1 | 2) {
        return Some(time);
    }
    node.unexpected("whole seconds from \"3s\", or \"0s\" for no hold timer");
    None
}

fn peers(node: &Node<'_>, listens: bool, own: Option<u32>) -> Option<Vec<Peer>> {
    let items = node.array(PEERS)?;
    if items.is_empty() {
        node.unexpected(PEERS);
    }
    let (mut names, mut addresses) = (Seen::default(), Seen::default());
    let mut read = |item| {
        let peer = peer(item, listens, &mut names, &mut addresses)?;
        if peer.terms.role.is_some() && Some(peer.asn) == own {
            let what = "a role is what one AS is to another, and this router is in local_asn: take it out";
            item.report(Problem::Conflict(what.to_owned()));
        }
        Some(peer)
    };
    Some(items.iter().filter_map(&mut read).collect())
}

fn peer(
    node: &Node<'_>,
    listens: bool,
    names: &mut Seen<String>,
    addresses: &mut Seen<IpAddr>,
) -> Option<Peer> {
    let section = node.section(PEER_KEYS)?;
    let name = section.required("name", PEER_NAME).and_then(|node| {
        let name = node.parsed(PEER_NAME, |text| is_name(text, true).then(|| text.to_owned()))?;
        names.first(&node, &name, || format!("peer {name}")).then_some(name)
    });
    let peer_address = section.required("address", PEER_ADDRESS).and_then(|node| {
        let found = address(&node, PEER_ADDRESS)?;
        addresses.first(&node, &found, || format!("peer address {found}")).then_some(found)
    });
    let asn = section.required("asn", ASN).and_then(|node| asn(&node));
    let port = section.get("port").and_then(|node| port(&node)).unwrap_or(BGP_PORT);
    let local_address = section.get("local_address").and_then(|node| local_address(&node, peer_address));
    let passive = section.get("passive").and_then(|node| {
        boolean(&node).filter(|passive| *passive).inspect(|_| check_listens(&node, listens))
    });
    let terms = terms::read(&section, peer_address);
    Some(Peer {
        name: name?,
        address: peer_address?,
        asn: asn?,
        port,
        local_address,
        passive: passive.unwrap_or(false),
        terms: terms?,
    })
}

fn local_address(node: &Node<'_>, peer: Option<IpAddr>) -> Option<IpAddr> {
    const EXPECTED: &str = "an address of this host";
    let local = address(node, EXPECTED)?;
    match peer {
        Some(peer) if Family::of(peer) != Family::of(local) => {
            node.unexpected(format!("{EXPECTED} of the same family as the router's, {peer}"));
            None
        }
        Some(_) | None => Some(local),
    }
}
