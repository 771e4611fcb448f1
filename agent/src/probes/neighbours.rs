//! Who answers for an address on a link (ARP, ND), seen from the probe namespace, which does not have it itself.
//!
//! Of several hosts that answer a question to all, the neighbour table shows one. So whoever is suspected is asked by
//! itself: an entry with its link-layer address that is to be confirmed (NUD_PROBE) makes the kernel ask there and
//! nowhere else (net/core/neighbour.c, arp_solicit, ndisc_solicit), and only an answer makes it reachable.

use super::Server;
use super::way::way;
use super::wire::Suspicion;
use crate::config::Segment;
use futures_util::TryStreamExt;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::Handle;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest that one question is waited for: three times are asked, 250 ms apart.
const QUESTION: Duration = Duration::from_secs(2);

/// The longest that all of it may take: a hundred servers that are all silent, where somebody else answers.
const ALL: Duration = Duration::from_secs(120);

/// Between two looks at the neighbour table.
const LOOK: Duration = Duration::from_millis(25);

/// An interface and an address: what the neighbour table is kept by.
type Key = (u32, IpAddr);

type Outcome<T> = Result<T, rtnetlink::Error>;

/// Which of the suspected servers answer, with their link-layer addresses, and how many were not asked for want of time
/// or of a way.
///
/// # Errors
/// When the kernel refuses.
pub(super) async fn who_answers(
    rtnetlink: &Handle,
    segments: &[Segment],
    suspicions: &[Suspicion],
) -> Outcome<(Vec<(Suspicion, String)>, usize)> {
    let end = Instant::now() + ALL;
    let asker = Asker { rtnetlink, interfaces: interfaces(rtnetlink).await? };
    let placed: Vec<(Suspicion, u32)> = suspicions
        .iter()
        .filter_map(|suspicion| Some((*suspicion, asker.place(suspicion, segments)?)))
        .collect();
    let mut unasked = suspicions.len() - placed.len();
    let servers: BTreeSet<Key> = placed.iter().map(|(suspicion, index)| (*index, suspicion.server)).collect();
    let vips: BTreeSet<Key> = placed.iter().map(|(suspicion, index)| (*index, suspicion.vip)).collect();
    let macs = asker.resolve(&servers).await?;
    asker.forget(&vips).await;
    let answered = asker.resolve(&vips).await?;
    let mut found = Vec::new();
    let mut left: Vec<(Suspicion, u32)> = placed;
    // Where nobody answers a question to all, each is silent.
    left.retain(|(suspicion, index)| answered.contains_key(&(*index, suspicion.vip)));
    while !left.is_empty() && Instant::now() < end {
        // One server for each VIP at a time.
        let mut asked: BTreeMap<Key, (Suspicion, Vec<u8>)> = BTreeMap::new();
        left.retain(|(suspicion, index)| {
            let Some(mac) = macs.get(&(*index, suspicion.server)) else {
                unasked += 1;
                return false;
            };
            let key = (*index, suspicion.vip);
            let is_later = asked.contains_key(&key);
            asked.entry(key).or_insert_with(|| (*suspicion, mac.clone()));
            is_later
        });
        found.extend(asker.confirm(asked).await?);
    }
    asker.forget(&vips).await;
    Ok((found, unasked + left.len()))
}

struct Asker<'h> {
    rtnetlink: &'h Handle,
    /// Indices by name.
    interfaces: BTreeMap<String, u32>,
}

