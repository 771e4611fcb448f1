//! Roles (RFC 9234) against a real BIRD 2.

mod router;

use std::net::{IpAddr, Ipv4Addr};

use bgp::{
    Asn, LocalRole, PeerConfig, PeerStatus, Prefix, Role, Route, RouteSet, Speaker, SpeakerConfig, StateName,
    policy::{Import, Rule, Verdict},
};
use router::{Bird, PATIENCE, REMOTE_ASN};

fn speaker(bird: &Bird, role: Role, strict: bool) -> Speaker {
    let mut peer =
        PeerConfig::new("r1", IpAddr::from(Ipv4Addr::LOCALHOST), Asn::new(REMOTE_ASN).expect("a private AS"));
    peer.port = bird.port;
    peer.local_address = Some(Ipv4Addr::LOCALHOST.into());
    peer.multihop = Some(2);
    peer.connect_retry = std::time::Duration::from_secs(1);
    peer.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
    peer.next_hop_v6 = "2001:db8::1".parse().ok();
    peer.import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    peer.role = Some(LocalRole { role, strict });
    let config = SpeakerConfig {
        peers: vec![peer],
        ..SpeakerConfig::new(Asn::new(64_600).expect("a private AS"), Ipv4Addr::new(192, 0, 2, 1))
    };
    let speaker = Speaker::spawn(config).0;
    let prefix: Prefix = "198.51.100.1/32".parse().expect("a prefix");
    speaker.set_routes([Route::new(prefix)].into_iter().collect::<RouteSet>());
    speaker
}

async fn shows(speaker: &Speaker, what: &str, is: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    let mut statuses = speaker.status();
    let found = tokio::time::timeout(PATIENCE, statuses.wait_for(|all| all.get("r1").is_some_and(&is))).await;
    match found {
        Ok(Ok(all)) => all["r1"].clone(),
        _ => panic!("{what}: {:?}", speaker.status().borrow().get("r1")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_marks_what_it_tells_us_and_as_its_customers_we_mark_nothing() {
    let bird = Bird::announcing(64_600, "local role provider;", "route 10.67.1.0/26 blackhole;");
    let speaker = speaker(&bird, Role::Customer, true);
    let status = shows(&speaker, "a route", |peer| peer.learned.values().sum::<usize>() == 1).await;
    assert!(status.capabilities_received.contains(&"role provider".to_owned()), "{status:?}");
    let marked = speaker.learned().borrow().iter().next().and_then(|(_, path)| path.route.only_to_customer);
    assert_eq!(marked, Some(REMOTE_ASN));
    bird.wait_for_route("198.51.100.1/32", &["BGP.as_path: 64600"]);
    let answer = bird.ask("show route all for 198.51.100.1/32");
    assert!(!answer.to_lowercase().contains("otc"), "{answer}");
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_and_a_peer_of_ours_see_that_a_route_is_for_customers_only() {
    for (ours, theirs) in [(Role::Provider, "customer"), (Role::Peer, "peer"), (Role::Rs, "rs_client")] {
        let bird = Bird::start(64_600, &format!("local role {theirs}; require roles on;"));
        let speaker = speaker(&bird, ours, true);
        bird.wait_for_route("198.51.100.1/32", &["BGP.otc: 64600"]);
        speaker.shutdown("done").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_customers_of_each_other_are_told_apart_with_both_roles() {
    let bird = Bird::start(64_600, "local role customer;");
    let speaker = speaker(&bird, Role::Customer, false);
    let status = shows(&speaker, "a mismatch", |peer| {
        peer.last_error.as_ref().is_some_and(|error| error.contains("Role Mismatch"))
    })
    .await;
    assert_ne!(status.state, StateName::Established);
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_without_a_role_is_taken_unless_we_insist() {
    let bird = Bird::start(64_600, "");
    let lenient = speaker(&bird, Role::Customer, false);
    shows(&lenient, "a session", |peer| peer.state == StateName::Established).await;
    lenient.shutdown("done").await;
    let strict = speaker(&bird, Role::Customer, true);
    let status = shows(&strict, "a refusal", |peer| {
        peer.last_error.as_ref().is_some_and(|error| error.contains("says that it has no role"))
    })
    .await;
    let said = status.last_error.unwrap_or_default();
    assert!(said.contains("as we are configured as customer, it has to be provider"), "{said}");
    strict.shutdown("done").await;
}
