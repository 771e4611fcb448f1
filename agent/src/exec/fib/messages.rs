//! Routes and rules as netlink's messages, both ways (pure).

use crate::fib::{Hop, Key, Op, Settings, Way};
use crate::route_message::{destination, gateway, interface, ip, metric, table};
use bgp::{Family, Prefix};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags, RouteProtocol, RouteScope,
    RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The main table, `RT_TABLE_MAIN`.
pub(super) const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// What a route in a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Ours, with its hop if it has the form that is written here.
    Ours(Key, Option<Hop>),
    /// Somebody else's.
    Foreign(Key),
}

/// An operation with the flags that make it fail where it would touch what is not ours.
pub(super) fn request(op: &Op, settings: &Settings) -> (RouteNetlinkMessage, u16) {
    match op {
        Op::Add(prefix, hop) => {
            let route = route(*prefix, *hop, settings);
            (RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL)
        }
        Op::Replace(prefix, hop) => {
            let route = route(*prefix, *hop, settings);
            (RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
        }
        Op::Remove(key) => (RouteNetlinkMessage::DelRoute(removal(key, settings)), 0),
    }
}

fn route(prefix: Prefix, hop: Hop, settings: &Settings) -> RouteMessage {
    let mut message = named(prefix, settings.metric.get(), settings);
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.header.flags = RouteFlags::Onlink;
    message.attributes.push(RouteAttribute::Oif(hop.interface));
    message.attributes.push(match (prefix.address(), hop.gateway) {
        (IpAddr::V4(_), IpAddr::V6(gateway)) => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        (_, gateway) => RouteAttribute::Gateway(gateway.into()),
    });
    message
}

/// Whatever its form is: the protocol number tells that it is ours.
fn removal(key: &Key, settings: &Settings) -> RouteMessage {
    let mut message = named(key.prefix, key.metric, settings);
    message.header.tos = key.tos;
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    message
}

fn named(prefix: Prefix, metric: u32, settings: &Settings) -> RouteMessage {
    let mut message = question(prefix.family(), settings.table.get());
    message.header.destination_prefix_length = prefix.len();
    message.header.protocol = RouteProtocol::from(settings.protocol.get());
    message.attributes.push(RouteAttribute::Destination(prefix.address().into()));
    message.attributes.push(RouteAttribute::Priority(metric));
    message
}

/// Asks for every route of a table.
pub(super) fn question(family: Family, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.attributes.push(RouteAttribute::Table(table));
    message
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// What a route of our table is.
pub(super) fn seen(route: &RouteMessage, settings: &Settings) -> Option<Seen> {
    let key = Key { prefix: prefix(route)?, tos: route.header.tos, metric: metric(&route.attributes) };
    let is_ours = u8::from(route.header.protocol) == settings.protocol.get();
    Some(if is_ours { Seen::Ours(key, hop(route)) } else { Seen::Foreign(key) })
}

/// The hop of a route that has the form which [`route`] writes.
fn hop(route: &RouteMessage) -> Option<Hop> {
    use RouteAttribute as A;
    let is_more = |attribute: &A| {
        matches!(
            attribute,
            A::MultiPath(_) | A::PrefSource(_) | A::Metrics(_) | A::Encap(_) | A::NhId(_) | A::Source(_)
        )
    };
    let is_plain = route.header.kind == RouteType::Unicast && route.header.flags.contains(RouteFlags::Onlink);
    if !is_plain || route.attributes.iter().any(is_more) {
        return None;
    }
    Some(Hop { gateway: gateway(&route.attributes)?, interface: interface(&route.attributes)? })
}

/// A route of the main table as a way to next hops, if packets can go by it.
pub(super) fn way(route: &RouteMessage) -> Option<(Prefix, Way)> {
    let header = &route.header;
    let is_dead = header.flags.intersects(RouteFlags::Dead | RouteFlags::Cloned);
    let is_for_some = header.tos != 0 || header.source_prefix_length != 0;
    if header.kind != RouteType::Unicast || is_dead || is_for_some || table(route) != MAIN {
        return None;
    }
    let several = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let (gateway, interface) = match several {
        // One of them: a pod's packets do not have to be spread.
        Some(hops) => {
            let hop = hops.iter().find(|hop| !hop.flags.contains(RouteNextHopFlags::Dead))?;
            (gateway(&hop.attributes), hop.interface_index)
        }
        None => (gateway(&route.attributes), interface(&route.attributes)?),
    };
    Some((prefix(route)?, Way { gateway, interface, metric: metric(&route.attributes) }))
}

fn prefix(route: &RouteMessage) -> Option<Prefix> {
    let address = match (destination(&route.attributes), route.header.address_family) {
        (Some(address), _) => ip(address)?,
        (None, AddressFamily::Inet) => Ipv4Addr::UNSPECIFIED.into(),
        (None, AddressFamily::Inet6) => Ipv6Addr::UNSPECIFIED.into(),
        (None, _) => return None,
    };
    Prefix::new(address, route.header.destination_prefix_length).ok()
}

/// Asks for every rule of a family.
pub(super) fn rule_question(family: Family) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message
}

/// The rule by which packets are looked up in our table.
pub(super) fn rule(family: Family, settings: &Settings) -> RuleMessage {
    let mut message = rule_question(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(settings.priority.get()),
        RuleAttribute::Table(settings.table.get()),
        RuleAttribute::Protocol(settings.protocol.get().into()),
    ];
    message
}

/// Whether a rule is ours; and if it is, whether it is the one that [`rule`] makes.
pub(super) fn is_our_rule(rule: &RuleMessage, settings: &Settings) -> Option<bool> {
    use RuleAttribute as A;
    let is_ours = rule.attributes.contains(&A::Protocol(settings.protocol.get().into()));
    let narrows = |attribute: &A| {
        matches!(attribute, A::FwMark(_) | A::Iifname(_) | A::Oifname(_) | A::Source(_) | A::Destination(_))
    };
    let is_right = rule.header.action == RuleAction::ToTable
        && rule.attributes.contains(&A::Priority(settings.priority.get()))
        && rule.attributes.contains(&A::Table(settings.table.get()))
        && !rule.attributes.iter().any(narrows);
    is_ours.then_some(is_right)
}
