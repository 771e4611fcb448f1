//! Neighbours that are not known one by one, and what is waited for instead of dialled.

mod ends;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use bgp::{
    AsnSet, Family, PeerConfig, PeerGroup, Speaker, SpeakerConfig, StateName,
    policy::{Import, Rule, Verdict},
    speaker::Refusal,
};
use ends::*;

/// A group of the whole of 127.0.0.0/8 that forgets at once.
fn nodes() -> PeerGroup {
    let prefix = "127.0.0.0/8".parse().expect("a prefix");
    let asns: AsnSet = [asn(65_000)..=asn(65_010)].into_iter().collect();
    let mut nodes = PeerGroup { asns, ..PeerGroup::new("nodes", prefix, asn(65_000)) };
    nodes.linger = Duration::from_millis(300);
    nodes.template.next_hop_v6 = "2001:db8::1".parse().ok();
    nodes
}

fn listening(end: &End, peers: Vec<PeerConfig>, groups: Vec<PeerGroup>) -> (Speaker, Events) {
    let listen = vec![SocketAddr::new(end.address, end.port)];
    let router_id = Ipv4Addr::new(192, 0, 2, 1);
    Speaker::spawn(SpeakerConfig { listen, peers, groups, ..SpeakerConfig::new(end.asn, router_id) })
}

async fn gone(speaker: &Speaker, peer: &str) {
    let mut status = speaker.status();
    let gone = status.wait_for(|all| !all.contains_key(peer));
    assert!(tokio::time::timeout(PATIENCE, gone).await.is_ok_and(|gone| gone.is_ok()), "{peer} is forgotten");
}

async fn refused(speaker: &Speaker, reason: Refusal, count: u64) {
    let mut refused = speaker.refused();
    let counted = refused.wait_for(|all| all[&reason] >= count);
    let counted = tokio::time::timeout(PATIENCE, counted).await.is_ok_and(|counted| counted.is_ok());
    assert!(counted, "{:?}", speaker.refused().borrow());
}

/// Connects and waits until the other end closes without a word.
async fn closed_without_a_word(end: &End, from: &str) {
    let (address, from) = (SocketAddr::new(end.address, end.port), from.to_owned());
    let said = tokio::task::spawn_blocking(move || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from.parse().expect("an address"), 0).into())?;
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = Vec::new();
        match std::io::Read::read_to_end(&mut stream, &mut said) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error),
            Ok(_) | Err(_) => Ok(said),
        }
    });
    assert_eq!(said.await.expect("it ends").expect("a connection"), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dials_from_the_prefix_gets_a_session_of_its_own_and_is_forgotten_after_it() {
    let us = End::new(64_600, "127.0.0.1");
    let (a, b) = (End::new(65_001, "127.0.0.2"), End::new(65_002, "127.0.0.3"));
    let mut group = nodes();
    group.template.import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    group.template.graceful_restart = false;
    let (speaker, _events) = listening(&us, Vec::new(), vec![group]);
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    let (node_a, _events_a) = a.spawn(vec![a.towards("us", &us)], false);
    let (node_b, _events_b) = b.spawn(vec![b.towards("us", &us)], false);
    node_a.set_routes(routes(&["10.67.1.0/26"]));
    for node in [&node_a, &node_b] {
        status(node, "us", |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
    }
    status(&speaker, "nodes/127.0.0.2", |status| status.learned.get(&Family::Ipv4) == Some(&1)).await;
    let before = established(&speaker, "nodes/127.0.0.3").await;
    node_a.shutdown("done").await;
    gone(&speaker, "nodes/127.0.0.2").await;
    let mut learned = speaker.learned();
    let empty = tokio::time::timeout(PATIENCE, learned.wait_for(|table| table.is_empty())).await;
    assert!(empty.is_ok_and(|table| table.is_ok()), "what it told is gone with it");
    let after = established(&speaker, "nodes/127.0.0.3").await;
    assert_eq!(before.since, after.since, "the other one stays");
    let (_again, _events) = a.spawn(vec![a.towards("us", &us)], false);
    established(&speaker, "nodes/127.0.0.2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_and_one_too_many_are_refused_and_counted() {
    let us = End::new(64_600, "127.0.0.1");
    let mut group = PeerGroup { limit: 1, ..nodes() };
    group.prefixes = vec!["127.0.1.0/24".parse().expect("a prefix")];
    let (speaker, _events) = listening(&us, Vec::new(), vec![group]);
    let first = End::new(65_001, "127.0.1.1");
    let (_node, _node_events) = first.spawn(vec![first.towards("us", &us)], false);
    established(&speaker, "nodes/127.0.1.1").await;
    closed_without_a_word(&us, "127.0.1.2").await;
    refused(&speaker, Refusal::GroupFull, 1).await;
    closed_without_a_word(&us, "127.0.0.9").await;
    refused(&speaker, Refusal::UnknownAddress, 1).await;
    assert_eq!(speaker.status().borrow().len(), 1);
    established(&speaker, "nodes/127.0.1.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_in_an_as_that_the_group_does_not_have_is_told_so() {
    let us = End::new(64_600, "127.0.0.1");
    let (speaker, _events) = listening(&us, Vec::new(), vec![nodes()]);
    let outsider = End::new(65_011, "127.0.0.2");
    let (_node, mut node_events) = outsider.spawn(vec![outsider.towards("us", &us)], false);
    assert_eq!(notification(&mut node_events).await, "OPEN Message Error/Bad Peer AS");
    let mut group = nodes();
    group.asns = [asn(65_011)..=asn(65_011)].into_iter().collect();
    speaker.set_groups(vec![group]);
    established(&speaker, "nodes/127.0.0.2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_group_resets_its_neighbours_and_one_that_is_gone_sends_them_away() {
    let us = End::new(64_600, "127.0.0.1");
    let (node, router) = (End::new(65_001, "127.0.0.2"), End::new(65_020, "127.0.0.3"));
    let passive = PeerConfig { passive: true, ..us.towards("router", &router) };
    let (speaker, _events) = listening(&us, vec![passive.clone()], vec![nodes()]);
    let waiting = status(&speaker, "router", |status| status.state == StateName::Active).await;
    assert_eq!((waiting.last_error, waiting.counters.connects), (None, 0), "nobody is dialled");
    let (_router, _router_events) = router.spawn(vec![router.towards("us", &us)], true);
    let (_node, mut node_events) = node.spawn(vec![node.towards("us", &us)], true);
    let before = established(&speaker, "router").await;
    established(&speaker, "nodes/127.0.0.2").await;

    let mut changed = nodes();
    changed.template.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 9));
    speaker.set_groups(vec![changed]);
    assert_eq!(notification(&mut node_events).await, "Cease/Other Configuration Change");
    status(&speaker, "nodes/127.0.0.2", |status| status.session.is_some()).await;
    speaker.set_groups(Vec::new());
    assert_eq!(notification(&mut node_events).await, "Cease/Peer De-configured");
    gone(&speaker, "nodes/127.0.0.2").await;
    let after = established(&speaker, "router").await;
    assert_eq!((before.since, before.session), (after.since, after.session), "the peer was left alone");
}
