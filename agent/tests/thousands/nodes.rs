//! What a sign of life of one of many nodes costs: each changes its session's counts, and nothing that the core knows.

use crate::counted;
use bgp::rib::{LocRib, Received, Source};
use bgp::speaker::{PeerStatus, Statuses};
use bgp::wire::PathId;
use bgp::{Asn, HoldTime, PeerConfig, Prefix, Speaker, SpeakerConfig};
use lvsd::core::Event;
use lvsd::core::nodes::sessions;
use lvsd::engine::{Inbox, Input};
use lvsd::exec::nodes;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longer than what is gathered before it is told.
const PAUSE: Duration = Duration::from_millis(250);

const SIGNS: u64 = 40;

/// Bytes that are not worth counting.
const NOTHING: u64 = 256;

fn address(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a03_0400 + node)
}

fn name(node: u32) -> String {
    format!("{}n{node}", sessions::PREFIX)
}

/// A session's status, as a speaker shows it.
async fn status() -> PeerStatus {
    let asn = Asn::new(64_512).unwrap();
    let mut peer = PeerConfig::new("n", address(0).into(), asn);
    peer.passive = true;
    peer.hold_time = HoldTime::from_secs(90).unwrap();
    let config = SpeakerConfig { peers: vec![peer], ..SpeakerConfig::new(asn, address(1)) };
    let (speaker, _events) = Speaker::spawn(config);
    let mut statuses = speaker.status();
    let shown = statuses.wait_for(|statuses| !statuses.is_empty()).await.unwrap().clone();
    shown.into_values().next().unwrap()
}

/// A table with a route of each node.
fn table(count: u32) -> LocRib {
    let mut table = LocRib::default();
    for node in 0..count {
        let source = Source {
            peer: name(node),
            address: address(node).into(),
            router_id: address(node),
            internal: false,
        };
        let block = Ipv4Addr::from_bits(0x0a44_0000 + (node << 6));
        let key = (Prefix::new(block.into(), 26).unwrap(), PathId::default());
        let route = Received { next_hop: address(node).into(), ..Received::default() };
        table.apply(&Arc::new(source), vec![(key, Some(Arc::new(route)))]);
    }
    table
}

/// Bytes that are allocated for each sign of life of one of so many nodes.
async fn cost_among(count: u32) -> u64 {
    let status = status().await;
    let all: Statuses = (0..count).map(|node| (name(node), status.clone())).collect();
    let (statuses, statuses_rx) = watch::channel(all);
    let (_table, table_rx) = watch::channel(table(count));
    let (inbox, mut events) = Inbox::new();
    let task = nodes::spawn(table_rx, statuses_rx, inbox);
    let first = events.recv().await.unwrap();
    let Input::Event(Event::NodesSeen(seen)) = first else { panic!("something else is told first") };
    assert_eq!((seen.sessions.len(), seen.routes.len()), (count as usize, count as usize));
    tokio::time::sleep(PAUSE).await;
    let before = counted::allocated();
    for _ in 0..SIGNS {
        statuses.send_modify(|statuses| statuses.get_mut(&name(3)).unwrap().counters.messages_in += 1);
        tokio::time::sleep(PAUSE).await;
    }
    let cost = (counted::allocated() - before) / SIGNS;
    assert!(events.try_recv().is_err(), "nothing that the core knows has changed");
    task.abort();
    cost
}

#[test]
fn a_sign_of_life_costs_no_more_among_a_thousand_nodes_than_among_ten() {
    let _alone = counted::alone();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let [few, many] = [10, 1_000].map(|count| runtime.block_on(cost_among(count)));
    println!("bytes for a sign of life: {few} among ten nodes, {many} among a thousand");
    assert!(many <= 2 * few.max(NOTHING), "{few} bytes among ten nodes, {many} among a thousand");
}
