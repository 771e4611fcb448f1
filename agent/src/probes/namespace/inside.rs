//! What is done inside the probe namespace.

use super::index;
use crate::config::{Network, Probes, Segment};
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

/// Parameters of the namespace, set before an interface comes and takes them over. Those of a kernel without IPv6 are
/// passed over.
const PARAMETERS: [(&str, &str); 11] = [
    // Answers come from a VIP, to which there is no way back in the main table.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // It answers for no address of another interface.
    ("ipv4/conf/all/arp_ignore", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    // Nothing goes through it.
    ("ipv4/ip_forward", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    // It has the addresses that it was given, at once, and no others.
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    // Echo requests need no raw sockets (icmp(7)).
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// How long a neighbour has for one answer, asked three times: a server that does not answer on its link is known as
/// unreachable within a second.
const NEIGHBOUR_RETRANS_MS: &str = "250";

/// The name by which the interface of a segment comes, by the segment's position. Kernels before 6.12 take no name that
/// the namespace has where the interface is made.
pub(super) fn first_name(position: usize) -> String {
    format!("lvsdp{position}")
}

/// Sets parameters, drops interfaces that are not configured, and gives the segments that have none yet, with their
/// positions.
pub(super) async fn begin(rtnetlink: Handle, settings: &Probes) -> Result<Vec<(usize, Segment)>> {
    for (key, value) in PARAMETERS {
        set(key, value)?;
    }
    let mut missing: Vec<(usize, Segment)> = settings.segments.iter().cloned().enumerate().collect();
    for link in links(&rtnetlink).await? {
        let name = name_of(&link).unwrap_or_default();
        let known = missing.iter().position(|(_, segment)| segment.interface == name);
        match known {
            Some(position) => drop(missing.remove(position)),
            None if is_made(&link) => rtnetlink.link().del(link.header.index).execute().await?,
            None => {}
        }
    }
    Ok(missing)
}

/// Gives each interface its addresses and brings it up.
pub(super) async fn finish(rtnetlink: Handle, settings: &Probes) -> Result<()> {
    bring_up(&rtnetlink, "lo").await?;
    for (position, segment) in settings.segments.iter().enumerate() {
        let name = &segment.interface;
        if let Some(index) = index(&rtnetlink, &first_name(position)).await? {
            let named = LinkUnspec::new_with_index(index).name(name.clone()).build();
            rtnetlink.link().set(named).execute().await.with_context(|| format!("name {name}"))?;
        }
        let interface = bring_up(&rtnetlink, name).await?;
        give_addresses(&rtnetlink, interface, segment)
            .await
            .with_context(|| format!("addresses of {name} in the probe namespace"))?;
        for family in ["ipv4", "ipv6"] {
            set(&format!("{family}/neigh/{name}/retrans_time_ms"), NEIGHBOUR_RETRANS_MS)?;
        }
        for gateway in &segment.gateways {
            let message = RouteMessageBuilder::<IpAddr>::new().output_interface(interface);
            let source = segment.addresses.iter().find(|own| own.contains(*gateway));
            let source = source.context("no address beside the gateway")?.address;
            let message = message.pref_source(source)?.gateway(*gateway)?.build();
            let added = rtnetlink.route().add(message).replace().execute().await;
            added.with_context(|| format!("the gateway {gateway} of the probe namespace"))?;
        }
    }
    Ok(())
}

/// Deletes all interfaces that were made.
pub(super) async fn empty(rtnetlink: Handle) -> Result<()> {
    for link in links(&rtnetlink).await?.into_iter().filter(is_made) {
        rtnetlink.link().del(link.header.index).execute().await?;
    }
    Ok(())
}

fn set(key: &str, value: &str) -> Result<()> {
    match fs::write(Path::new("/proc/sys/net").join(key), value) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("/proc/sys/net/{key} of the probe namespace")),
    }
}

async fn bring_up(rtnetlink: &Handle, name: &str) -> Result<u32> {
    let index = index(rtnetlink, name).await?;
    let index = index.with_context(|| format!("{name} is not in the probe namespace"))?;
    let up = LinkUnspec::new_with_index(index).up().build();
    rtnetlink.link().set(up).execute().await.with_context(|| format!("bring {name} up"))?;
    Ok(index)
}

async fn give_addresses(rtnetlink: &Handle, interface: u32, segment: &Segment) -> Result<()> {
    let mut wanted = segment.addresses.clone();
    let mut messages = rtnetlink.address().get().set_link_index_filter(interface).execute();
    let mut others = Vec::new();
    while let Some(message) = messages.try_next().await? {
        let network = network(&message);
        match wanted.iter().position(|own| Some(*own) == network) {
            Some(position) => drop(wanted.remove(position)),
            None if message.header.scope == AddressScope::Link => {}
            None => others.push(message),
        }
    }
    for message in others {
        rtnetlink.address().del(message).execute().await?;
    }
    for Network { address, length } in wanted {
        let mut request = rtnetlink.address().add(interface, address, length);
        if request.message_mut().header.family == AddressFamily::Inet6 {
            // Without it the address is tentative at first, and unusable for a second.
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await?;
    }
    Ok(())
}

fn network(message: &AddressMessage) -> Option<Network> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    Some(Network { address, length: message.header.prefix_len })
}

async fn links(rtnetlink: &Handle) -> Result<Vec<LinkMessage>> {
    Ok(rtnetlink.link().get().execute().try_collect().await?)
}

/// Whether an interface is of a kind that is made here: a new namespace has others of its own.
fn is_made(link: &LinkMessage) -> bool {
    let kinds = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    kinds.flatten().any(|info| matches!(info, LinkInfo::Kind(InfoKind::MacVlan)))
}

/// An interface's name.
pub(super) fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}
