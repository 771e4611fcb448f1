//! The rules and routes of the servers' marks, in the network namespace that the process is in.
//!
//! For the mark of each slot there is `ip rule fwmark MARK lookup MARK` and, in the table of that number, a default route
//! by the server, or by a tunnel device to it. Both carry a protocol number of their own ([`PROTOCOL`]); nothing else is touched. A route is there
//! before its rule and goes after it: a packet with a mark that leads nowhere would go where the main table says.

mod tunnels;

use super::Server;
use super::slots::{Slots, assign};
use super::way::way;
use crate::config::{MARKS, Probes};
use crate::route_message::{self, gateway, interface, source};
use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use tunnels::Tunnels;

/// Who made a rule or a route, rtnetlink(7): none of those that iproute2 knows by name (rt_protos).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(76);

/// The priority of all rules: after the local table (0), so that what comes in is taken, before the main one (32766).
const PRIORITY: u32 = 1000;

/// What a reading or writing met.
type Outcome<T> = Result<T, rtnetlink::Error>;

/// What the kernel has of ours.
#[derive(Debug, Default)]
struct Found {
    /// Rules by slot and family, `true` for IPv4. The same twice cannot be made.
    rules: BTreeMap<(u32, bool), RuleMessage>,
    /// Routes by slot and family.
    routes: BTreeMap<(u32, bool), RouteMessage>,
    /// Tunnel devices by slot.
    tunnels: Tunnels,
}

/// The servers' marks in the kernel.
#[derive(Debug)]
pub struct Kernel {
    rtnetlink: Handle,
    settings: Probes,
    slots: Slots,
    /// The same the other way round: marks by server.
    marks: BTreeMap<Server, u32>,
}

