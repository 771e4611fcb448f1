//! Listens to what the kernel tells of routes, rules and links, and says when something is to be looked at.

use super::messages::MAIN;
use crate::exec::Backoff;
use crate::fib::Settings;
use crate::route_message;
use futures_util::StreamExt;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// What the kernel is to tell of. It does not tell of the routes that go with their interface.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];

/// Listens without end. `port`: the author of our own writes, of which it says nothing.
pub(super) async fn run(settings: Settings, port: Arc<AtomicU32>, changed: Arc<Notify>) {
    let mut backoff = Backoff::new();
    loop {
        let failed = listen(&settings, &port, &changed, &mut backoff).await;
        tracing::warn!(error = %failed, "the kernel's word on routes is not heard");
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn listen(settings: &Settings, port: &AtomicU32, changed: &Notify, backoff: &mut Backoff) -> io::Error {
    let (mut connection, _, mut messages) = match rtnetlink::new_multicast_connection(&GROUPS) {
        Ok(opened) => opened,
        Err(error) => return error,
    };
    // Nobody was listening before.
    changed.notify_one();
    loop {
        // Both can be dropped at any point. The connection reads only when it is polled here, so that what is not
        // taken waits in the kernel's buffer, and is told as an overrun when that is full.
        tokio::select! {
            biased;
            () = &mut connection => return io::Error::other("the rtnetlink connection has ended"),
            Some((message, _)) = messages.next() => {
                backoff.reset();
                if matters(&message, settings, port.load(Ordering::Acquire)) {
                    changed.notify_one();
                }
            }
        }
    }
}

/// Whether what the kernel tells can mean that something is to be written.
fn matters(message: &NetlinkMessage<RouteNetlinkMessage>, settings: &Settings, port: u32) -> bool {
    use RouteNetlinkMessage as M;
    let is_echo = port != 0 && message.header.port_number == port;
    match &message.payload {
        NetlinkPayload::InnerMessage(M::NewRoute(route) | M::DelRoute(route)) => {
            !is_echo && [MAIN, settings.table.get()].contains(&route_message::table(route))
        }
        NetlinkPayload::InnerMessage(M::NewRule(_) | M::DelRule(_)) => !is_echo,
        // Links, addresses, and an overrun, in which anything may have been.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::{RouteAttribute, RouteMessage};
    use rtnetlink::packet_core::NetlinkHeader;

    fn told(table: u32, port: u32) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut route = RouteMessage::default();
        route.attributes.push(RouteAttribute::Table(table));
        let mut header = NetlinkHeader::default();
        header.port_number = port;
        NetlinkMessage::new(header, NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)))
    }

    #[test]
    fn echoes_and_other_tables_are_passed_over_and_what_others_do_is_not() {
        let settings = Settings::default();
        let own = settings.table.get();
        assert!(matters(&told(own, 7), &settings, 42));
        assert!(matters(&told(MAIN, 0), &settings, 42));
        assert!(!matters(&told(own, 42), &settings, 42));
        assert!(!matters(&told(1000, 7), &settings, 42));
        assert!(matters(&told(own, 0), &settings, 0), "the kernel itself is the author");
        let overrun = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Overrun(Vec::new()));
        assert!(matters(&overrun, &settings, 42));
    }
}
