//! `[nodes]`, `[nodes.fib]`, its `[[nodes.node]]`, `[[nodes.pool]]` and `[[nodes.listen]]`: the peer of a cluster's nodes.

mod fib;
mod model;

pub(super) use fib::KEYS as FIB_KEYS;
pub use model::{BlockCheck, ClusterPlace, IpPool, Node, NodeListen, NodeMode, NodeRoutes, Nodes};

use super::Problem;
use super::bgp::{ASN, BGP_PORT, asn};
use super::model::{Config, Family, Peer};
use super::secret;
use super::twice::Seen;
use super::value::{address, boolean, duration_or, port};
use super::walk::{Node as Entry, Section};
use ::bgp::Prefix;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub(super) const KEYS: &[&str] = &[
    "mode",
    "routes",
    "blocks",
    "asn",
    "hold_time",
    "families",
    "local_ipv4",
    "local_ipv6",
    "multihop",
    "password_file",
    "cluster_file",
    "cluster",
    "max_prefixes",
    "hold_off",
    "service_cidrs",
    "reflector",
    "cluster_id",
    "pool",
    "node",
    "listen",
    "fib",
];
pub(super) const NODE_KEYS: &[&str] = &["name", "addresses", "asn", "port", "reflector"];
pub(super) const POOL_KEYS: &[&str] = &["cidr", "block_size"];
pub(super) const LISTEN_KEYS: &[&str] = &["prefix", "asn"];
pub(super) const CLUSTER_KEYS: &[&str] = &["source"];

const MODE: &str = "\"discover\", \"static\" or \"listen\"";
const ROUTES: &str = "\"bgp\" or \"datastore\"";
const BLOCKS: &str = "\"off\", \"warn\" or \"enforce\"";
const PREFIX: &str = "a prefix such as \"10.67.0.0/16\"";
const PREFIXES: &str = "an array of prefixes, such as [\"10.96.0.0/12\"]";
const ADDRESSES: &str = "an array of the node's addresses, at most one of each family";
const SOURCE: &str = "the name of a source of type \"kubernetes\" or \"etcd\"";
const NAME: &str = "the node's name: 1 to 253 letters, digits, \"-\" or \".\"";

/// A node that lost its power is noticed within it; Calico's own 240 s would be four minutes.
const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(90);

/// BIRD, which Calico runs, takes no less than 3 s, and 240 s is what it offers itself.
const HOLD_TIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(240);

/// What Calico sends its own packets with, so that nodes behind a router are reached as well.
const DEFAULT_MULTIHOP: u8 = 64;

/// A bound on memory: some hundred octets a route.
pub(crate) const MOST_PREFIXES: u32 = 100_000;

const DEFAULT_HOLD_OFF: Duration = Duration::from_secs(300);

/// A day: whoever wants longer takes the node out of the configuration.
const MOST_HOLD_OFF: Duration = Duration::from_secs(86_400);

/// Reads the table; what is wrong with it is reported.
pub(super) fn read(node: &Entry<'_>) -> Option<Nodes> {
    let section = node.section(KEYS)?;
    let mode = section.required("mode", MODE).and_then(|node| word(&node, MODE, MODES));
    let routes = section.get("routes").and_then(|node| word(&node, ROUTES, SOURCES));
    let blocks = section.get("blocks").and_then(|node| word(&node, BLOCKS, CHECKS));
    let prefixes = "a number of routes 1-100000";
    let max_prefixes = section.get("max_prefixes").and_then(|node| node.integer(prefixes, 1..=MOST_PREFIXES));
    let multihop = section.get("multihop").and_then(|node| node.integer("a TTL 1-255", 1..=255));
    let mut nodes = Nodes {
        mode: mode.unwrap_or(NodeMode::Static),
        routes: routes.unwrap_or(NodeRoutes::Bgp),
        blocks: blocks.unwrap_or(BlockCheck::Warn),
        asn: section.get("asn").and_then(|node| asn(&node)),
        hold_time: whole_seconds(duration_or(&section, "hold_time", HOLD_TIMES, DEFAULT_HOLD_TIME)),
        families: families(&section),
        local_ipv4: section.get("local_ipv4").and_then(|node| local_ipv4(&node)),
        local_ipv6: section.get("local_ipv6").and_then(|node| local_ipv6(&node)),
        multihop: multihop.and_then(|ttl| u8::try_from(ttl).ok()).unwrap_or(DEFAULT_MULTIHOP),
        password: section.get("password_file").and_then(|node| secret::read(&node)),
        cluster: cluster(&section),
        max_prefixes,
        hold_off: duration_or(&section, "hold_off", Duration::ZERO..=MOST_HOLD_OFF, DEFAULT_HOLD_OFF),
        service_cidrs: section.get("service_cidrs").map(|node| prefixes_of(&node)).unwrap_or_default(),
        reflector: section.get("reflector").and_then(|node| boolean(&node)).unwrap_or(false),
        cluster_id: section.get("cluster_id").and_then(|node| cluster_id(&node)),
        pools: section.get("pool").map(|node| pools(&node)).unwrap_or_default(),
        nodes: section.get("node").map(|node| nodes_of(&node)).unwrap_or_default(),
        fib: section.get("fib").and_then(|node| fib::read(&node)).unwrap_or_default(),
        listen: section.get("listen").map(|node| listens(&node)).unwrap_or_default(),
    };
    // Everything was looked at, so that every mistake is told at once.
    nodes.mode = mode?;
    check(&section, &nodes);
    Some(nodes)
}

