//! Against a real BIRD 2, as a plain process on loopback addresses.
//!
//! BIRD needs `multihop`, since a loopback neighbour is on no interface of its own; so the routes' next hops are
//! not reachable for it and it never touches the kernel's table.

mod router;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bgp::{
    Asn, Community, Family, HoldTime, LargeCommunity, Password, PeerConfig, PeerStatus, Prefix,
    RouteAttributes, RouteSet, SessionKey, Speaker, SpeakerConfig, SpeakerEvent, StateName,
    policy::{ExportFilter, ExportRule, Import, Overrides, PrefixRange, Rule, Verdict},
};
use router::{Bird, PATIENCE, REMOTE_ASN};
use tokio::sync::mpsc;

fn config(asn: u32, bird: &Bird) -> SpeakerConfig {
    let mut peer =
        PeerConfig::new("r1", IpAddr::from(Ipv4Addr::LOCALHOST), Asn::new(REMOTE_ASN).expect("a private AS"));
    peer.port = bird.port;
    peer.local_address = Some(Ipv4Addr::LOCALHOST.into());
    peer.multihop = Some(2);
    peer.connect_retry = Duration::from_secs(1);
    peer.hold_time = HoldTime::from_secs(30).expect("a legal time");
    peer.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
    peer.next_hop_v6 = "2001:db8::1".parse().ok();
    SpeakerConfig {
        peers: vec![peer],
        ..SpeakerConfig::new(Asn::new(asn).expect("a private AS"), Ipv4Addr::new(192, 0, 2, 1))
    }
}

fn routes(prefixes: &[&str]) -> RouteSet {
    let attributes = RouteAttributes {
        med: Some(100),
        prepend: 1,
        communities: vec![Community::new(64_600, 7)],
        large_communities: vec![LargeCommunity { global: 4_200_000_001, local1: 1, local2: 2 }],
        ..RouteAttributes::default()
    };
    prefixes.iter().map(|prefix| (prefix.parse::<Prefix>().expect("a prefix"), attributes.clone())).collect()
}

async fn established(speaker: &Speaker) {
    let mut status = speaker.status();
    let up =
        status.wait_for(|status| status.get("r1").is_some_and(|peer| peer.state == StateName::Established));
    let outcome = tokio::time::timeout(PATIENCE, up).await.map(drop);
    assert!(outcome.is_ok(), "not established: {:?}", speaker.status().borrow().get("r1"));
}

/// Waits until the status is as wanted: what is written is shown there a moment later.
async fn shown(speaker: &Speaker, what: &str, is_so: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
    let mut statuses = speaker.status();
    let found = statuses.wait_for(|all| all.get("r1").is_some_and(&is_so));
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(all)) => all["r1"].clone(),
        _ => panic!("{what}: {:?}", speaker.status().borrow().get("r1")),
    }
}

