//! `[service.NAME]`: what it listens on and how it is scheduled; its pool and its checks have files of their own.

use super::model::{Front, Service, Target};
use super::scheduling::Datagrams;
use super::threshold::Threshold;
use super::twice::Seen;
use super::value::{boolean, duration_or, is_name, port, vip};
use super::walk::{Node, Section};
use super::{Problem, attributes, canary, check, forwarding, pool, pybal, scheduling};
use ipvs::{Family, Forward, Protocol, ServiceKey};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &[
    "vips",
    "port",
    "protocol",
    "fwmark",
    "scheduler",
    "scheduler_flags",
    "one_packet_scheduling",
    "persistence_timeout",
    "persistence_prefix_ipv4",
    "persistence_prefix_ipv6",
    "persistence_engine",
    "forwarding",
    "backend_port",
    "tunnel",
    "depool_threshold",
    "max_change",
    "slow_start",
    "require_on_link",
    "require",
    "pool",
    "pool_file",
    "backends",
    "checks",
    "canary",
    "addresses",
    "route",
    "pybal_names",
];

const NAME: &str = "a name of 1 to 64 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit";
const VIPS: &str = "an array of one or more addresses, such as [\"192.0.2.10\", \"2001:db8::10\"]";
const PROTOCOL: &str = "\"tcp\", \"udp\" or \"sctp\"";
const FWMARK: &str = "a firewall mark 1-4294967295";
const MAX_CHANGE: &str = "a share of the backends from 0 to 1, such as 0.5; 1 lets every change through";
const THRESHOLD: &str = "a share of the backends from 0 to 1, such as 0.5";

/// A backend that takes longer to its full weight is a canary, which has a weight of its own.
const MOST_SLOW_START: Duration = Duration::from_secs(24 * 3600);

/// What the services of all files listen on.
pub(super) type Listeners = Seen<ServiceKey>;

/// What makes a packet one of a service's, beside its address.
#[derive(Clone, Copy, Debug)]
enum Listener {
    Port(u16, Protocol),
    Mark(NonZeroU32),
}

impl Listener {
    fn key(self, vip: IpAddr) -> ServiceKey {
        match self {
            Self::Port(port, protocol) => ServiceKey::Address { protocol, address: vip, port },
            Self::Mark(mark) => ServiceKey::FwMark { family: Family::of(vip), mark },
        }
    }

    fn datagrams(self) -> Datagrams {
        match self {
            Self::Port(_, Protocol::Tcp | Protocol::Sctp) => Datagrams::Never,
            Self::Port(_, Protocol::Udp) | Self::Mark(_) => Datagrams::Possible,
        }
    }
}

/// Reads the table; `None` when a part without a default is wrong, which is then reported.
pub(super) fn read(node: &Node<'_>, name: &str, listeners: &mut Listeners) -> Option<Service> {
    if !is_name(name, false) {
        let (expected, found) = (NAME.to_owned(), format!("{:?}", super::walk::shortened(name)));
        node.report_key(Problem::Expected { expected, found });
    }
    let section = node.section(KEYS)?;
    let listener = listener(&section);
    let vips = section.required("vips", VIPS).and_then(|node| vips(&node, listener, listeners));
    let scheduler = scheduling::read(&section, listener.map_or(Datagrams::Possible, Listener::datagrams));
    let forwarding = forwarding::read(&section);
    let threshold = section.get("depool_threshold").and_then(|node| share(&node, THRESHOLD));
    let max_change = section.get("max_change").and_then(|node| share(&node, MAX_CHANGE));
    let require_on_link = section.get("require_on_link").and_then(|node| boolean(&node));
    let addresses = pool::addresses(&section);
    let front = front(vips.as_deref(), listener, forwarding);
    let pool = pool::read(&section, scheduler.as_ref().map(|(service, _)| service), addresses, &front);
    let checks = check::read(&section);
    let route = attributes::route(&section);
    let pybal_names = pybal::names(&section);
    let canary = section.get("canary").and_then(|node| canary::read(&node, section.get("fwmark").is_some()));
    let ((pool, addresses), (scheduler, persistence_ipv6)) = (pool?, scheduler?);
    let (forward, backend_port) = forwarding?;
    let (port, protocol, fwmark) = match listener? {
        Listener::Port(port, protocol) => (port, protocol, None),
        Listener::Mark(mark) => (0, Protocol::Tcp, Some(mark)),
    };
    let backend_port = backend_port.unwrap_or(port);
    let (checks, require) = checks?;
    let require_on_link = require_on_link.unwrap_or(forward == Forward::DirectRouting);
    check::fit(&section, &checks, (forward, backend_port, require_on_link));
    Some(Service {
        name: name.into(),
        vips: vips?,
        port,
        fwmark,
        protocol,
        scheduler,
        persistence_ipv6,
        forward,
        backend_port,
        depool_threshold: threshold.unwrap_or(Threshold::HALF),
        max_change: max_change.unwrap_or(Threshold::HALF),
        slow_start: duration_or(&section, "slow_start", Duration::ZERO..=MOST_SLOW_START, Duration::ZERO),
        require_on_link,
        pool,
        addresses,
        require,
        checks,
        route,
        canary: canary.map(Box::new),
        pybal_names,
        origin: node.key_place(),
    })
}

