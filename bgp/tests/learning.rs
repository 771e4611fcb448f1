//! What a neighbour tells: taken by rule, kept over its restart, refused past a limit.

mod played;

use std::net::{Ipv4Addr, TcpListener};

use bgp::{
    Family, Path, PeerConfig, Prefix, Speaker,
    policy::{ExportFilter, Import, PrefixRange, Rule, Verdict},
    rib::LocRib,
    wire::{
        AddPathFamily, Announcement, Capability, ErrorCode, Extra, GracefulRestart, NextHop, Open,
        PreservedFamily, RefreshKind, RouteRefresh, encode_announce, encode_end_of_rib, encode_withdraw,
    },
};
use played::*;

const HOLD_TIME: u16 = 90;

fn inside(text: &str) -> Import {
    let prefixes = vec![PrefixRange::inside(text.parse().expect("a prefix"))];
    Import::new(vec![Rule { prefixes, verdict: Verdict::ACCEPT, ..Rule::default() }])
}

fn learning(listener: &TcpListener) -> PeerConfig {
    PeerConfig { import: Some(inside("10.67.0.0/16")), ..peer(listener) }
}

/// A neighbour that says it comes back within `restart_time` seconds, with its forwarding kept or not.
fn restarting(restart_time: u16, forwarding: bool) -> Open {
    let families = vec![PreservedFamily { afi: 1, safi: 1, forwarding }];
    let mut open = open(HOLD_TIME);
    open.capabilities.push(Capability::EnhancedRefresh);
    let restart = GracefulRestart { restart_time, families, ..GracefulRestart::default() };
    open.capabilities.push(Capability::GracefulRestart(restart));
    open
}

impl Neighbour {
    fn announces(&mut self, texts: &[&str]) {
        let announcement = Announcement {
            as_path: Path::sequence(vec![65_001]),
            next_hop: NextHop::V4(Ipv4Addr::new(192, 0, 2, 254)),
            med: None,
            local_pref: None,
            communities: &[],
            large_communities: &[],
            extra: Extra::default(),
        };
        self.say(|out| assert_eq!(encode_announce(out, &announcement, &prefixes(texts), true), Ok(1)));
    }

    fn ends_its_rib(&mut self) {
        self.say(|out| encode_end_of_rib(out, Family::Ipv4));
    }
}

