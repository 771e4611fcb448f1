//! How a service's connections are spread: scheduler, flags, one-packet scheduling, persistence.

use super::Problem;
use super::value::{boolean, duration};
use super::walk::{Node, Section};
use ipvs::{Family, Persistence, Scheduler, SchedulerFlags};
use std::ops::RangeInclusive;
use std::time::Duration;

const FLAGS: &str = "an array of \"fallback\" and \"port\"";
const ENGINE: &str = "\"sip\"";

/// The kernel's own bounds are 1 s and some 24 days at the least; `ipvsadm` stops at 31.
const PERSISTENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);

/// What is said beside `persistence_timeout`, which alone switches it on.
const OF_PERSISTENCE: [&str; 3] =
    ["persistence_prefix_ipv4", "persistence_prefix_ipv6", "persistence_engine"];

/// Whether each datagram can be scheduled by itself, and told by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datagrams {
    /// They are, or a firewall mark may stand for them.
    Possible,
    /// The service has connections.
    Never,
}

/// What the kernel is told, and the persistence of IPv6 clients where it is another.
pub(super) fn read(
    section: &Section<'_>,
    datagrams: Datagrams,
) -> Option<(ipvs::Service, Option<Persistence>)> {
    let service = scheduler(section);
    let one_packet = section.get("one_packet_scheduling");
    if let (Some(node), Datagrams::Never) = (&one_packet, datagrams) {
        node.report_key(Problem::Conflict("only UDP has packets that can be scheduled one by one".into()));
    }
    let is_one_packet = one_packet.is_some_and(|node| boolean(&node).unwrap_or_default());
    let persistence = persistence(section);
    let engine = section.get("persistence_engine").and_then(|node| engine(&node, datagrams));
    let mut service = service?;
    if is_one_packet {
        service = service.with_one_packet();
    }
    let Some((ipv4, ipv6)) = persistence? else { return Some((service, None)) };
    service = service.with_persistence(ipv4);
    if let Some(engine) = engine {
        let made = service.with_persistence_engine(engine);
        service =
            made.map_err(|error| section.node().report_key(Problem::Conflict(error.to_string()))).ok()?;
    }
    Some((service, Some(ipv6)))
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

/// Persistence of IPv4 and of IPv6 clients, if there is any; none at all when it is wrong.
fn persistence(section: &Section<'_>) -> Option<Option<(Persistence, Persistence)>> {
    let prefix = |key: &str, family: Family| match section.get(key) {
        Some(node) => prefix(&node, family),
        None => Some(family.max_prefix_len()),
    };
    let ipv4 = prefix("persistence_prefix_ipv4", Family::V4);
    let ipv6 = prefix("persistence_prefix_ipv6", Family::V6);
    let Some(node) = section.get("persistence_timeout") else {
        for node in OF_PERSISTENCE.iter().filter_map(|key| section.get(key)) {
            node.report_key(Problem::Conflict("without persistence_timeout there is no persistence".into()));
        }
        return Some(None);
    };
    let seconds = whole_seconds(&node)?;
    let of = |prefix_len, family| {
        let made = Persistence::new(seconds, prefix_len, family);
        made.map_err(|error| node.report(Problem::Conflict(error.to_string()))).ok()
    };
    Some(Some((of(ipv4?, Family::V4)?, of(ipv6?, Family::V6)?)))
}

fn whole_seconds(node: &Node<'_>) -> Option<u32> {
    let time = duration(node, PERSISTENCE)?;
    if time.subsec_nanos() > 0 {
        node.refused("whole seconds", "the kernel counts no less");
        return None;
    }
    u32::try_from(time.as_secs()).ok()
}

fn prefix(node: &Node<'_>, family: Family) -> Option<u8> {
    let most = family.max_prefix_len();
    let expected = format!("a prefix length 1-{most}, by which clients are told apart");
    node.integer(&expected, 1..=most.into()).and_then(|length| u8::try_from(length).ok())
}

/// The kernel has one engine.
fn engine<'a>(node: &Node<'a>, datagrams: Datagrams) -> Option<&'a str> {
    let engine = node.parsed(ENGINE, |text| (text == "sip").then_some(text))?;
    if datagrams == Datagrams::Never {
        node.report_key(Problem::Conflict("the kernel reads SIP over UDP only".into()));
        return None;
    }
    Some(engine)
}
