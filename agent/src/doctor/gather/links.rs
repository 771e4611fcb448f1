//! Interfaces and their addresses, over rtnetlink: they are those of this network namespace, which /sys need not show.

use crate::doctor::facts::{Interface, Kind};
use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::Handle;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The kernel answers at once; a netlink socket that lost a message would be waited for in vain.
const PATIENCE: Duration = Duration::from_secs(5);

/// All interfaces; `None` when they could not be read.
pub(super) async fn interfaces() -> Option<Vec<Interface>> {
    let (connection, handle, _) = rtnetlink::new_connection().ok()?;
    // The connection drives the socket and has no end of its own; it is dropped with the answer.
    let answer = async {
        tokio::select! {
            () = connection => None,
            answer = read(&handle) => answer.ok(),
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.ok()?
}

async fn read(handle: &Handle) -> Result<Vec<Interface>, rtnetlink::Error> {
    let mut interfaces = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        if let Some(interface) = interface(&link) {
            interfaces.insert(link.header.index, interface);
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let Some(interface) = interfaces.get_mut(&message.header.index) else { continue };
        if let Some(address) = address(&message).filter(|_| message.header.scope != AddressScope::Link) {
            interface.addresses.insert(address, message.header.prefix_len);
        }
    }
    Ok(interfaces.into_values().collect())
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    let (mut name, mut mtu, mut info) = (None, 0, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(its) => name = Some(its.clone()),
            LinkAttribute::Mtu(its) => mtu = *its,
            LinkAttribute::LinkInfo(infos) => {
                info = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let flags = link.header.flags;
    let kind = match info {
        _ if flags.contains(LinkFlags::Loopback) => Kind::Loopback,
        Some(InfoKind::Dummy) => Kind::Dummy,
        // Hardware has no kind; the others lead to hardware, or stand for it in a container.
        None
        | Some(
            InfoKind::Vlan
            | InfoKind::Bond
            | InfoKind::Team
            | InfoKind::Bridge
            | InfoKind::Veth
            | InfoKind::MacVlan
            | InfoKind::IpVlan,
        ) => Kind::Wire,
        Some(_) => Kind::Other,
    };
    Some(Interface {
        name: name?,
        kind,
        is_up: flags.contains(LinkFlags::Up),
        mtu,
        addresses: BTreeMap::new(),
    })
}

/// The interface's own address: on a point-to-point link the other attribute is the far end's.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let of = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
    let local = of(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        of(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_interface_is_found_with_what_it_is() {
        let interfaces = interfaces().await.expect("every Linux has interfaces");
        let lo = interfaces.iter().find(|interface| interface.name == "lo").expect("lo");
        assert_eq!(lo.kind, Kind::Loopback);
        assert!(lo.mtu > 0, "{lo:?}");
    }
}