/// What a cluster is told of the service; where something is wrong, anything.
fn front(
    vips: Option<&[IpAddr]>,
    listener: Option<Listener>,
    forwarding: Option<(Forward, Option<u16>)>,
) -> Front {
    let (port, protocol) = match listener {
        Some(Listener::Port(port, protocol)) => (port, protocol),
        Some(Listener::Mark(_)) | None => (0, Protocol::Tcp),
    };
    let (forward, backend_port) = forwarding.unwrap_or((Forward::DirectRouting, None));
    let to = if forward == Forward::Masquerade { Target::Pods } else { Target::Nodes };
    let vips = vips.unwrap_or_default().into();
    Front { vips, protocol, backend_port: backend_port.unwrap_or(port), to }
}

/// What it listens on: a port of a protocol, or a firewall mark.
fn listener(section: &Section<'_>) -> Option<Listener> {
    let Some(node) = section.get("fwmark") else {
        let port = section.required("port", super::value::PORT).and_then(|node| port(&node));
        let protocol = section.get("protocol").map_or(Some(Protocol::Tcp), |node| protocol(&node));
        return Some(Listener::Port(port?, protocol?));
    };
    let mark = node.integer(FWMARK, 1..=u32::MAX).and_then(NonZeroU32::new);
    for node in ["port", "protocol"].iter().filter_map(|key| section.get(key)) {
        node.report_key(Problem::Conflict(
            "the firewall says which packets have the fwmark, whatever their port and protocol".into(),
        ));
    }
    mark.map(Listener::Mark)
}

fn protocol(node: &Node<'_>) -> Option<Protocol> {
    node.parsed(PROTOCOL, |text| text.parse().ok())
}

fn vips(node: &Node<'_>, listener: Option<Listener>, listeners: &mut Listeners) -> Option<Vec<IpAddr>> {
    let items = node.array(VIPS)?;
    if items.is_empty() {
        node.unexpected(VIPS);
    }
    let mut own = Seen::default();
    let mut vips = Vec::with_capacity(items.len());
    for item in &items {
        let Some(vip) = vip(item).filter(|vip| own.first(item, vip, || format!("VIP {vip}"))) else {
            continue;
        };
        // A firewall mark is the same for all VIPs of a family.
        let is_known = |key: &ServiceKey| matches!(key, ServiceKey::FwMark { family, .. } if vips.iter().any(|vip| Family::of(*vip) == *family));
        if let Some(key) = listener.map(|listener| listener.key(vip)).filter(|key| !is_known(key)) {
            listeners.first(item, &key, || key.to_string());
        }
        vips.push(vip);
    }
    Some(vips)
}

fn share(node: &Node<'_>, expected: &str) -> Option<Threshold> {
    node.as_number().and_then(Threshold::from_share).or_else(|| {
        node.unexpected(expected);
        None
    })
}