/// Waits until exactly these prefixes are in the table.
async fn table(speaker: &Speaker, texts: &[&str]) {
    let mut wanted = prefixes(texts);
    wanted.sort_unstable();
    let mut learned = speaker.learned();
    let there = |table: &LocRib| table.iter().map(|(prefix, _)| prefix).eq(wanted.iter().copied());
    let found = tokio::time::timeout(PATIENCE, learned.wait_for(there)).await.map(|found| found.is_ok());
    if !matches!(found, Ok(true)) {
        let table: Vec<Prefix> = speaker.learned().borrow().iter().map(|(prefix, _)| prefix).collect();
        panic!("the table is not {texts:?} but {table:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_take_is_in_the_table_and_what_they_refuse_is_counted() {
    let listener = listener();
    let (speaker, _events) = spawn(learning(&listener));
    let (mut neighbour, _) = Neighbour::establish(&listener, HOLD_TIME);
    neighbour.announces(&["10.67.1.0/26", "10.67.2.0/26", "0.0.0.0/0"]);
    table(&speaker, &["10.67.1.0/26", "10.67.2.0/26"]).await;
    let status = status(&speaker, |status| !status.refused.is_empty()).await;
    assert_eq!((status.learned[&Family::Ipv4], status.received[&Family::Ipv4]), (2, 3));
    assert_eq!(status.refused["no import rule accepts it"], 1);
    let best = speaker.learned().borrow().best("10.67.1.0/26".parse().expect("a prefix")).cloned();
    let best = best.expect("a path");
    assert_eq!(
        (best.source.peer.as_str(), best.route.next_hop),
        ("r1", Ipv4Addr::new(192, 0, 2, 254).into())
    );
    let gone = prefixes(&["10.67.1.0/26"]);
    neighbour.say(|out| assert_eq!(encode_withdraw(out, Family::Ipv4, &gone), Ok(1)));
    table(&speaker, &["10.67.2.0/26"]).await;
    drop(neighbour);
    table(&speaker, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_restarts_keeps_its_routes_until_its_end_of_rib() {
    let listener = listener();
    let (speaker, _events) = spawn(learning(&listener));
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(4000, true));
    neighbour.announces(&["10.67.1.0/26", "10.67.2.0/26"]);
    neighbour.ends_its_rib();
    table(&speaker, &["10.67.1.0/26", "10.67.2.0/26"]).await;
    drop(neighbour);
    status(&speaker, |status| status.stale == 2).await;
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(4000, true));
    neighbour.announces(&["10.67.2.0/26"]);
    status(&speaker, |status| status.stale == 1).await;
    table(&speaker, &["10.67.1.0/26", "10.67.2.0/26"]).await;
    neighbour.ends_its_rib();
    table(&speaker, &["10.67.2.0/26"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_routes_go_when_the_restart_takes_too_long_or_kept_no_forwarding() {
    let listener = listener();
    let (speaker, _events) = spawn(learning(&listener));
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(4000, true));
    neighbour.announces(&["10.67.1.0/26"]);
    table(&speaker, &["10.67.1.0/26"]).await;
    drop(neighbour);
    status(&speaker, |status| status.stale == 1).await;
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(1, false));
    table(&speaker, &[]).await;
    neighbour.announces(&["10.67.3.0/26"]);
    table(&speaker, &["10.67.3.0/26"]).await;
    drop((neighbour, listener));
    table(&speaker, &[]).await;
}

/// An UPDATE with 10.67.1.0/26 and a path identifier: announced by way of a next hop, or withdrawn (RFC 7911 §3).
fn path(id: u8, next_hop: Option<u8>) -> Vec<u8> {
    let nlri = [0, 0, 0, id, 26, 10, 67, 1, 0];
    let body = match next_hop {
        None => [&[0, 9][..], &nlri, &[0, 0]].concat(),
        Some(last) => {
            let as_path = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
            let attributes = [&[0x40, 1, 1, 0][..], &as_path, &[0x40, 3, 4, 192, 0, 2, last]].concat();
            let length = u8::try_from(attributes.len()).expect("it is short");
            [&[0, 0, 0, length][..], &attributes, &nlri].concat()
        }
    };
    let length = u8::try_from(19 + body.len()).expect("it is short");
    [&[0xff; 16][..], &[0, length, 2], &body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_paths_to_a_prefix_one_is_withdrawn_and_the_other_stays() {
    let listener = listener();
    let import = Import { add_path: true, ..inside("10.67.0.0/16") };
    let (speaker, _events) = spawn(PeerConfig { import: Some(import), ..peer(&listener) });
    let mut sends = open(HOLD_TIME);
    sends.capabilities.push(Capability::AddPath(vec![AddPathFamily {
        afi: 1,
        safi: 1,
        receive: true,
        send: true,
    }]));
    let (mut neighbour, ours) = Neighbour::establish_as(&listener, &sends);
    let asked = ours.add_path(Family::Ipv4).map(|entry| (entry.receive, entry.send));
    assert_eq!(asked, Some((true, false)), "several are taken, and none told");
    let mut learned = speaker.learned();
    let hops = async |learned: &mut tokio::sync::watch::Receiver<LocRib>, wanted: &[&str]| {
        let there = |table: &LocRib| {
            let mut hops: Vec<_> = table.paths().map(|(_, path)| path.route.next_hop.to_string()).collect();
            hops.sort();
            hops == wanted
        };
        let found = tokio::time::timeout(PATIENCE, learned.wait_for(there)).await;
        assert!(found.is_ok_and(|found| found.is_ok()), "the paths are not {wanted:?}");
    };
    neighbour.say(|out| out.extend(path(1, Some(21))));
    neighbour.say(|out| out.extend(path(2, Some(22))));
    hops(&mut learned, &["192.0.2.21", "192.0.2.22"]).await;
    neighbour.say(|out| out.extend(path(1, None)));
    hops(&mut learned, &["192.0.2.22"]).await;
    // The same identifier again is another way of the same path.
    neighbour.say(|out| out.extend(path(2, Some(23))));
    hops(&mut learned, &["192.0.2.23"]).await;
    neighbour.say(|out| out.extend(path(2, None)));
    hops(&mut learned, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_with_markers_drops_what_was_not_told_between_them() {
    let listener = listener();
    let (speaker, _events) = spawn(learning(&listener));
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(0, false));
    neighbour.announces(&["10.67.1.0/26", "10.67.2.0/26"]);
    table(&speaker, &["10.67.1.0/26", "10.67.2.0/26"]).await;
    neighbour.say(|out| RouteRefresh::new(RefreshKind::Begin, Family::Ipv4).encode(out));
    neighbour.announces(&["10.67.1.0/26"]);
    neighbour.say(|out| RouteRefresh::new(RefreshKind::End, Family::Ipv4).encode(out));
    table(&speaker, &["10.67.1.0/26"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_prefix_too_many_ends_the_session_and_keeps_the_neighbour_away() {
    let listener = listener();
    let mut peer = learning(&listener);
    if let Some(import) = &mut peer.import {
        import.max_prefixes.limit = 2;
    }
    let (speaker, _events) = spawn(peer);
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(4000, true));
    neighbour.announces(&["10.67.1.0/26", "10.67.2.0/26"]);
    table(&speaker, &["10.67.1.0/26", "10.67.2.0/26"]).await;
    neighbour.announces(&["10.67.3.0/26"]);
    let told = loop {
        match neighbour.hear() {
            Heard::Notification(notification) => break notification,
            Heard::Closed => panic!("closed without a word"),
            _ => {}
        }
    };
    assert_eq!((told.code, told.data), (ErrorCode::MAX_PREFIXES, vec![0, 1, 1, 0, 0, 0, 2]));
    table(&speaker, &[]).await;
    let status = status(&speaker, |status| status.session.is_none()).await;
    assert!(status.last_error.expect("an error").contains("Maximum Number of Prefixes Reached"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_is_no_longer_configured_leaves_nothing_in_the_table() {
    let listener = listener();
    let (speaker, _events) = spawn(learning(&listener));
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &restarting(4000, true));
    neighbour.announces(&["10.67.1.0/26"]);
    table(&speaker, &["10.67.1.0/26"]).await;
    speaker.set_peers(Vec::new());
    table(&speaker, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_neighbour_hears_nothing_but_the_end_of_each_rib() {
    let listener = listener();
    let (speaker, _events) = spawn(PeerConfig { export: ExportFilter::Only(Vec::new()), ..peer(&listener) });
    speaker.set_routes(routes(&["198.51.100.1/32", "2001:db8::5/128"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, HOLD_TIME);
    assert_eq!(neighbour.hear_news(), Heard::EndOfRib(Family::Ipv4));
    assert_eq!(neighbour.hear_news(), Heard::EndOfRib(Family::Ipv6));
    let status = status(&speaker, |status| status.in_sync).await;
    assert_eq!(status.withheld, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_about_to_leave_says_so_on_every_route_and_takes_it_back() {
    let listener = listener();
    let (speaker, _events) = spawn(peer(&listener));
    speaker.set_routes(routes(&["198.51.100.1/32"]));
    let (mut neighbour, _) = Neighbour::establish(&listener, HOLD_TIME);
    while neighbour.hear() != Heard::EndOfRib(Family::Ipv6) {}
    speaker.set_draining(true);
    assert_eq!(neighbour.hear_communities(), ["65535:0"]);
    speaker.set_routes(routes(&["198.51.100.1/32", "198.51.100.2/32"]));
    assert_eq!(neighbour.hear_communities(), ["65535:0"], "a route that comes later is leaving, too");
    speaker.set_draining(false);
    assert_eq!(neighbour.hear_communities(), [""; 0]);
}
