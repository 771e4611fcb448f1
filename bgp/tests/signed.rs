//! TCP-MD5 and TCP-AO, between speakers on loopback addresses.

mod ends;

use std::net::SocketAddr;

use bgp::{
    AoAlgorithm, AoKey, Family, Password, PeerConfig, PeerGroup, SessionKey, Speaker, SpeakerConfig,
    SpeakerEvent, StateName,
};
use ends::*;

fn signed(peer: PeerConfig, password: &str) -> PeerConfig {
    PeerConfig { key: Some(SessionKey::Md5(Password::new(password).expect("a password"))), ..peer }
}

fn passive(peer: PeerConfig) -> PeerConfig {
    PeerConfig { passive: true, ..peer }
}

/// Waits until dialling has failed for want of an answer.
async fn unanswered(events: &mut Events) -> String {
    event(events, |event| match event {
        SpeakerEvent::PeerFailed { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_session_comes_up_over_ipv4_and_ipv6_whoever_dials() {
    let longest = "p".repeat(80);
    for (left, right) in [("127.0.0.1", "127.0.0.2"), ("::1", "::1")] {
        let (left, right) = (End::new(64_600, left), End::new(65_001, right));
        for (one_dials, password) in [(true, "secret"), (false, longest.as_str())] {
            let (one, two) = (left.towards("right", &right), right.towards("left", &left));
            let (one, two) = if one_dials { (one, passive(two)) } else { (passive(one), two) };
            let (one, _events) = left.spawn(vec![signed(one, password)], true);
            let (two, _events2) = right.spawn(vec![signed(two, password)], true);
            one.set_routes(routes(&["198.51.100.1/32"]));
            status(&two, "left", |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
            two.shutdown("done").await;
            one.shutdown("done").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_for_both_families_knows_the_keys_of_both() {
    let (us, v4, v6) = (End::new(64_600, "::"), End::new(65_001, "127.0.0.2"), End::new(65_002, "::1"));
    let peers = [("v4", &v4), ("v6", &v6)].map(|(name, end)| {
        let peer = PeerConfig { local_address: None, ..us.towards(name, end) };
        signed(passive(peer), name)
    });
    let (speaker, _events) = us.spawn(peers.into(), true);
    let at = |address: &str| End { address: address.parse().expect("an address"), ..us };
    let (_one, _events4) = v4.spawn(vec![signed(v4.towards("us", &at("127.0.0.1")), "v4")], false);
    let (_two, _events6) = v6.spawn(vec![signed(v6.towards("us", &at("::1")), "v6")], false);
    established(&speaker, "v4").await;
    established(&speaker, "v6").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_password_there_is_no_session_and_a_new_one_resets_that_peer_alone() {
    let us = End::new(64_600, "127.0.0.1");
    let (a, b) = (End::new(65_001, "127.0.0.2"), End::new(65_002, "127.0.0.3"));
    let towards_b = passive(us.towards("b", &b));
    let towards_a = signed(passive(us.towards("a", &a)), "of a");
    let (speaker, _events) = us.spawn(vec![towards_a.clone(), signed(towards_b.clone(), "old")], true);
    let (_a, _events_a) = a.spawn(vec![signed(a.towards("us", &us), "of a")], false);
    let (router_b, mut events_b) = b.spawn(vec![signed(b.towards("us", &us), "old")], false);
    let before = established(&speaker, "a").await;
    established(&speaker, "b").await;

    speaker.set_peers(vec![towards_a.clone(), signed(towards_b.clone(), "new")]);
    assert_eq!(notification(&mut events_b).await, "Cease/Other Configuration Change");
    let reason = unanswered(&mut events_b).await;
    assert!(reason.contains("no answer") && reason.contains("password"), "{reason}");
    router_b.set_peers(vec![b.towards("us", &us)]);
    unanswered(&mut events_b).await;
    assert_ne!(speaker.status().borrow()["b"].state, StateName::Established);
    router_b.set_peers(vec![signed(b.towards("us", &us), "new")]);
    established(&speaker, "b").await;

    let sessions = established(&router_b, "us").await.counters.established;
    speaker.set_peers(vec![towards_a, towards_b]);
    router_b.set_peers(vec![b.towards("us", &us)]);
    let is_new =
        |status: &bgp::PeerStatus| status.session.is_some() && status.counters.established > sessions;
    status(&router_b, "us", is_new).await;
    established(&speaker, "b").await;
    let after = established(&speaker, "a").await;
    assert_eq!((before.since, before.session), (after.since, after.session), "a was left alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_password_holds_for_its_prefix_and_a_peers_own_goes_before() {
    let us = End::new(64_600, "127.0.0.1");
    let (node, own, stranger) =
        (End::new(65_001, "127.0.1.2"), End::new(65_001, "127.0.1.3"), End::new(65_001, "127.0.1.4"));
    let mut group = PeerGroup::new("nodes", "127.0.1.0/24".parse().expect("a prefix"), asn(65_001));
    group.template = signed(group.template, "of all nodes");
    group.template.families = [Family::Ipv4].into();
    let (speaker, _events) = Speaker::spawn(SpeakerConfig {
        listen: vec![SocketAddr::new(us.address, us.port)],
        peers: vec![signed(passive(us.towards("own", &own)), "its own")],
        groups: vec![group],
        ..SpeakerConfig::new(us.asn, "192.0.2.1".parse().expect("an address"))
    });
    let (_stranger, mut events) = stranger.spawn(vec![stranger.towards("us", &us)], false);
    let (_node, _node_events) = node.spawn(vec![signed(node.towards("us", &us), "of all nodes")], false);
    let (_own, _own_events) = own.spawn(vec![signed(own.towards("us", &us), "its own")], false);
    established(&speaker, "nodes/127.0.1.2").await;
    established(&speaker, "own").await;
    unanswered(&mut events).await;
    assert_eq!(speaker.status().borrow().keys().collect::<Vec<_>>(), ["nodes/127.0.1.2", "own"]);
    speaker.set_groups(Vec::new());
    // The kernel has forgotten the group's key too: an unsigned connection is answered, and closed.
    let closed = status(&_stranger, "us", |status| status.counters.connects > 0);
    closed.await;
}

fn ao(peer: PeerConfig, id: u8, algorithm: AoAlgorithm, secret: &str) -> PeerConfig {
    let secret = Password::new(secret).expect("a secret");
    PeerConfig { key: Some(SessionKey::Ao(AoKey { id, algorithm, secret })), ..peer }
}

/// Where the kernel has TCP-AO a session comes up with the same key and with no other; where it has none, the operator reads
/// so, at the end that dials and at the one that listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_tcp_ao_comes_up_or_says_that_the_kernel_has_none() {
    for algorithm in [AoAlgorithm::HmacSha1, AoAlgorithm::AesCmac] {
        let (left, right) = (End::new(64_600, "127.0.0.1"), End::new(65_001, "127.0.0.2"));
        let towards_left = right.towards("left", &left);
        let (one, mut events) =
            left.spawn(vec![ao(passive(left.towards("right", &right)), 7, algorithm, "the same")], true);
        let (two, mut events2) = right.spawn(vec![ao(towards_left.clone(), 7, algorithm, "the same")], false);
        let first = event(&mut events2, |event| match event {
            SpeakerEvent::PeerFailed { reason, .. } => Some(Err(reason)),
            SpeakerEvent::PeerUp { .. } => Some(Ok(())),
            _ => None,
        });
        if let Err(reason) = first.await {
            let says = "TCP-AO cannot be set up: this kernel has no TCP-AO; it takes Linux 6.7 or later";
            assert!(reason.contains(says), "{reason}");
            let listens = event(&mut events, |event| match event {
                SpeakerEvent::ListenFailed { error, .. } => Some(error),
                _ => None,
            });
            let error = listens.await;
            assert!(error.contains(says) && error.contains("with 127.0.0.2/32"), "{error}");
            println!("this kernel has no TCP-AO");
            continue;
        }
        one.set_routes(routes(&["198.51.100.1/32"]));
        let told = status(&two, "left", |status| status.received.get(&Family::Ipv4) == Some(&1)).await;
        assert_eq!(told.marks, ["TCP-AO"]);
        for wrong in [ao(towards_left.clone(), 7, algorithm, "another"), towards_left.clone()] {
            two.set_peers(vec![wrong]);
            unanswered(&mut events2).await;
            assert_ne!(one.status().borrow()["right"].state, StateName::Established);
        }
        two.set_peers(vec![ao(towards_left, 7, algorithm, "the same")]);
        established(&two, "left").await;
        two.shutdown("done").await;
        one.shutdown("done").await;
    }
}