/// What one setting alone does not show.
fn check(section: &Section<'_>, nodes: &Nodes) {
    let report = |what: &str| section.node().report_key(Problem::Conflict(what.to_owned()));
    let has_source = nodes.cluster.is_some();
    if nodes.mode == NodeMode::Discover && !has_source {
        report("mode = \"discover\" needs cluster or cluster_file, which says where the nodes are");
    }
    if nodes.mode == NodeMode::Listen && nodes.listen.is_empty() {
        report("mode = \"listen\" needs a [[nodes.listen]], which says from where nodes may connect");
    }
    if nodes.mode != NodeMode::Listen && !nodes.listen.is_empty() {
        report("[[nodes.listen]] is for mode = \"listen\"");
    }
    if nodes.routes == NodeRoutes::Datastore && !has_source {
        report("routes = \"datastore\" needs cluster or cluster_file, which says who has which block");
    }
    if !has_source && nodes.pools.is_empty() {
        report(
            "no route is taken without an IP pool: set cluster or cluster_file, or name each pool as [[nodes.pool]]",
        );
    }
    if nodes.reflector && nodes.routes == NodeRoutes::Datastore {
        report("reflector = true needs sessions with the nodes, and routes = \"datastore\" has none");
    }
    if nodes.cluster_id.is_some() && !nodes.reflector {
        report("cluster_id is for reflector = true");
    }
}

/// Where the cluster's nodes are written down.
fn cluster(section: &Section<'_>) -> Option<ClusterPlace> {
    let file = section.get("cluster_file");
    let source = section.get("cluster");
    if let (Some(_), Some(node)) = (&file, &source) {
        node.report_key(Problem::Conflict("cluster and cluster_file exclude each other".to_owned()));
    }
    if let Some(file) = file {
        return file.path("the path of a file").map(ClusterPlace::File);
    }
    let named = source?.section(CLUSTER_KEYS)?.required("source", SOURCE)?;
    named.parsed(SOURCE, |text| (!text.is_empty()).then(|| ClusterPlace::Source(text.into())))
}

/// Reports `[nodes]` without the speaker that it needs, nodes whose reflector it cannot be, and a source that knows none.
pub(super) fn check_speaker(config: &Config, node: &Entry<'_>) {
    let Some(nodes) = &config.nodes else { return };
    let report = |what: String| node.report_key(Problem::Conflict(what));
    if let Some(ClusterPlace::Source(source)) = &nodes.cluster {
        match config.sources.get(source) {
            Some(settings) => {
                if let Some(why) = settings.without_nodes() {
                    report(format!("[source.{source}] {why}"));
                }
            }
            None => report(format!("there is no [source.{source}]")),
        }
    }
    let Some(bgp) = &config.bgp else {
        return report("[nodes] needs [bgp], whose speaker talks to the nodes".to_owned());
    };
    // The kernel holds a key of a prefix against all that is inside it.
    let is_inside = |peer: &&Peer| {
        let host = Prefix::host(peer.address);
        peer.terms.password.is_none() && nodes.listen.iter().any(|listen| listen.prefix.contains(host))
    };
    if let Some(peer) = bgp.peers.iter().filter(|_| nodes.password.is_some()).find(is_inside) {
        report(format!(
            "peer {} is inside a prefix of [[nodes.listen]], and the nodes' password holds for it too: give it a password_file",
            peer.name
        ));
    }
    let (asn, own) = (nodes.asn, bgp.local_asn);
    if let Some(asn) = asn.filter(|asn| nodes.reflector && *asn != own) {
        report(format!("a reflector and its nodes are in one AS: local_asn is {own}, and asn {asn}"));
    }
}

fn cluster_id(node: &Entry<'_>) -> Option<Ipv4Addr> {
    let expected = "an IPv4 address, the same on each balancer of the cluster";
    node.parsed(expected, |text| text.parse().ok().filter(|id: &Ipv4Addr| !id.is_unspecified()))
}

const MODES: [(&str, NodeMode); 3] =
    [("discover", NodeMode::Discover), ("static", NodeMode::Static), ("listen", NodeMode::Listen)];
const SOURCES: [(&str, NodeRoutes); 2] = [("bgp", NodeRoutes::Bgp), ("datastore", NodeRoutes::Datastore)];
const CHECKS: [(&str, BlockCheck); 3] =
    [("off", BlockCheck::Off), ("warn", BlockCheck::Warn), ("enforce", BlockCheck::Enforce)];

