//! A tunnel device for each server that is reached by one, as IPVS wraps packets for it.
//!
//! A device is named by its slot, and its alias (`ip link`) says which server and which encapsulation it is for.

use super::Outcome;
use crate::config::MARKS;
use crate::probes::Server;
use futures_util::TryStreamExt;
use health::Encapsulation;
use netlink_packet_route::IpProtocol;
use netlink_packet_route::link::{Ip6TunnelFlags, LinkAttribute, LinkMessage, TunnelEncapType};
use rtnetlink::{Handle, LinkGre, LinkGre6, LinkIp6Tnl, LinkIpIp, LinkUnspec};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the names of the devices begin with.
const PREFIX: &str = "lvsdt";

/// The hops that a wrapped packet may take, as IPVS has it: the default of the kernel's routes.
const HOPS: u8 = 64;

/// Devices by slot: the index, and the server that it leads to if its alias is understood.
pub(super) type Tunnels = BTreeMap<u32, (u32, Option<Server>)>;

/// The devices that are there.
pub(super) async fn read(rtnetlink: &Handle) -> Outcome<Tunnels> {
    let mut tunnels = Tunnels::new();
    let mut links = rtnetlink.link().get().execute();
    while let Some(link) = links.try_next().await? {
        tunnels.extend(tunnel(&link));
    }
    Ok(tunnels)
}

fn tunnel(link: &LinkMessage) -> Option<(u32, (u32, Option<Server>))> {
    let (mut slot, mut server) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => slot = name.strip_prefix(PREFIX)?.parse().ok(),
            LinkAttribute::IfAlias(alias) => server = Server::try_from(alias.clone()).ok(),
            _ => {}
        }
    }
    Some((slot.filter(|slot| *slot < MARKS)?, (link.header.index, server)))
}

/// Has a device to a server, and gives its index.
///
/// # Errors
/// In words: what the kernel lacks.
pub(super) async fn bring(
    rtnetlink: &Handle,
    slot: u32,
    server: &Server,
    source: IpAddr,
    have: &Tunnels,
) -> Result<u32, String> {
    let name = format!("{PREFIX}{slot}");
    if let Some((index, its)) = have.get(&slot) {
        if its.as_ref() == Some(server) {
            return Ok(*index);
        }
        remove(rtnetlink, *index).await.map_err(|error| format!("{name}: {error}"))?;
    }
    let made = rtnetlink.link().add(device(&name, server, source)?).execute().await;
    made.map_err(|error| {
        format!("a tunnel to {server}: {error}; it needs the kernel's modules {}", modules(server))
    })?;
    let mut links = rtnetlink.link().get().match_name(name.clone()).execute();
    let link = links.try_next().await.map_err(|error| format!("{name}: {error}"))?;
    let index = link.ok_or_else(|| format!("{name} was made and is not there"))?.header.index;
    // Not all kinds take the alias, and none the state, when they are made.
    let known = LinkUnspec::new_with_index(index).alias(server.to_string()).up().build();
    rtnetlink.link().set(known).execute().await.map_err(|error| format!("{name}: {error}"))?;
    Ok(index)
}

/// Removes a device.
pub(super) async fn remove(rtnetlink: &Handle, index: u32) -> Outcome<()> {
    rtnetlink.link().del(index).execute().await
}

fn device(name: &str, server: &Server, source: IpAddr) -> Result<LinkMessage, String> {
    let encapsulation = server.encapsulation.ok_or_else(|| format!("{server} is reached by no tunnel"))?;
    match (source, server.address) {
        (IpAddr::V4(own), IpAddr::V4(far)) => Ok(over_v4(name, encapsulation, own, far)),
        (IpAddr::V6(own), IpAddr::V6(far)) => Ok(over_v6(name, encapsulation, own, far)),
        (own, far) => Err(format!("no tunnel from {own} to {far}, which are of two families")),
    }
}

fn over_v4(name: &str, encapsulation: Encapsulation, own: Ipv4Addr, far: Ipv4Addr) -> LinkMessage {
    let ipip = || LinkIpIp::new(name).local(own).remote(far).ttl(HOPS);
    match encapsulation {
        Encapsulation::Ipip => ipip().build(),
        Encapsulation::Gue { port } => ipip().encap_type(TunnelEncapType::Gue).encap_dport(port).build(),
        Encapsulation::Gre => LinkGre::new(name).local(own).remote(far).ttl(HOPS).build(),
    }
}

fn over_v6(name: &str, encapsulation: Encapsulation, own: Ipv6Addr, far: Ipv6Addr) -> LinkMessage {
    let ip6ip6 = || {
        let tunnel = LinkIp6Tnl::new(name).mode(IpProtocol::Ipv6).local(own).remote(far).ttl(HOPS);
        // IPVS puts no header between the two (RFC 2473, section 5).
        tunnel.set_flag(Ip6TunnelFlags::IgnEncapLimit, true)
    };
    match encapsulation {
        Encapsulation::Ipip => ip6ip6().build(),
        Encapsulation::Gue { port } => ip6ip6().encap_type(TunnelEncapType::Gue).encap_dport(port).build(),
        Encapsulation::Gre => LinkGre6::new(name).local(own).remote(far).ttl(HOPS).build(),
    }
}

fn modules(server: &Server) -> &'static str {
    match (server.encapsulation, server.address) {
        (Some(Encapsulation::Gre), IpAddr::V4(_)) => "ip_gre",
        (Some(Encapsulation::Gre), IpAddr::V6(_)) => "ip6_gre",
        (Some(Encapsulation::Gue { .. }), IpAddr::V4(_)) => "ipip and fou (CONFIG_NET_FOU_IP_TUNNELS)",
        (Some(Encapsulation::Gue { .. }), IpAddr::V6(_)) => "ip6_tunnel and fou6 (CONFIG_NET_FOU_IP_TUNNELS)",
        (_, IpAddr::V4(_)) => "ipip",
        (_, IpAddr::V6(_)) => "ip6_tunnel",
    }
}
