//! Tells the core which networks this host is in: what its interfaces' addresses say.

use super::Backoff;
use crate::core::Event;
use crate::engine::Inbox;
use bgp::Prefix;
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::address::AddressAttribute;
use rtnetlink::MulticastGroup;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long changes are gathered: an interface that comes up has several addresses.
const SETTLE: Duration = Duration::from_millis(100);

/// How often addresses are read without a sign from the kernel, should one have been lost.
const LOOK: Duration = Duration::from_secs(60);

/// Reports for ever.
pub async fn run(inbox: Inbox) {
    let mut backoff = Backoff::new();
    let mut reported = None;
    loop {
        if let Err(error) = follow(&inbox, &mut reported).await {
            tracing::warn!(%error, "this host's networks cannot be read; it is tried again");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Reports the networks, and again when they change; returns when the kernel's socket fails.
async fn follow(inbox: &Inbox, reported: &mut Option<BTreeSet<Prefix>>) -> Result<(), String> {
    let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, mut messages) =
        rtnetlink::new_multicast_connection(&groups).map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let outcome = async {
        loop {
            let networks = read(&handle).await.map_err(|error| error.to_string())?;
            if reported.as_ref() != Some(&networks) {
                *reported = Some(networks.clone());
                inbox.event(Event::ConnectedSeen(networks)).await;
            }
            // Both branches can be dropped: the addresses are read as a whole afterwards.
            tokio::select! {
                message = messages.next() => if message.is_none() { return Ok(()) },
                () = tokio::time::sleep(LOOK) => {}
            }
            tokio::time::sleep(SETTLE).await;
            while let Some(Some(_)) = futures_util::FutureExt::now_or_never(messages.next()) {}
        }
    };
    let outcome = outcome.await;
    driver.abort();
    outcome
}

async fn read(handle: &rtnetlink::Handle) -> Result<BTreeSet<Prefix>, rtnetlink::Error> {
    let mut messages = handle.address().get().execute();
    let mut networks = BTreeSet::new();
    while let Some(message) = messages.try_next().await? {
        let length = message.header.prefix_len;
        let address =
            |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
        let local = address(|attribute| match attribute {
            AddressAttribute::Local(local) => Some(*local),
            _ => None,
        });
        // Of a point-to-point link it is the other end; elsewhere the same as the local address.
        let remote = address(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        networks.extend(remote.map(|address| Prefix::host(address).shortened(length)));
        networks.extend(local.map(Prefix::host));
    }
    Ok(networks)
}
