//! Rules that change while a session goes on.

mod played;
mod router;

use std::net::{IpAddr, Ipv4Addr};

use bgp::{
    Asn, PeerConfig, Prefix, RouteSet, Speaker, SpeakerConfig, StateName,
    policy::{ExportFilter, ExportRule, Import, Overrides, Rule, Verdict},
    wire::{Capability, ErrorCode, Notification},
};
use played::{Heard, Neighbour};
use router::{Bird, PATIENCE, REMOTE_ASN};

const STATICS: &str =
    "route 10.67.1.0/26 blackhole; route 10.67.2.0/26 blackhole; route 10.68.1.0/26 blackhole;";

fn import(range: &str, verdict: Verdict) -> Option<Import> {
    let prefixes = vec![range.parse().expect("a range")];
    Some(Import::new(vec![Rule { prefixes, verdict, ..Rule::default() }]))
}

fn peer(bird: &Bird) -> PeerConfig {
    let asn = Asn::new(REMOTE_ASN).expect("a private AS");
    let mut peer = PeerConfig::new("r1", IpAddr::from(Ipv4Addr::LOCALHOST), asn);
    peer.port = bird.port;
    peer.local_address = Some(Ipv4Addr::LOCALHOST.into());
    peer.multihop = Some(2);
    peer.next_hop_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
    peer.next_hop_v6 = "2001:db8::1".parse().ok();
    peer
}

/// Waits until the table has exactly these prefixes, with this LOCAL_PREF.
async fn table(speaker: &Speaker, texts: &[&str], local_pref: Option<u32>) {
    let mut learned = speaker.learned();
    let found = learned.wait_for(|table| {
        let paths: Vec<_> = table.paths().map(|(prefix, path)| (prefix, path.route.local_pref)).collect();
        paths == texts.iter().map(|text| (text.parse().expect("a prefix"), local_pref)).collect::<Vec<_>>()
    });
    let found = tokio::time::timeout(PATIENCE, found).await.is_ok_and(|table| table.is_ok());
    let paths = speaker
        .learned()
        .borrow()
        .paths()
        .map(|(prefix, path)| format!("{prefix} {path:?}"))
        .collect::<Vec<_>>();
    assert!(found, "{texts:?} with {local_pref:?} do not come, there is {paths:#?}");
}

/// Whether BIRD's end of the session is up. When it came up is no test: BIRD reckons that anew from two clocks each time, and the
/// milliseconds differ.
fn is_up(bird: &Bird) -> bool {
    bird.ask("show protocols lb").lines().any(|line| line.contains("BGP") && line.contains("Established"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rules_hold_at_once_for_what_was_told_before_and_the_session_goes_on() {
    let bird = Bird::announcing(64_600, "", STATICS);
    let own = SpeakerConfig::new(Asn::new(64_600).expect("a private AS"), Ipv4Addr::new(192, 0, 2, 1));
    let narrow = import("10.67.1.0/26", Verdict::ACCEPT);
    let first = PeerConfig { import: narrow, ..peer(&bird) };
    let (speaker, _events) = Speaker::spawn(SpeakerConfig { peers: vec![first.clone()], ..own });
    let vips = played::routes(&["198.51.100.1/32", "198.51.100.2/32"]);
    speaker.set_routes(vips);
    table(&speaker, &["10.67.1.0/26"], None).await;
    bird.wait_for_route("198.51.100.1/32", &["BGP.next_hop: 192.0.2.1"]);
    bird.wait_for_route("198.51.100.2/32", &["BGP.next_hop: 192.0.2.1"]);
    let mut statuses = speaker.status();
    let up = statuses.wait_for(|all| all["r1"].state == StateName::Established);
    let before = tokio::time::timeout(PATIENCE, up).await.expect("in time").expect("it lives")["r1"].since;

    let take = |rules: Option<Import>| speaker.set_peers(vec![PeerConfig { import: rules, ..first.clone() }]);
    let both = ["10.67.1.0/26", "10.67.2.0/26"];
    take(import("10.67.0.0/16 le 32", Verdict::ACCEPT));
    table(&speaker, &both, None).await;
    take(import("10.67.0.0/16 le 32", Verdict::Accept { local_pref: Some(200), med: None }));
    table(&speaker, &both, Some(200)).await;
    take(import("10.67.0.0/16 le 32", Verdict::ACCEPT));
    table(&speaker, &both, None).await;
    take(import("10.67.2.0/26", Verdict::ACCEPT));
    table(&speaker, &both[1..], None).await;
    take(None);
    table(&speaker, &[], None).await;
    take(import("10.0.0.0/8 le 32", Verdict::ACCEPT));
    table(&speaker, &[both[0], both[1], "10.68.1.0/26"], None).await;

    let prefixes = vec!["198.51.100.2/32".parse().expect("a range")];
    let rules = vec![ExportRule { prefixes, accept: true, ..ExportRule::default() }];
    let overrides = Overrides { med: Some(7), prepend: Some(1) };
    let changed = PeerConfig { export: ExportFilter::Rules(rules), overrides, ..first.clone() };
    speaker.set_peers(vec![changed]);
    bird.wait_for_route("198.51.100.2/32", &["BGP.med: 7", "BGP.as_path: 64600 64600"]);
    bird.wait_until("the other one goes", || !bird.has_route("198.51.100.1/32"));
    speaker.set_peers(vec![first]);
    bird.wait_for_route("198.51.100.1/32", &["BGP.as_path: 64600"]);
    bird.wait_until("its own MED is back", || {
        !bird.ask("show route all for 198.51.100.2/32").contains("BGP.med")
    });

    let status = speaker.status().borrow()["r1"].clone();
    assert_eq!((status.since, is_up(&bird)), (before, true), "the session was reset");
    assert_eq!((status.counters.established, status.counters.notifications_out), (1, 0));
    speaker.shutdown("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_cannot_be_asked_again_loses_its_session_for_other_import_rules_alone() {
    let listener = played::listener();
    let first =
        PeerConfig { import: import("10.67.0.0/16 le 32", Verdict::ACCEPT), ..played::peer(&listener) };
    let (speaker, _events) = played::spawn(first.clone());
    speaker.set_routes(RouteSet::new());
    let mut open = played::open(90);
    open.capabilities.retain(|one| *one != Capability::RouteRefresh);
    let (mut neighbour, _) = Neighbour::establish_as(&listener, &open);
    let host: Prefix = "198.51.100.1/32".parse().expect("a prefix");
    speaker.set_routes([bgp::Route::new(host)].into_iter().collect());
    let mut news =
        std::iter::repeat_with(|| neighbour.hear_news()).filter(|news| !matches!(news, Heard::EndOfRib(_)));
    assert_eq!(news.next(), Some(Heard::Announced(vec![host])));
    let other = PeerConfig { overrides: Overrides { med: Some(7), prepend: None }, ..first };
    speaker.set_peers(vec![other.clone()]);
    assert_eq!(news.next(), Some(Heard::Announced(vec![host])), "with another MED, in the same session");
    speaker.set_peers(vec![PeerConfig { import: import("10.67.1.0/26", Verdict::ACCEPT), ..other }]);
    let cease = Notification::new(ErrorCode::CONFIGURATION_CHANGE);
    assert_eq!(news.next(), Some(Heard::Notification(cease)));
    Neighbour::establish_as(&listener, &open);
}