impl Kernel {
    /// Takes over what an earlier process has left.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub async fn adopt(rtnetlink: Handle, settings: Probes) -> Outcome<Self> {
        let mut kernel = Self { rtnetlink, settings, slots: Slots::new(), marks: BTreeMap::new() };
        let found = kernel.read().await?;
        let server = |slot: &u32, route: &RouteMessage| match gateway(&route.attributes) {
            Some(address) => Some(Server { address, encapsulation: None }),
            None => found.tunnels.get(slot)?.1,
        };
        kernel.slots = found
            .routes
            .iter()
            .filter(|(key, _)| found.rules.contains_key(key))
            .filter_map(|((slot, _), route)| Some((*slot, server(slot, route)?)))
            .collect();
        Ok(kernel)
    }

    /// The mark of a server, if packets are handed to it.
    pub fn mark(&self, server: &Server) -> Option<u32> {
        self.marks.get(server).copied()
    }

    /// Keeps marks for exactly these servers. Gives those that packets cannot be handed to, and why.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub async fn set(&mut self, servers: &BTreeSet<Server>) -> Outcome<BTreeMap<Server, String>> {
        let mut refused = BTreeMap::new();
        let (mut slots, homeless) = assign(&self.slots, servers);
        refused.extend(
            homeless
                .iter()
                .map(|server| (*server, format!("more than {MARKS} servers are to be checked by a VIP"))),
        );
        let found = self.read().await?;
        let stale = |(slot, is_v4): &(u32, bool)| {
            slots.get(slot).is_none_or(|server| server.address.is_ipv4() != *is_v4)
        };
        let (rules, routes) = (found.rules.iter(), found.routes.iter());
        let rules: Vec<_> = rules.filter(|(key, _)| stale(key)).map(|(_, rule)| rule.clone()).collect();
        let routes: Vec<_> = routes.filter(|(key, _)| stale(key)).map(|(_, route)| route.clone()).collect();
        for rule in rules {
            self.rtnetlink.rule().del(rule).execute().await?;
        }
        for route in routes {
            self.rtnetlink.route().del(route).execute().await?;
        }
        for (slot, (index, _)) in &found.tunnels {
            if slots.get(slot).is_none_or(|server| server.encapsulation.is_none()) {
                tunnels::remove(&self.rtnetlink, *index).await?;
            }
        }
        for (slot, server) in slots.clone() {
            if let Err(reason) = self.hand_over(slot, &server, &found).await {
                refused.insert(server, reason);
                slots.remove(&slot);
            }
        }
        self.marks = slots.iter().map(|(slot, server)| (*server, self.settings.first_mark + slot)).collect();
        self.slots = slots;
        Ok(refused)
    }

    /// Has packets with a slot's mark handed to a server.
    async fn hand_over(&self, slot: u32, server: &Server, found: &Found) -> Result<(), String> {
        let route = self.route(slot, server, &found.tunnels).await?;
        let key = (slot, server.address.is_ipv4());
        let failed = |error| format!("the way to {server}: {error}");
        if found.routes.get(&key).is_none_or(|have| hop(have) != hop(&route)) {
            self.rtnetlink.route().add(route).replace().execute().await.map_err(failed)?;
        }
        if !found.rules.contains_key(&key) {
            self.add_rule(self.settings.first_mark + slot, server.address).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn route(&self, slot: u32, server: &Server, tunnels: &Tunnels) -> Result<RouteMessage, String> {
        let way = way(server, &self.settings.segments)?;
        let route = RouteMessageBuilder::<IpAddr>::new()
            .table_id(self.settings.first_mark + slot)
            .protocol(PROTOCOL)
            .pref_source(way.source)
            .map_err(|error| error.to_string())?;
        if server.encapsulation.is_some() {
            let index = tunnels::bring(&self.rtnetlink, slot, server, way.source, tunnels).await?;
            return Ok(route.output_interface(index).build());
        }
        let index = self.index(&way.segment.interface).await?;
        let route = route.output_interface(index).gateway(server.address);
        Ok(route.map_err(|error| error.to_string())?.onlink().build())
    }

    async fn index(&self, interface: &str) -> Result<u32, String> {
        let mut links = self.rtnetlink.link().get().match_name(interface.to_owned()).execute();
        match links.try_next().await {
            Ok(Some(link)) => Ok(link.header.index),
            Ok(None) => Err(format!("{interface} is not in the probe namespace")),
            Err(error) => Err(format!("{interface} is not in the probe namespace: {error}")),
        }
    }

    async fn add_rule(&self, mark: u32, address: IpAddr) -> Outcome<()> {
        let mut request = self.rtnetlink.rule().add();
        let message = request.message_mut();
        message.header.action = RuleAction::ToTable;
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        message.attributes = vec![
            RuleAttribute::Priority(PRIORITY),
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Table(mark),
            RuleAttribute::Protocol(PROTOCOL),
        ];
        match address {
            IpAddr::V4(_) => request.v4().execute().await,
            IpAddr::V6(_) => request.v6().execute().await,
        }
    }

    async fn read(&self) -> Outcome<Found> {
        let tunnels = tunnels::read(&self.rtnetlink).await?;
        let mut found = Found { tunnels, ..Found::default() };
        for (version, is_v4) in [(IpVersion::V4, true), (IpVersion::V6, false)] {
            let mut rules = self.rtnetlink.rule().get(version).execute();
            while let Some(rule) = rules.try_next().await? {
                if let Some(slot) = rule_slot(&rule, self.settings.first_mark) {
                    found.rules.insert((slot, is_v4), rule);
                }
            }
            let mut question = RouteMessage::default();
            question.header.address_family = if is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
            let mut routes = self.rtnetlink.route().get(question).execute();
            while let Some(route) = routes.try_next().await? {
                if let Some(slot) = route_slot(&route, self.settings.first_mark) {
                    found.routes.insert((slot, is_v4), route);
                }
            }
        }
        Ok(found)
    }
}

/// The slot of a rule of ours.
fn rule_slot(rule: &RuleMessage, first_mark: u32) -> Option<u32> {
    let is_ours = rule.attributes.contains(&RuleAttribute::Protocol(PROTOCOL));
    let mark = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::FwMark(mark) => Some(*mark),
        _ => None,
    });
    mark.filter(|_| is_ours)?.checked_sub(first_mark).filter(|slot| *slot < MARKS)
}

/// The slot of a route of ours.
fn route_slot(route: &RouteMessage, first_mark: u32) -> Option<u32> {
    let is_ours = route.header.protocol == PROTOCOL;
    let slot = route_message::table(route).checked_sub(first_mark)?;
    (is_ours && slot < MARKS).then_some(slot)
}

/// The interface, the next hop and the source of a route.
fn hop(route: &RouteMessage) -> (Option<u32>, Option<IpAddr>, Option<IpAddr>) {
    let attributes = &route.attributes;
    (interface(attributes), gateway(attributes), source(attributes))
}