impl Asker<'_> {
    /// The interface on whose link a server is.
    fn place(&self, suspicion: &Suspicion, segments: &[Segment]) -> Option<u32> {
        let server = Server { address: suspicion.server, encapsulation: None };
        let way = way(&server, segments).ok()?;
        self.interfaces.get(&way.segment.interface).copied()
    }

    /// The link-layer addresses of those who answer a question to all.
    async fn resolve(&self, keys: &BTreeSet<Key>) -> Outcome<BTreeMap<Key, Vec<u8>>> {
        for (index, address) in keys {
            let mut request = self.rtnetlink.neighbours().add(*index, *address).replace();
            let message = request.message_mut();
            message.header.state = NeighbourState::None;
            message.header.flags = NeighbourFlags::Use;
            request.execute().await?;
        }
        let entries = self.settled(keys).await?;
        let mac = |(key, (state, mac)): (Key, (NeighbourState, Vec<u8>))| {
            (state != NeighbourState::Failed && !mac.is_empty()).then_some((key, mac))
        };
        Ok(entries.into_iter().filter_map(mac).collect())
    }

    /// Asks each server for its address, and gives those that answered.
    async fn confirm(&self, asked: BTreeMap<Key, (Suspicion, Vec<u8>)>) -> Outcome<Vec<(Suspicion, String)>> {
        for ((index, vip), (_, mac)) in &asked {
            let request = self.rtnetlink.neighbours().add(*index, *vip).replace();
            request.link_layer_address(mac).state(NeighbourState::Probe).execute().await?;
        }
        let keys: BTreeSet<Key> = asked.keys().copied().collect();
        let entries = self.settled(&keys).await?;
        let answered = |(key, (suspicion, mac)): (Key, (Suspicion, Vec<u8>))| {
            let (state, found) = entries.get(&key)?;
            (*state == NeighbourState::Reachable && *found == mac).then(|| (suspicion, words(&mac)))
        };
        Ok(asked.into_iter().filter_map(answered).collect())
    }

    /// The entries, once none of them is being asked for any more.
    async fn settled(&self, keys: &BTreeSet<Key>) -> Outcome<BTreeMap<Key, (NeighbourState, Vec<u8>)>> {
        let end = Instant::now() + QUESTION;
        loop {
            let mut entries = BTreeMap::new();
            let mut messages = self.rtnetlink.neighbours().get().execute();
            while let Some(message) = messages.try_next().await? {
                let key = address_of(&message).map(|address| (message.header.ifindex, address));
                if let Some(key) = key.filter(|key| keys.contains(key)) {
                    entries.insert(key, (message.header.state, mac_of(&message)));
                }
            }
            let is_asked = |(state, _): &(NeighbourState, Vec<u8>)| {
                matches!(state, NeighbourState::Incomplete | NeighbourState::Probe | NeighbourState::Delay)
            };
            if !entries.values().any(is_asked) || Instant::now() >= end {
                return Ok(entries);
            }
            sleep(LOOK).await;
        }
    }

    /// Removes entries; those that are not there are no matter.
    async fn forget(&self, keys: &BTreeSet<Key>) {
        for (index, address) in keys {
            let mut message = NeighbourMessage::default();
            message.header.ifindex = *index;
            message.header.family = match address {
                IpAddr::V4(_) => netlink_packet_route::AddressFamily::Inet,
                IpAddr::V6(_) => netlink_packet_route::AddressFamily::Inet6,
            };
            let address = match address {
                IpAddr::V4(v4) => NeighbourAddress::Inet(*v4),
                IpAddr::V6(v6) => NeighbourAddress::Inet6(*v6),
            };
            message.attributes.push(NeighbourAttribute::Destination(address));
            drop(self.rtnetlink.neighbours().del(message).execute().await);
        }
    }
}

async fn interfaces(rtnetlink: &Handle) -> Outcome<BTreeMap<String, u32>> {
    let mut interfaces = BTreeMap::new();
    let mut links = rtnetlink.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let name = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        interfaces.extend(name.map(|name| (name, link.header.index)));
    }
    Ok(interfaces)
}

fn address_of(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

fn mac_of(message: &NeighbourMessage) -> Vec<u8> {
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(mac) => Some(mac.clone()),
        _ => None,
    });
    mac.unwrap_or_default()
}

/// `02:42:0a:40:00:0b`.
fn words(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