/// Waits for an event that `pick` takes, dropping others.
async fn event<T>(events: &mut mpsc::Receiver<SpeakerEvent>, pick: impl Fn(SpeakerEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the speaker lives");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
}

async fn sent(events: &mut mpsc::Receiver<SpeakerEvent>) -> (usize, usize, Duration) {
    event(events, |event| match event {
        SpeakerEvent::RoutesSent { announced, withdrawn, elapsed, .. } => {
            Some((announced, withdrawn, elapsed))
        }
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_families_reach_bird_over_one_session_whatever_the_size_of_our_asn() {
    for asn in [4_200_000_001_u32, 64_600] {
        let bird = Bird::start(asn, "");
        let (speaker, mut events) = Speaker::spawn(config(asn, &bird));
        speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8:1::1/128"]));
        assert_eq!(sent(&mut events).await.0, 2);
        let path = format!("BGP.as_path: {asn} {asn}");
        let common = [
            &path[..],
            "BGP.med: 100",
            "BGP.community: (64600,7)",
            "BGP.large_community: (4200000001, 1, 2)",
        ];
        bird.wait_for_route("198.51.100.1/32", &[&common[..], &["BGP.next_hop: 192.0.2.1"]].concat());
        bird.wait_for_route("2001:db8:1::1/128", &[&common[..], &["BGP.next_hop: 2001:db8::1"]].concat());

        let status = shown(&speaker, "in sync", |peer| peer.in_sync).await;
        let session = status.session.expect("a session");
        assert!(session.four_octet_asn && session.graceful_restart);
        assert_eq!(session.families, Family::ALL.into());
        assert_eq!(session.hold_time.as_secs(), 30);
        assert_eq!(session.remote_router_id, Ipv4Addr::new(192, 0, 2, 254));
        assert_eq!(status.announced, [(Family::Ipv4, 1), (Family::Ipv6, 1)].into());
        speaker.shutdown("done").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_route_disappears_and_the_others_stay() {
    let bird = Bird::start(64_600, "");
    let (speaker, mut events) = Speaker::spawn(config(64_600, &bird));
    speaker.set_routes(routes(&[
        "198.51.100.1/32",
        "198.51.100.2/32",
        "2001:db8:1::1/128",
        "2001:db8:1::2/128",
    ]));
    sent(&mut events).await;
    for prefix in ["198.51.100.2/32", "2001:db8:1::2/128"] {
        bird.wait_until("the route arrives", || bird.has_route(prefix));
    }
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8:1::1/128"]));
    let (announced, withdrawn, elapsed) = sent(&mut events).await;
    assert_eq!((announced, withdrawn), (0, 2));
    println!("withdrawn: written {elapsed:?} after set_routes");
    for prefix in ["198.51.100.2/32", "2001:db8:1::2/128"] {
        bird.wait_until("the route goes", || !bird.has_route(prefix));
    }
    for prefix in ["198.51.100.1/32", "2001:db8:1::1/128"] {
        assert!(bird.has_route(prefix), "{prefix} stays");
    }
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bird_is_told_its_own_attributes_and_only_what_its_rules_let_through_and_is_asked_before_a_drain() {
    let bird = Bird::start(64_600, "");
    let mut config = config(64_600, &bird);
    let kept_back = ExportRule { communities: vec![Community::new(64_600, 9)], ..ExportRule::default() };
    let host = "198.51.100.0/24 ge 32".parse().expect("a range");
    let told = ExportRule { prefixes: vec![host], accept: true, ..ExportRule::default() };
    config.peers[0].export = ExportFilter::Rules(vec![kept_back, told]);
    config.peers[0].overrides = Overrides { med: Some(0), prepend: Some(2) };
    let (speaker, mut events) = Speaker::spawn(config);
    let mut set = routes(&["198.51.100.1/32", "203.0.113.1/32"]);
    let tagged =
        RouteAttributes { communities: vec![Community::new(64_600, 9)], ..RouteAttributes::default() };
    set.insert("198.51.100.2/32".parse().expect("a prefix"), tagged);
    speaker.set_routes(set);
    assert_eq!(sent(&mut events).await.0, 1);
    bird.wait_for_route("198.51.100.1/32", &["BGP.med: 0", "BGP.as_path: 64600 64600 64600", "(64600,7)"]);
    for prefix in ["198.51.100.2/32", "203.0.113.1/32"] {
        assert!(!bird.has_route(prefix), "{prefix} is not for this router");
    }
    let asked = speaker.asker().told("r1").await.expect("the peer is there");
    let why = |prefix: &str| {
        let route = asked.iter().find(|route| route.prefix.to_string() == prefix).expect("it is wanted");
        (route.attributes.as_ref().and_then(|told| told.med), route.reason.clone().unwrap_or_default())
    };
    assert_eq!(why("198.51.100.1/32"), (Some(0), String::new()));
    assert_eq!(why("203.0.113.1/32"), (None, "this peer's export rules do not let it through".into()));

    speaker.set_draining(true);
    bird.wait_for_route("198.51.100.1/32", &["(65535,0)", "(64600,7)"]);
    let refreshes =
        |status: &PeerStatus| status.capabilities_received.iter().any(|one| one == "route refresh");
    let status = shown(&speaker, "a session that refreshes", refreshes).await;
    assert_eq!((status.counters.sent.open, status.counters.received.open), (1, 1));
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_withdraws_and_tells_bird_why() {
    let bird = Bird::start(64_600, "");
    let (speaker, mut events) = Speaker::spawn(config(64_600, &bird));
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    sent(&mut events).await;
    bird.wait_until("the route arrives", || bird.has_route("198.51.100.1/32"));
    speaker.shutdown("rack 4 moves, ticket 17").await;
    let (announced, withdrawn, _) = sent(&mut events).await;
    assert_eq!((announced, withdrawn), (0, 1));
    bird.wait_until("the text is logged", || {
        let log = bird.log();
        log.contains("Administrative shutdown") && log.contains("rack 4 moves, ticket 17")
    });
    assert!(!bird.has_route("198.51.100.1/32"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speaker_that_vanishes_leaves_stale_routes_and_coming_back_refreshes_them_with_none_lost() {
    let bird = Bird::start(64_600, "graceful restart on;");
    let (all, kept) = (
        ["198.51.100.1/32", "198.51.100.2/32", "2001:db8:1::1/128"],
        ["198.51.100.1/32", "2001:db8:1::1/128"],
    );
    let (speaker, mut events) = Speaker::spawn(config(64_600, &bird));
    speaker.set_routes(routes(&all));
    sent(&mut events).await;
    for prefix in all {
        bird.wait_until("the route arrives", || bird.has_route(prefix));
    }
    drop(speaker);
    bird.wait_until("BIRD sees the loss as a restart", || {
        bird.log().contains("Neighbor graceful restart detected")
    });
    for prefix in all {
        assert!(bird.has_route(prefix), "{prefix} is kept");
    }

    let (speaker, mut events) = Speaker::spawn(SpeakerConfig { restarting: true, ..config(64_600, &bird) });
    established(&speaker).await;
    // We do not know yet what to announce: nothing may be taken from the router until we do.
    for prefix in all {
        assert!(bird.has_route(prefix), "{prefix} is kept while we find out");
    }
    speaker.set_routes(routes(&kept));
    sent(&mut events).await;
    bird.wait_until("the restart is done", || bird.log().contains("Neighbor graceful restart done"));
    bird.wait_until("what was not announced again goes", || !bird.has_route("198.51.100.2/32"));
    for prefix in kept {
        assert!(bird.has_route(prefix), "{prefix} was refreshed");
    }
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bird_names_the_fault_when_our_as_is_not_the_one_it_expects() {
    let bird = Bird::start(64_601, "");
    let (speaker, mut events) = Speaker::spawn(config(64_600, &bird));
    let said = event(&mut events, |event| match event {
        SpeakerEvent::NotificationReceived { notification, .. } => Some(notification),
        _ => None,
    })
    .await;
    assert!(said.contains("Bad Peer AS"), "{said}");
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_routes_arrive_and_go() {
    const ROUTES: u32 = 50_000;
    let bird = Bird::start(64_600, "");
    let (speaker, mut events) = Speaker::spawn(config(64_600, &bird));
    established(&speaker).await;
    let prefix = |n: u32| Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into());
    speaker.set_routes((0..ROUTES).map(|n| (prefix(n), RouteAttributes::default())).collect());
    let (announced, _, elapsed) = sent(&mut events).await;
    assert_eq!(announced, ROUTES as usize);
    println!("{ROUTES} routes written {elapsed:?} after set_routes");
    let count = || {
        bird.ask("show route count").contains(&format!("{ROUTES} of {ROUTES} routes for {ROUTES} networks"))
    };
    bird.wait_until("all routes are there", count);
    speaker.set_routes(RouteSet::new());
    let (_, withdrawn, elapsed) = sent(&mut events).await;
    assert_eq!(withdrawn, ROUTES as usize);
    println!("{ROUTES} withdrawals written {elapsed:?} after set_routes");
    bird.wait_until("all routes are gone", || {
        bird.ask("show route count").contains("0 of 0 routes for 0 networks")
    });
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bird_announces_is_taken_by_rule_and_kept_while_bird_is_dead() {
    let statics = "route 10.67.1.0/26 blackhole; route 10.67.2.0/26 blackhole; route 0.0.0.0/0 blackhole;";
    let mut bird = Bird::announcing(64_600, "graceful restart on;", statics);
    let mut config = config(64_600, &bird);
    let blocks = PrefixRange::new("10.67.0.0/16".parse().expect("a prefix"), 26, 32).expect("lengths");
    let rule = Rule { prefixes: vec![blocks], verdict: Verdict::ACCEPT, ..Rule::default() };
    config.peers[0].import = Some(Import::new(vec![rule]));
    let (speaker, _events) = Speaker::spawn(config);
    speaker.set_routes(RouteSet::new());
    shown(&speaker, "taken", |peer| peer.learned.get(&Family::Ipv4) == Some(&2) && peer.stale == 0).await;
    let table = speaker.learned().borrow().iter().map(|(prefix, _)| prefix.to_string()).collect::<Vec<_>>();
    assert_eq!(table, ["10.67.1.0/26", "10.67.2.0/26"]);
    bird.die();
    shown(&speaker, "kept", |peer| peer.stale == 2).await;
    assert_eq!(speaker.learned().borrow().len(), 2);
    bird.come_back();
    shown(&speaker, "fresh", |peer| peer.stale == 0 && peer.learned.get(&Family::Ipv4) == Some(&2)).await;
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_session_with_ttl_security_comes_up_and_none_without_the_password() {
    let bird = Bird::start(64_600, "password \"swordfish\"; ttl security on;");
    let mut config = config(64_600, &bird);
    config.peers[0].gtsm = true;
    let mut peers = config.peers.clone();
    let (speaker, mut events) = Speaker::spawn(config);
    let reason = event(&mut events, |event| match event {
        SpeakerEvent::PeerFailed { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.await.contains("no answer"), "BIRD hears nothing that is not signed");
    peers[0].key = Password::new("swordfish").ok().map(SessionKey::Md5);
    speaker.set_peers(peers);
    established(&speaker).await;
    bird.wait_until("BIRD agrees", || bird.ask("show protocols lb").contains("Established"));
    speaker.shutdown("done").await;
}

/// Both ends know of long-lived graceful restart; ours comes back within a second, or else late.
fn long_lived(bird: &Bird, time: u64) -> SpeakerConfig {
    let mut config = config(64_600, bird);
    config.restart_time = Duration::from_secs(1);
    config.peers[0].long_lived = Some(Duration::from_secs(time));
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bird_keeps_our_routes_as_its_last_choice_beyond_our_restart_time_and_takes_them_back() {
    let bird = Bird::start(64_600, "graceful restart on; long lived graceful restart on;");
    let (speaker, mut events) = Speaker::spawn(long_lived(&bird, 3600));
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8:1::1/128"]));
    sent(&mut events).await;
    bird.wait_for_route("198.51.100.1/32", &["(64600,7)"]);
    let says =
        |status: &PeerStatus| status.capabilities_received.iter().any(|one| one.contains("long-lived"));
    shown(&speaker, "a session that is long-lived", says).await;
    drop(speaker);
    for prefix in ["198.51.100.1/32", "2001:db8:1::1/128"] {
        bird.wait_for_route(prefix, &["(65535,6)", "(64600,7)"]);
    }
    let (speaker, mut events) = Speaker::spawn(SpeakerConfig { restarting: true, ..long_lived(&bird, 3600) });
    established(&speaker).await;
    assert!(bird.has_route("198.51.100.1/32"), "kept until it is told again");
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    sent(&mut events).await;
    bird.wait_until("it is told again", || {
        let answer = bird.ask("show route all for 198.51.100.1/32");
        answer.contains("(64600,7)") && !answer.contains("(65535,6)")
    });
    bird.wait_until("the other goes", || !bird.has_route("2001:db8:1::1/128"));
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bird_told_is_our_last_choice_beyond_its_restart_time_until_its_long_time_is_over() {
    let extra = "graceful restart on; graceful restart time 1; long lived graceful restart on; long lived stale time 15;";
    let statics =
        "route 10.67.1.0/26 blackhole; route 10.67.2.0/26 blackhole { bgp_community.add((65535,7)); };";
    let mut bird = Bird::announcing(64_600, extra, statics);
    let mut config = long_lived(&bird, 60);
    config.peers[0].import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    let (speaker, _events) = Speaker::spawn(config);
    speaker.set_routes(RouteSet::new());
    let marked = |table: &bgp::rib::LocRib| {
        table
            .iter()
            .map(|(prefix, path)| (prefix.to_string(), path.route.is_long_lived_stale()))
            .collect::<Vec<_>>()
    };
    let becomes = async |what: &str, expected: &[(&str, bool)]| {
        let mut learned = speaker.learned();
        let wanted: Vec<_> = expected.iter().map(|(prefix, is)| ((*prefix).to_owned(), *is)).collect();
        let found =
            tokio::time::timeout(PATIENCE, learned.wait_for(|table| marked(table) == wanted)).await.is_ok();
        assert!(found, "{what}: {:?}", marked(&speaker.learned().borrow()));
    };
    becomes("both are told", &[("10.67.1.0/26", false), ("10.67.2.0/26", false)]).await;
    bird.die();
    becomes("one is kept, as the last choice", &[("10.67.1.0/26", true)]).await;
    becomes("its time is over", &[]).await;
    bird.come_back();
    becomes("both are told again", &[("10.67.1.0/26", false), ("10.67.2.0/26", false)]).await;
    speaker.shutdown("done").await;
}