fn word<T: Copy, const N: usize>(node: &Entry<'_>, expected: &str, words: [(&str, T); N]) -> Option<T> {
    node.parsed(expected, |text| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
}

/// Both, unless it says which.
fn families(section: &Section<'_>) -> BTreeSet<Family> {
    const FAMILIES: &str = "an array of \"ipv4\" and \"ipv6\"";
    let both = [Family::Ipv4, Family::Ipv6];
    let Some(items) = section.get("families").and_then(|node| node.array(FAMILIES)) else {
        return both.into();
    };
    let named = |text: &str| both.into_iter().find(|family| family.as_str() == text);
    let families: BTreeSet<Family> =
        items.iter().filter_map(|item| item.parsed("\"ipv4\" or \"ipv6\"", named)).collect();
    if items.is_empty() {
        section
            .node()
            .report_key(Problem::Conflict("families is empty: name one, or leave it out".to_owned()));
    }
    families
}

/// The field of the OPEN message has no fractions.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

fn local_ipv4(node: &Entry<'_>) -> Option<Ipv4Addr> {
    node.parsed("an IPv4 address of this host", |text| text.parse().ok())
}

fn local_ipv6(node: &Entry<'_>) -> Option<Ipv6Addr> {
    node.parsed("an IPv6 address of this host", |text| text.parse().ok())
}

fn prefix(node: &Entry<'_>) -> Option<Prefix> {
    node.parsed(PREFIX, |text| text.parse().ok())
}

fn prefixes_of(node: &Entry<'_>) -> BTreeSet<Prefix> {
    node.array(PREFIXES).unwrap_or_default().iter().filter_map(prefix).collect()
}

fn pools(node: &Entry<'_>) -> Vec<IpPool> {
    let mut seen = Seen::default();
    let items = node.array("an array of [[nodes.pool]]").unwrap_or_default();
    items.iter().filter_map(|item| pool(item, &mut seen)).collect()
}

fn pool(node: &Entry<'_>, seen: &mut Seen<Prefix>) -> Option<IpPool> {
    let section = node.section(POOL_KEYS)?;
    let cidr = section.required("cidr", PREFIX).and_then(|node| {
        let cidr = prefix(&node)?;
        seen.first(&node, &cidr, || format!("pool {cidr}")).then_some(cidr)
    })?;
    let default = if cidr.address().is_ipv4() { 26 } else { 122 };
    let size = match section.get("block_size") {
        None => Some(u32::from(cidr.len().max(default))),
        Some(node) => {
            let (least, most) = (u32::from(cidr.len()), u32::from(cidr.family().bits()));
            node.integer(&format!("a length of blocks {least}-{most}"), least..=most)
        }
    };
    let block_size = u8::try_from(size?).ok()?;
    Some(IpPool { cidr, block_size })
}

fn nodes_of(node: &Entry<'_>) -> Vec<Node> {
    let (mut names, mut addresses) = (Seen::default(), Seen::default());
    let items = node.array("an array of [[nodes.node]]").unwrap_or_default();
    items.iter().filter_map(|item| one(item, &mut names, &mut addresses)).collect()
}

fn one(node: &Entry<'_>, names: &mut Seen<String>, seen: &mut Seen<IpAddr>) -> Option<Node> {
    let section = node.section(NODE_KEYS)?;
    let name = section.required("name", NAME).and_then(|node| {
        let name = node.parsed(NAME, |text| is_node_name(text).then(|| text.to_owned()))?;
        names.first(&node, &name, || format!("node {name}")).then_some(name)
    });
    let addresses = section.required("addresses", ADDRESSES).and_then(|node| node_addresses(&node, seen));
    let asn = section.get("asn").and_then(|node| asn(&node));
    let port = section.get("port").and_then(|node| port(&node)).unwrap_or(BGP_PORT);
    let is_reflector = section.get("reflector").and_then(|node| boolean(&node)).unwrap_or(false);
    Some(Node { name: name?, addresses: addresses?, asn, port, is_reflector })
}

/// As Kubernetes has it (RFC 1123), some upper case forgiven.
fn is_node_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn node_addresses(node: &Entry<'_>, seen: &mut Seen<IpAddr>) -> Option<Vec<IpAddr>> {
    let items = node.array(ADDRESSES)?;
    if items.is_empty() {
        node.unexpected(ADDRESSES);
        return None;
    }
    let mut families = Seen::default();
    let read = |item: Entry<'_>| {
        let found = address(&item, "an address of the node")?;
        let family = Family::of(found);
        let is_first = families.first(&item, &family, || format!("an {family} address of the node"))
            && seen.first(&item, &found, || format!("node address {found}"));
        is_first.then_some(found)
    };
    Some(items.into_iter().filter_map(read).collect())
}

fn listens(node: &Entry<'_>) -> Vec<NodeListen> {
    let mut seen = Seen::default();
    let items = node.array("an array of [[nodes.listen]]").unwrap_or_default();
    let read = |item: &Entry<'_>| {
        let section = item.section(LISTEN_KEYS)?;
        let prefix = section.required("prefix", PREFIX).and_then(|node| {
            let prefix = prefix(&node)?;
            seen.first(&node, &prefix, || format!("prefix {prefix}")).then_some(prefix)
        });
        let asn = section.required("asn", ASN).and_then(|node| asn(&node));
        Some(NodeListen { prefix: prefix?, asn: asn? })
    };
    items.iter().filter_map(read).collect()
}
