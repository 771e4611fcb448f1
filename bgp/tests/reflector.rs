//! A route reflector and its clients, over loopback addresses: what the sessions do with what `rib::reflect` decides.

mod ends;

use std::{collections::BTreeSet, net::Ipv4Addr};

use bgp::{
    PeerConfig, Prefix, Speaker, SpeakerConfig,
    policy::{ExportFilter, Import, Rule, Verdict},
    rib::{Complete, Permits, Way},
};
use ends::{End, Events, PATIENCE, established, routes, status};

const ASN: u32 = 64_600;

/// What a speaker takes: all of it.
fn taking(mut peer: PeerConfig) -> PeerConfig {
    peer.import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    peer.families = [bgp::Family::Ipv4].into();
    peer
}

fn spawn(end: &End, last: u8, peers: Vec<PeerConfig>) -> (Speaker, Events) {
    let listen = vec![std::net::SocketAddr::new(end.address, end.port)];
    Speaker::spawn(SpeakerConfig { listen, peers, ..SpeakerConfig::new(end.asn, id(last)) })
}

fn id(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, last)
}

/// A node that announces a block from its own address.
fn node(end: &End, last: u8, reflector: &End, block: &str) -> (Speaker, Events) {
    let mut peer = taking(end.towards("reflector", reflector));
    peer.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, last));
    let node = spawn(end, last, vec![peer]);
    node.0.set_routes(routes(&[block]));
    node
}

/// The ways, each `(prefix, peer, last part of the next hop)`.
fn permits(ways: &[(&str, &str, u8)], complete: Complete) -> Permits {
    let mut permits = Permits { complete, ..Permits::default() };
    for (prefix, peer, hop) in ways {
        let way = Way { peer: (*peer).to_owned(), next_hop: Ipv4Addr::new(192, 0, 2, *hop).into() };
        permits.ways.entry(prefix.parse().expect("a prefix")).or_default().insert(way);
    }
    permits
}

/// Waits until a speaker has learned exactly these prefixes.
async fn learns(speaker: &Speaker, prefixes: &[&str]) {
    let prefixes: BTreeSet<Prefix> = prefixes.iter().map(|text| text.parse().expect("a prefix")).collect();
    let mut learned = speaker.learned();
    let found = learned.wait_for(|table| table.iter().map(|(prefix, _)| prefix).eq(prefixes.iter().copied()));
    let found = tokio::time::timeout(PATIENCE, found).await.map(drop);
    assert!(found.is_ok(), "not {prefixes:?} but {:?}", speaker.learned().borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_hear_what_is_permitted_of_one_another_and_the_end_of_it_when_it_is_all() {
    let [us, a, b] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|address| End::new(ASN, address));
    let client = |name, end| {
        let export = ExportFilter::Only(Vec::new());
        PeerConfig { cluster_id: Some(id(100)), export, ..taking(us.towards(name, end)) }
    };
    let (reflector, _events) = spawn(&us, 1, vec![client("a", &a), client("b", &b)]);
    reflector.set_routes(routes(&["198.51.100.1/32"]));
    let (block_a, block_b) = ("10.67.2.0/26", "10.67.3.0/26");
    let (node_a, _events_a) = node(&a, 2, &us, block_a);
    let (node_b, _events_b) = node(&b, 3, &us, block_b);
    learns(&reflector, &[block_a, block_b]).await;
    reflector.set_permits(permits(&[(block_a, "a", 2), (block_b, "b", 9)], Complete::No));
    learns(&node_b, &[block_a]).await;
    assert_eq!(node_a.learned().borrow().len(), 0, "b's block has another next hop than what is permitted");
    let path = node_b.learned().borrow().best(block_a.parse().expect("a prefix")).cloned().expect("a path");
    assert_eq!(path.route.next_hop, Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!((path.route.originator_id, &path.route.cluster_list), (Some(id(2)), &vec![id(100)]));
    assert!(established(&node_b, "reflector").await.told.is_empty(), "it is not all yet");

    reflector.set_permits(permits(&[(block_a, "a", 2), (block_b, "b", 3)], Complete::ToAll));
    learns(&node_a, &[block_b]).await;
    for node in [&node_a, &node_b] {
        status(node, "reflector", |status| !status.told.is_empty()).await;
    }
    let told = reflector.asker().told("a").await.expect("the peer is there");
    let of_b = told.iter().find(|route| route.prefix.to_string() == block_b).expect("it is told");
    assert_eq!((of_b.of.as_deref(), &of_b.reason), (Some("b"), &None));

    // A node that is gone without a goodbye: its routes stay for its restart time. One that withdraws is obeyed at once.
    node_b.set_routes(routes(&[]));
    learns(&node_a, &[]).await;
    drop(node_a);
    status(&reflector, "a", |status| status.stale == 1).await;
    assert_eq!(node_b.learned().borrow().len(), 1, "what a told is kept with b");
    reflector.shutdown("done").await;
    learns(&node_b, &[]).await;
}
