//! Against a neighbour that this test plays itself, message by message.

mod played;

use std::{
    io::Write,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use bgp::{
    Asn, Community, Family, HoldTime, Prefix, RouteAttributes, RouteSet, Speaker, SpeakerConfig,
    SpeakerEvent, StateName,
    wire::{Capability, ErrorCode, Notification, Open, RefreshKind, RouteRefresh, encode_keepalive},
};
use played::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_end_of_rib_is_sent_before_the_routes_are_known_and_then_each_familys_after_its_routes() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    let (mut neighbour, ours) = Neighbour::establish(&listener, 9);
    assert_eq!((ours.asn(), ours.hold_time), (64_600, 90));
    // With a hold time of 9 s the next KEEPALIVE is 3 s away: enough for an End-of-RIB that should not come.
    assert_eq!(neighbour.hear(), Heard::Keepalive);
    neighbour.say(encode_keepalive);
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    assert_eq!(neighbour.hear_news(), Heard::Announced(prefixes(&["198.51.100.1/32"])));
    assert_eq!(neighbour.hear_news(), Heard::Announced(prefixes(&["2001:db8::5/128"])));
    assert_eq!(neighbour.hear_news(), Heard::EndOfRib(Family::Ipv4));
    assert_eq!(neighbour.hear_news(), Heard::EndOfRib(Family::Ipv6));
    let status = status(&speaker, |status| status.in_sync).await;
    assert!(status.last_announce_latency.is_some());
    assert_eq!(status.counters.updates_out, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_withdraws_everything_before_it_says_why() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    let stopping = tokio::spawn(speaker.shutdown("rack 4 moves"));
    assert_eq!(neighbour.hear(), Heard::Withdrawn(prefixes(&["198.51.100.1/32"])));
    assert_eq!(neighbour.hear(), Heard::Withdrawn(prefixes(&["2001:db8::5/128"])));
    assert_eq!(neighbour.hear(), Heard::Notification(Notification::shutdown("rack 4 moves")));
    assert_eq!(neighbour.hear(), Heard::Closed);
    drop(neighbour);
    stopping.await.expect("the shutdown ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speaker_that_is_dropped_closes_without_a_word() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    drop(speaker);
    assert_eq!(neighbour.hear(), Heard::Closed, "a NOTIFICATION would end a graceful restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_neighbour_is_dropped_when_the_hold_time_is_over_and_dialled_again() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    // The hold time begins with what the neighbour says last, and this thread may be held up after it.
    let since = Instant::now();
    let (mut neighbour, _) = Neighbour::establish(&listener, 3);
    let expired = Notification::new(ErrorCode::HOLD_TIMER_EXPIRED);
    assert_eq!(neighbour.hear_news(), Heard::Notification(expired));
    assert!(since.elapsed() >= Duration::from_millis(2900), "after {:?}", since.elapsed());
    let down = status(&speaker, |status| status.state == StateName::Idle).await;
    assert!(down.last_error.is_some_and(|error| error.contains("Hold Timer Expired")));
    let _again = Neighbour::establish(&listener, 90);
    let up = status(&speaker, |status| status.state == StateName::Established).await;
    assert_eq!(up.counters.established, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_does_not_read_is_dropped_though_it_talks() {
    // More than any socket buffer takes, in few routes, so that a slow machine is done with them well within the hold
    // time; made before it runs.
    let communities = vec![Community::NO_EXPORT; 250];
    let attributes = |n: u32| RouteAttributes {
        med: Some(n),
        communities: communities.clone(),
        ..RouteAttributes::default()
    };
    let set: RouteSet = (0..16_000_u32)
        .map(|n| (Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into()), attributes(n)))
        .collect();
    let listener = listener();
    let (speaker, mut events) = spawn(peer(&listener));
    let (neighbour, _) = Neighbour::establish(&listener, 8);
    let mut talking = neighbour.stream.try_clone().expect("the same socket");
    let talker = std::thread::spawn(move || {
        let mut keepalive = Vec::new();
        encode_keepalive(&mut keepalive);
        while talking.write_all(&keepalive).is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    speaker.set_routes(set);
    let down = async {
        loop {
            if let Some(SpeakerEvent::PeerDown { reason, .. }) = events.recv().await {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, down).await.expect("it is dropped");
    assert!(reason.contains("did not read"), "{reason}");
    drop(neighbour);
    talker.join().expect("the socket breaks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_is_answered_with_its_code_and_the_session_comes_back() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    let update = [&[0xff; 16][..], &[0, 25, 2, 0, 0, 0, 0, 33, 1]].concat();
    neighbour.stream.write_all(&update).expect("the speaker takes it");
    let invalid = Notification::new(ErrorCode::INVALID_NETWORK_FIELD);
    assert_eq!(neighbour.hear_news(), Heard::Notification(invalid));
    drop(neighbour);
    let _again = Neighbour::establish(&listener, 90);
    let up = status(&speaker, |status| status.state == StateName::Established).await;
    assert_eq!(up.counters.notifications_out, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_in_another_as_is_told_and_the_operator_reads_both_numbers() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    let mut neighbour = Neighbour::accept(&listener);
    let mut wrong = open(90);
    wrong.capabilities.push(Capability::FourOctetAsn(65_001));
    wrong.capabilities.retain(|capability| *capability != Capability::FourOctetAsn(65_001));
    wrong.my_as = 65_009;
    neighbour.say(|out| wrong.encode(out).expect("it fits"));
    assert!(matches!(neighbour.hear(), Heard::Open(_)));
    assert_eq!(neighbour.hear(), Heard::Notification(Notification::new(ErrorCode::BAD_PEER_AS)));
    let status = status(&speaker, |status| status.last_error.is_some()).await;
    let error = status.last_error.expect("an error");
    assert!(error.contains("AS 65009") && error.contains("AS 65001"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_refresh_repeats_that_family() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    neighbour.say(|out| RouteRefresh::new(RefreshKind::Request, Family::Ipv6).encode(out));
    assert_eq!(neighbour.hear(), Heard::Announced(prefixes(&["2001:db8::5/128"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_router_announces_is_counted_and_what_we_cannot_announce_is_explained() {
    let listener = listener();
    let mut peer = peer(&listener);
    peer.next_hop_v6 = None;
    let (speaker, _events) = spawn(peer);
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, 90);
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    neighbour.say(|out| {
        let next_hop = bgp::wire::NextHop::V4(Ipv4Addr::new(192, 0, 2, 254));
        let announcement = bgp::wire::Announcement {
            as_path: bgp::Path::sequence(vec![65_001]),
            next_hop,
            med: None,
            local_pref: None,
            communities: &[],
            large_communities: &[],
            extra: Default::default(),
        };
        let nlri = prefixes(&["0.0.0.0/0", "10.0.0.0/8"]);
        bgp::wire::encode_announce(out, &announcement, &nlri, true).expect("it fits");
    });
    let status = status(&speaker, |status| status.received.get(&Family::Ipv4) == Some(&2)).await;
    assert_eq!(status.announced.get(&Family::Ipv4), Some(&1));
    assert_eq!(status.announced.get(&Family::Ipv6), Some(&0));
    let withheld = &status.withheld[0];
    assert_eq!((withheld.family, withheld.routes), (Family::Ipv6, 1));
    assert!(withheld.reason.contains("set this peer's ipv6 next hop"), "{}", withheld.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_gtsm_a_neighbour_that_could_be_far_away_gets_no_connection() {
    let listener = listener();
    let mut peer = peer(&listener);
    peer.gtsm = true;
    peer.connect_retry = Duration::from_millis(200);
    // The listener's packets carry the system's default time to live, 64.
    let (speaker, _events) = spawn(peer);
    let status = status(&speaker, |status| status.last_error.is_some()).await;
    assert_eq!(status.last_error.as_deref(), Some("no answer to the TCP connection"));
    assert_eq!(status.counters.connects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_time_of_zero_keeps_a_silent_session() {
    let listener = listener();
    let mut peer = peer(&listener);
    peer.hold_time = HoldTime::from_secs(0).expect("a legal time");
    let (speaker, _events) = spawn(peer);
    let (mut neighbour, ours) = Neighbour::establish(&listener, 90);
    assert_eq!(ours.hold_time, 0);
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    assert!(matches!(neighbour.hear(), Heard::Announced(_)), "no KEEPALIVE in between");
    let status = status(&speaker, |status| status.in_sync).await;
    assert_eq!(status.session.map(|session| session.hold_time.as_secs()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_restart_bit_stays_until_everything_was_sent_again_and_no_longer() {
    let listener = listener();
    let asn = Asn::new(64_600).expect("a private AS");
    let config = SpeakerConfig::new(asn, Ipv4Addr::new(192, 0, 2, 1));
    let (speaker, _events) =
        Speaker::spawn(SpeakerConfig { restarting: true, peers: vec![peer(&listener)], ..config });
    let restarting = |open: Open| open.graceful_restart().expect("it is offered").restarting;
    let (neighbour, open) = Neighbour::establish(&listener, 90);
    assert!(restarting(open));
    drop(neighbour);
    let (mut neighbour, open) = Neighbour::establish(&listener, 90);
    assert!(restarting(open), "nothing was sent yet");
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    status(&speaker, |status| status.in_sync).await;
    drop(neighbour);
    let (_neighbour, open) = Neighbour::establish(&listener, 90);
    assert!(!restarting(open), "this is a lost connection, not a restart");
}
