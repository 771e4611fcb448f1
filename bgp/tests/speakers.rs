//! Speakers against each other, over loopback addresses: who dials, who listens, and what a changed configuration
//! does.

mod ends;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bgp::{Family, PeerConfig, PeerStatus, Speaker, SpeakerConfig, SpeakerEvent};
use ends::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_speakers_that_dial_each_other_end_with_one_session_over_ipv4_and_ipv6() {
    for (left, right) in [("127.0.0.1", "127.0.0.2"), ("::1", "::1")] {
        let (left, right) = (End::new(64_600, left), End::new(65_001, right));
        let (one, _events) = left.spawn(vec![left.towards("right", &right)], true);
        let (two, _events2) = right.spawn(vec![right.towards("left", &left)], true);
        one.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
        let both = |status: &PeerStatus| status.received.values().eq([&1, &1]);
        status(&two, "left", both).await;
        let (seen, other) = (established(&one, "right").await, established(&two, "left").await);
        let (seen, other) = (seen.session.expect("a session"), other.session.expect("a session"));
        assert_eq!((seen.local, seen.remote), (other.remote, other.local), "it is the same connection");
        two.shutdown("done").await;
        one.shutdown("done").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_session_with_gtsm_comes_up_when_both_ends_have_it() {
    let (left, right) = (End::new(64_600, "127.0.0.1"), End::new(64_600, "127.0.0.2"));
    let gtsm = |mut peer: PeerConfig| {
        peer.gtsm = true;
        peer
    };
    let (one, _events) = left.spawn(vec![gtsm(left.towards("right", &right))], false);
    let router_id = Ipv4Addr::new(192, 0, 2, 77);
    let (two, _events2) = Speaker::spawn(SpeakerConfig {
        listen: vec![SocketAddr::new(right.address, right.port)],
        peers: vec![gtsm(right.towards("left", &left))],
        ..SpeakerConfig::new(right.asn, router_id)
    });
    // It only listens: nobody is at the port that it dials.
    one.set_routes(routes(&["198.51.100.1/32"]));
    status(&two, "left", |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_resets_the_peer_that_changed_and_no_other() {
    let us = End::new(64_600, "127.0.0.1");
    let (a, b) = (End::new(65_001, "127.0.0.2"), End::new(65_002, "127.0.0.3"));
    let (speaker, _events) = us.spawn(vec![us.towards("a", &a), us.towards("b", &b)], false);
    let (router_a, mut events_a) = a.spawn(vec![a.towards("us", &us)], true);
    let (router_b, mut events_b) = b.spawn(vec![b.towards("us", &us)], true);
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    for router in [&router_a, &router_b] {
        status(router, "us", |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
    }
    let before = established(&speaker, "a").await;

    let mut changed = us.towards("b", &b);
    changed.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 9));
    speaker.set_peers(vec![us.towards("a", &a), changed.clone()]);
    assert_eq!(notification(&mut events_b).await, "Cease/Other Configuration Change");
    let again = |status: &PeerStatus| status.counters.established == 2 && !status.received.is_empty();
    status(&router_b, "us", again).await;
    let after = established(&speaker, "a").await;
    assert_eq!((before.since, before.session), (after.since, after.session), "a was left alone");

    speaker.set_peers(vec![changed]);
    assert_eq!(notification(&mut events_a).await, "Cease/Peer De-configured");
    let gone = async {
        let mut status = speaker.status();
        status.wait_for(|all| !all.contains_key("a")).await.map(drop)
    };
    assert!(tokio::time::timeout(PATIENCE, gone).await.is_ok(), "a is forgotten");
    established(&speaker, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_peer_with_the_same_name_or_address_is_refused_by_name() {
    let (us, router) = (End::new(64_600, "127.0.0.1"), End::new(65_001, "127.0.0.2"));
    let peers = vec![us.towards("r1", &router), us.towards("r2", &router)];
    let (speaker, mut events) = us.spawn(peers, false);
    let (name, reason) = event(&mut events, |event| match event {
        SpeakerEvent::PeerRefused { peer, reason } => Some((peer, reason)),
        _ => None,
    })
    .await;
    assert_eq!(name, "r2");
    assert!(reason.contains("127.0.0.2") && reason.contains("r1"), "{reason}");
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_listened_on_is_named_and_dialling_goes_on() {
    let (us, router) = (End::new(64_600, "127.0.0.1"), End::new(65_001, "127.0.0.2"));
    let taken = TcpListener::bind((us.address, us.port)).expect("the port is free");
    let (speaker, mut events) = us.spawn(vec![us.towards("r1", &router)], true);
    let address = event(&mut events, |event| match event {
        SpeakerEvent::ListenFailed { address, .. } => Some(address),
        _ => None,
    })
    .await;
    assert_eq!(address, SocketAddr::new(us.address, us.port));
    let (_router, _events) = router.spawn(vec![router.towards("us", &us)], true);
    established(&speaker, "r1").await;
    drop(taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_statuses_are_plain_data() {
    let (us, router) = (End::new(64_600, "127.0.0.1"), End::new(65_001, "127.0.0.2"));
    let (speaker, mut events) = us.spawn(vec![us.towards("r1", &router)], false);
    let (_router, _events) = router.spawn(vec![router.towards("us", &us)], true);
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    let up = event(&mut events, |event| matches!(event, SpeakerEvent::PeerUp { .. }).then_some(event)).await;
    let json = serde_json::to_string(&up).expect("it serializes");
    assert!(json.starts_with(r#"{"event":"peer_up","peer":"r1""#), "{json}");
    assert_eq!(serde_json::from_str::<SpeakerEvent>(&json).expect("it comes back"), up);
    let status = established(&speaker, "r1").await;
    let json = serde_json::to_string(&status).expect("it serializes");
    assert_eq!(serde_json::from_str::<PeerStatus>(&json).expect("it comes back"), status);
}
