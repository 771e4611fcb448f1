//! `[probes]` and its `[[probes.segment]]`: where checks come from that go to a server by a VIP.

use super::daemon::{MAX_SOCKET_PATH, device, path};
use super::model::{CheckPath, Config, Network, Probes, Segment};
use super::twice::Seen;
use super::value::address;
use super::walk::{Node, Run, Section};
use super::{ConfigError, Problem};
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) const KEYS: &[&str] = &["namespace", "socket", "first_mark", "segment"];

pub(super) const SEGMENT_KEYS: &[&str] = &["interface", "addresses", "gateways"];

const SEGMENTS: &str = "at least one segment as [[probes.segment]]";
const NETWORK: &str = "a free address of the segment with its prefix length, such as \"10.64.0.201/24\"";
const NETWORKS: &str = "an array of one or more free addresses of the segment, such as [\"10.64.0.201/24\"]";
const GATEWAY: &str = "the address of a router in the segment";
const GATEWAYS: &str = "an array of routers' addresses, one for each family";
const NAMESPACE: &str = "a name of 1 to 64 letters, digits, \"_\", \"-\" or \".\"";
const FIRST_MARK: &str = "a mark 256-4294963199";

/// Marks, and so servers that are checked by a VIP, at most: each is a rule that a new connection is held against, and
/// at this number that takes about 0.2 ms.
pub const MARKS: u32 = 4096;

/// Routing tables of the same numbers as the marks are used, and those below are the kernel's (rt_tables).
const LEAST_MARK: u32 = 256;

/// Nothing else that is known to set marks uses this range; it reads "lv" in ASCII.
const DEFAULT_FIRST_MARK: u32 = 0x6c76_0000;

/// The longest name of a namespace: a file's name, and short enough for a line of a log.
const MAX_NAMESPACE: usize = 64;

impl Default for Probes {
    fn default() -> Self {
        Self {
            namespace: "lvsd-probes".to_owned(),
            socket: PathBuf::from("/run/lvsd-probes/probes.sock"),
            first_mark: DEFAULT_FIRST_MARK,
            segments: Vec::new(),
        }
    }
}

/// Reads the table; what is wrong with it is reported.
pub(super) fn read(node: &Node<'_>) -> Option<Probes> {
    let default = Probes::default();
    let section = node.section(KEYS)?;
    let segments = section.required("segment", SEGMENTS).and_then(|node| segments(&node));
    let first_mark = LEAST_MARK..=u32::MAX - MARKS;
    Some(Probes {
        namespace: section.get("namespace").and_then(|node| namespace(&node)).unwrap_or(default.namespace),
        socket: path(&section, "socket", MAX_SOCKET_PATH).unwrap_or(default.socket),
        first_mark: section
            .get("first_mark")
            .and_then(|node| node.integer(FIRST_MARK, first_mark))
            .unwrap_or(default.first_mark),
        segments: segments?,
    })
}

/// Reports services whose checks come from nowhere.
pub(super) fn check_missing(config: &Config, run: &Run<'_>) {
    if config.probes.is_some() {
        return;
    }
    let services = config.services.values();
    let by_vip = services.filter(|service| service.checks.iter().any(|check| check.path == CheckPath::Vip));
    for service in by_vip {
        let what = "path = \"vip\" needs [probes], which says where such checks come from";
        run.errors().push(ConfigError::new(
            service.origin.clone(),
            format!("service.{}.checks", service.name),
            Problem::Conflict(what.to_owned()),
        ));
    }
}

/// A file's name below /run/netns.
fn namespace(node: &Node<'_>) -> Option<String> {
    node.parsed(NAMESPACE, |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let fits = (1..=MAX_NAMESPACE).contains(&text.len()) && plain && !text.starts_with(['.', '-']);
        fits.then(|| text.to_owned())
    })
}

fn segments(node: &Node<'_>) -> Option<Vec<Segment>> {
    let items = node.array(SEGMENTS)?;
    if items.is_empty() {
        node.unexpected(SEGMENTS);
    }
    let (mut interfaces, mut addresses) = (Seen::default(), Seen::default());
    Some(items.iter().filter_map(|item| segment(item, &mut interfaces, &mut addresses)).collect())
}

fn segment(node: &Node<'_>, interfaces: &mut Seen<String>, seen: &mut Seen<IpAddr>) -> Option<Segment> {
    let section = node.section(SEGMENT_KEYS)?;
    let interface =
        section.required("interface", "the interface that leads to the servers").and_then(|node| {
            let name = device(&node)?;
            interfaces.first(&node, &name, || format!("the segment of {name}")).then_some(name)
        });
    let addresses = section.required("addresses", NETWORKS).and_then(|node| networks(&node, seen));
    let gateways = gateways(&section, addresses.as_deref().unwrap_or_default());
    Some(Segment { interface: interface?, addresses: addresses?, gateways })
}

fn networks(node: &Node<'_>, seen: &mut Seen<IpAddr>) -> Option<Vec<Network>> {
    let items = node.array(NETWORKS)?;
    if items.is_empty() {
        node.unexpected(NETWORKS);
    }
    let network = |item: Node<'_>| {
        let network = item.parsed(NETWORK, |text| text.parse::<Network>().ok())?;
        seen.first(&item, &network.address, || format!("the address {}", network.address)).then_some(network)
    };
    Some(items.into_iter().filter_map(network).collect())
}

/// Routers that lead to servers which are reached by a tunnel; each is in a network of the segment.
fn gateways(section: &Section<'_>, networks: &[Network]) -> Vec<IpAddr> {
    let items = section.get("gateways").and_then(|node| node.array(GATEWAYS)).unwrap_or_default();
    let mut families = Seen::default();
    let gateway = |item: Node<'_>| {
        let gateway = address(&item, GATEWAY)?;
        if !networks.iter().any(|network| network.contains(gateway)) {
            item.report(Problem::Conflict(format!("{gateway} is in no network of the segment's addresses")));
            return None;
        }
        let family = super::Family::of(gateway);
        families.first(&item, &family, || format!("a gateway for {family}")).then_some(gateway)
    };
    items.into_iter().filter_map(gateway).collect()
}
