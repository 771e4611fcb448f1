//! `[service.NAME]`: what it listens on and how it is scheduled; its pool and its checks have files of their own.

use super::model::Service;
use super::threshold::Threshold;
use super::twice::Seen;
use super::value::{boolean, duration_or, is_name, port, vip};
use super::walk::{Node, Section};
use super::{Problem, check, pool};
use ipvs::{Protocol, Scheduler, SchedulerFlags};
use std::net::IpAddr;
use std::time::Duration;

const KEYS: &[&str] = &[
    "vips",
    "port",
    "protocol",
    "scheduler",
    "scheduler_flags",
    "depool_threshold",
    "max_change",
    "slow_start",
    "require_on_link",
    "pool_file",
    "backends",
    "checks",
    "addresses",
];

const NAME: &str = "a name of 1 to 64 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit";
const VIPS: &str = "an array of one or more addresses, such as [\"192.0.2.10\", \"2001:db8::10\"]";
const PROTOCOL: &str = "\"tcp\", \"udp\" or \"sctp\"";
const FLAGS: &str = "an array of \"fallback\" and \"port\"";
const MAX_CHANGE: &str = "a share of the backends from 0 to 1, such as 0.5; 1 lets every change through";
const THRESHOLD: &str = "a share of the backends from 0 to 1, such as 0.5";

/// A backend that takes longer to its full weight is a canary, which has a weight of its own.
const MOST_SLOW_START: Duration = Duration::from_secs(24 * 3600);

/// What the services of all files listen on.
pub(super) type Listeners = Seen<(IpAddr, u16, Protocol)>;

/// Reads the table; `None` when a part without a default is wrong, which is then reported.
pub(super) fn read(node: &Node<'_>, name: &str, listeners: &mut Listeners) -> Option<Service> {
    if !is_name(name, false) {
        let (expected, found) = (NAME.to_owned(), format!("{:?}", super::walk::shortened(name)));
        node.report_key(Problem::Expected { expected, found });
    }
    let section = node.section(KEYS)?;
    let port = section.required("port", super::value::PORT).and_then(|node| port(&node));
    let protocol = section.get("protocol").map_or(Some(Protocol::Tcp), |node| protocol(&node));
    let listener = port.zip(protocol);
    let vips = section.required("vips", VIPS).and_then(|node| vips(&node, listener, listeners));
    let scheduler = scheduler(&section);
    let threshold = section.get("depool_threshold").and_then(|node| share(&node, THRESHOLD));
    let max_change = section.get("max_change").and_then(|node| share(&node, MAX_CHANGE));
    let require_on_link = section.get("require_on_link").and_then(|node| boolean(&node));
    let addresses = pool::addresses(&section);
    let pool = pool::read(&section, scheduler.as_ref(), addresses);
    let checks = check::read(&section);
    let (pool, addresses) = pool?;
    Some(Service {
        name: name.to_owned(),
        vips: vips?,
        port: port?,
        protocol: protocol?,
        scheduler: scheduler?,
        depool_threshold: threshold.unwrap_or(Threshold::HALF),
        max_change: max_change.unwrap_or(Threshold::HALF),
        slow_start: duration_or(&section, "slow_start", Duration::ZERO..=MOST_SLOW_START, Duration::ZERO),
        require_on_link: require_on_link.unwrap_or(true),
        pool,
        addresses,
        checks: checks?,
        origin: node.key_place(),
    })
}

fn protocol(node: &Node<'_>) -> Option<Protocol> {
    node.parsed(PROTOCOL, |text| text.parse().ok())
}

fn vips(
    node: &Node<'_>,
    listener: Option<(u16, Protocol)>,
    listeners: &mut Listeners,
) -> Option<Vec<IpAddr>> {
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
        if let Some((port, protocol)) = listener {
            let what = || ipvs::ServiceKey::Address { protocol, address: vip, port }.to_string();
            listeners.first(item, &(vip, port, protocol), what);
        }
        vips.push(vip);
    }
    Some(vips)
}

/// The scheduler with its flags; those that can have flags have both unless told otherwise, as clients of a
/// drained backend would otherwise be refused.
fn scheduler(section: &Section<'_>) -> Option<ipvs::Service> {
    let scheduler = section.get("scheduler").map_or(Some(Scheduler::Wrr), |node| {
        let known: Vec<_> = Scheduler::KNOWN.iter().map(Scheduler::as_str).collect();
        node.parsed(&format!("one of {}", known.join(", ")), |text| text.parse().ok())
    });
    let given = section.get("scheduler_flags").and_then(|node| flags(&node).map(|flags| (node, flags)));
    let scheduler = scheduler?;
    let flags = match given {
        Some((node, flags)) if flags != SchedulerFlags::NONE && !scheduler.takes_flags() => {
            node.report(Problem::Conflict(format!(
                "scheduler {scheduler} takes no flags: only sh and mh do"
            )));
            SchedulerFlags::NONE
        }
        Some((_, flags)) => flags,
        None if scheduler.takes_flags() => {
            SchedulerFlags { fallback: true, port: true, ..SchedulerFlags::NONE }
        }
        None => SchedulerFlags::NONE,
    };
    let made = ipvs::Service::new(scheduler, flags);
    made.map_err(|error| section.node().report_key(Problem::Conflict(error.to_string()))).ok()
}

fn flags(node: &Node<'_>) -> Option<SchedulerFlags> {
    let mut flags = SchedulerFlags::NONE;
    for item in node.array(FLAGS)? {
        match item.as_string() {
            Some("fallback") => flags.fallback = true,
            Some("port") => flags.port = true,
            Some(_) | None => item.unexpected("\"fallback\" or \"port\""),
        }
    }
    Some(flags)
}

fn share(node: &Node<'_>, expected: &str) -> Option<Threshold> {
    node.as_number().and_then(Threshold::from_share).or_else(|| {
        node.unexpected(expected);
        None
    })
}
