//! `lvsctl bgp` for people.

use super::table::Table;
use super::{Paint, ago, line};
use crate::api::bgp::{BgpView, NeighborView, NotificationView, PathView, RibOutView, SessionView};
use crate::core::view::BfdView;
use bgp::speaker::MessageCounts;
use std::fmt::Display;

/// `lvsctl bgp`.
pub fn summary(view: &BgpView, paint: Paint) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("AS {}, router id {}\n", view.local_asn, view.router_id));
    let heading = ["PEER", "ADDRESS", "AS", "STATE", "SINCE", "OUT", "IN", "TAKEN", "MARKS", "LAST ERROR"];
    let mut table = Table::new(paint, heading).wide_only(&["MARKS"]);
    for peer in &view.peers {
        let sum = |count: fn(&crate::api::bgp::PrefixesView) -> u64| {
            peer.prefixes.values().map(count).sum::<u64>().to_string()
        };
        table.row([
            peer.name.clone(),
            peer.address.to_string(),
            peer.asn.to_string(),
            state(peer, paint),
            ago(peer.since),
            sum(|prefixes| prefixes.announced as u64),
            sum(|prefixes| prefixes.received),
            sum(|prefixes| prefixes.taken as u64),
            peer.marks.join(" "),
            peer.last_error.clone().unwrap_or_default(),
        ]);
    }
    text + &table.to_string()
}

fn state(peer: &NeighborView, paint: Paint) -> String {
    if peer.session.is_some() { paint.good(&peer.state) } else { paint.bad(&peer.state) }
}

/// `lvsctl bgp neighbor NAME`.
pub fn neighbors(view: &BgpView, paint: Paint) -> String {
    let texts: Vec<String> = view.peers.iter().map(|peer| neighbor(peer, paint)).collect();
    texts.join("\n")
}

fn neighbor(peer: &NeighborView, paint: Paint) -> String {
    let mut text = String::new();
    let NeighborView { name, address, asn, kind, .. } = peer;
    let marks = if peer.marks.is_empty() { String::new() } else { format!(", {}", peer.marks.join(" ")) };
    let (state, since) = (state(peer, paint), ago(peer.since));
    line(&mut text, format_args!("{name} {address}, AS {asn} ({kind}){marks}: {state} since {since}"));
    if let Some(session) = &peer.session {
        session_text(&mut text, session);
    }
    if let Some(bfd) = &peer.bfd {
        bfd_text(&mut text, bfd);
    }
    let received = peer.hold_time_received.map_or_else(|| "unknown".into(), |time| format!("{time} s"));
    line(&mut text, format_args!("  hold time: {} s proposed, {received} by the peer", peer.hold_time_sent));
    list(&mut text, "capabilities sent", &peer.capabilities_sent);
    list(&mut text, "capabilities received", &peer.capabilities_received);
    for (family, prefixes) in &peer.prefixes {
        let (out, received, taken) = (prefixes.announced, prefixes.received, prefixes.taken);
        line(&mut text, format_args!("  {family}: {out} announced, {received} received, {taken} taken"));
    }
    let synced = if peer.in_sync { "everything is written" } else { "something is not written" };
    line(&mut text, format_args!("  {synced}{}", stale(peer)));
    for withheld in &peer.withheld {
        line(&mut text, format_args!("  {} withheld: {withheld}", paint.odd("!")));
    }
    for (reason, count) in &peer.refused {
        line(&mut text, format_args!("  not taken: {count}, {reason}"));
    }
    counters(&mut text, peer);
    notification(&mut text, "sent", peer.notification_sent.as_ref());
    notification(&mut text, "received", peer.notification_received.as_ref());
    if let Some(error) = &peer.last_error {
        line(&mut text, format_args!("  last error: {error}"));
    }
    text
}

fn session_text(text: &mut String, session: &SessionView) {
    let SessionView { router_id, local, remote, hold_time, keepalive, .. } = session;
    let restart = if session.graceful_restart { "with" } else { "without" };
    let width = if session.four_octet_asn { "four" } else { "two" };
    line(text, format_args!("  router id {router_id}, from {local} to {remote}"));
    line(
        text,
        format_args!(
            "  agreed: hold time {hold_time} s, keepalive {keepalive} s, {width}-octet AS numbers, {restart} graceful restart"
        ),
    );
}

fn bfd_text(text: &mut String, bfd: &BfdView) {
    let BfdView { state, remote_state, failures, .. } = bfd;
    let within =
        bfd.detection_ms.map_or_else(String::new, |time| format!(", a cut is known within {time} ms"));
    let (since, broken) = (ago(bfd.since), format!("; the path broke {failures} times since start"));
    line(text, format_args!("  BFD: {state} since {since}, {remote_state} at the peer{within}{broken}"));
}

fn stale(peer: &NeighborView) -> String {
    match peer.stale {
        0 => String::new(),
        count => format!("; {count} routes of it are kept while it restarts"),
    }
}

fn counters(text: &mut String, peer: &NeighborView) {
    let words = |counts: &MessageCounts| {
        let words: Vec<String> =
            counts.by_type().iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        words.join(", ")
    };
    line(text, format_args!("  messages sent: {}", words(&peer.messages_sent)));
    line(text, format_args!("  messages received: {}", words(&peer.messages_received)));
    let NeighborView { treated_as_withdraw, attributes_discarded, sessions, connections, .. } = peer;
    let malformed =
        peer.last_malformed.as_ref().map_or_else(String::new, |last| format!("; the last: {last}"));
    line(
        text,
        format_args!(
            "  malformed: {treated_as_withdraw} updates treated as withdraw, {attributes_discarded} attributes discarded{malformed}"
        ),
    );
    line(text, format_args!("  since start: {sessions} sessions, {connections} connections"));
}

fn notification(text: &mut String, way: &str, told: Option<&NotificationView>) {
    let words = told.map_or_else(|| "none".into(), |told| format!("{} ({})", told.text, ago(told.at)));
    line(text, format_args!("  last notification {way}: {words}"));
}

fn list(text: &mut String, title: &str, items: &[String]) {
    let items = if items.is_empty() { "none yet".into() } else { items.join("; ") };
    line(text, format_args!("  {title}: {items}"));
}

/// Attributes of routes for which there is room on a wide terminal only.
const ATTRIBUTES: [&str; 3] = ["MED", "PREF", "COMMUNITIES"];

/// `lvsctl bgp rib out`.
pub fn rib_out(views: &[RibOutView], paint: Paint) -> String {
    let heading = ["PREFIX", "PEER", "TOLD", "NEXT HOP", "AS PATH", "MED", "PREF", "COMMUNITIES", "WHY"];
    let mut table = Table::new(paint, heading).wide_only(&ATTRIBUTES);
    for view in views {
        for route in &view.routes {
            let told = if route.attributes.is_some() { paint.good("yes") } else { paint.odd("no") };
            let [hop, path, med, pref, communities] = match &route.attributes {
                None => [const { String::new() }; 5],
                Some(attributes) => [
                    attributes.next_hop.to_string(),
                    joined(&attributes.as_path),
                    optional(attributes.med),
                    optional(attributes.local_pref),
                    both(&attributes.communities, &attributes.large_communities),
                ],
            };
            let (prefix, reason) = (route.prefix.to_string(), route.reason.clone());
            table.row([prefix, view.peer.clone(), told, hop, path, med, pref, communities, reason]);
        }
    }
    table.to_string()
}

/// `lvsctl bgp rib in`.
pub fn rib_in(paths: &[PathView], paint: Paint) -> String {
    let heading = ["PREFIX", "PEER", "BEST", "NEXT HOP", "AS PATH", "MED", "PREF", "COMMUNITIES", "LOST BY"];
    let mut table = Table::new(paint, heading).wide_only(&ATTRIBUTES);
    for path in paths {
        table.row([
            path.prefix.to_string(),
            path.peer.clone(),
            if path.best { paint.good("best") } else { String::new() },
            path.next_hop.to_string(),
            path.as_path.clone(),
            optional(path.med),
            optional(path.local_pref),
            both(&path.communities, &path.large_communities),
            path.lost.clone().unwrap_or_default(),
        ]);
    }
    if paths.is_empty() { "no route was taken: see [[bgp.peer.import]]\n".into() } else { table.to_string() }
}

fn joined<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn both<A: Display, B: Display>(communities: &[A], large: &[B]) -> String {
    let all = [joined(communities), joined(large)];
    all.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn optional(number: Option<u32>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::bgp::{PrefixesView, RouteOutView};
    use crate::core::Timestamp;
    use bgp::rib::ToldAttributes;
    use bgp::{Community, LargeCommunity};
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    const PLAIN: Paint = Paint::new(false);

    /// Half a minute more than so many minutes ago: a test takes no half minute.
    fn minutes_ago(minutes: u64) -> Timestamp {
        (SystemTime::now() - Duration::from_secs(60 * minutes + 30)).into()
    }

    /// A router that is up, of which everything is odd that can be.
    fn up() -> NeighborView {
        let prefixes = |announced, received, taken| PrefixesView { announced, received, taken };
        NeighborView {
            name: "r1".into(),
            address: "10.64.0.251".parse().unwrap(),
            asn: 65_001,
            kind: "external".into(),
            state: "Established".into(),
            since: minutes_ago(5),
            marks: vec!["MD5".into(), "GTSM".into()],
            bfd: Some(BfdView {
                state: "Up".into(),
                since: minutes_ago(4),
                remote_state: "Up".into(),
                diagnostic: "none".into(),
                detection_ms: Some(900),
                failures: 3,
                last_error: None,
            }),
            session: Some(SessionView {
                router_id: "10.64.0.251".parse().unwrap(),
                local: "10.64.0.1:40001".into(),
                remote: "10.64.0.251:179".into(),
                hold_time: 90,
                keepalive: 30,
                four_octet_asn: true,
                graceful_restart: true,
            }),
            hold_time_sent: 90,
            hold_time_received: Some(180),
            capabilities_sent: vec!["IPv4 unicast".into(), "route refresh".into()],
            capabilities_received: vec!["IPv4 unicast".into()],
            prefixes: BTreeMap::from([
                (bgp::Family::Ipv4, prefixes(2, 10, 7)),
                (bgp::Family::Ipv6, prefixes(1, 20, 5)),
            ]),
            stale: 4,
            refused: BTreeMap::from([("no import rule accepts it".to_owned(), 18)]),
            withheld: vec!["1 of ipv6: the session has no such family".into()],
            in_sync: false,
            messages_received: MessageCounts {
                open: 1,
                update: 12,
                notification: 0,
                keepalive: 33,
                refresh: 2,
            },
            messages_sent: MessageCounts { open: 1, update: 3, notification: 1, keepalive: 34, refresh: 0 },
            treated_as_withdraw: 6,
            attributes_discarded: 8,
            last_malformed: Some("ORIGIN is 9".into()),
            sessions: 2,
            connections: 11,
            last_error: Some("Hold Timer Expired".into()),
            notification_sent: Some(NotificationView {
                at: minutes_ago(7),
                text: "Hold Timer Expired".into(),
            }),
            notification_received: None,
            last_withdraw_micros: Some(64),
            last_announce_micros: Some(62),
        }
    }

    /// One that was never reached.
    fn down() -> NeighborView {
        NeighborView {
            name: "r2-v6".into(),
            address: "fd00:64::252".parse().unwrap(),
            asn: 64_600,
            kind: "internal".into(),
            state: "Active".into(),
            marks: Vec::new(),
            bfd: None,
            session: None,
            hold_time_received: None,
            capabilities_sent: Vec::new(),
            capabilities_received: Vec::new(),
            prefixes: BTreeMap::new(),
            stale: 0,
            refused: BTreeMap::new(),
            withheld: Vec::new(),
            in_sync: true,
            messages_received: MessageCounts::default(),
            messages_sent: MessageCounts::default(),
            treated_as_withdraw: 0,
            attributes_discarded: 0,
            last_malformed: None,
            sessions: 0,
            connections: 0,
            last_error: Some("connection refused".into()),
            notification_sent: None,
            ..up()
        }
    }

    fn view(peers: Vec<NeighborView>) -> BgpView {
        BgpView { local_asn: 64_600, router_id: "10.64.0.1".parse().unwrap(), peers }
    }

    #[test]
    fn a_person_sees_each_router_with_its_state_and_the_sums_of_its_families() {
        let both = view(vec![up(), down()]);
        assert_eq!(
            summary(&both, PLAIN),
            "\
AS 64600, router id 10.64.0.1

PEER   ADDRESS       AS     STATE        SINCE   OUT  IN  TAKEN  LAST ERROR
r1     10.64.0.251   65001  Established  5m ago  3    30  12     Hold Timer Expired
r2-v6  fd00:64::252  64600  Active       5m ago  0    0   0      connection refused
"
        );
        assert_eq!(
            summary(&view(vec![up()]), PLAIN.wide()),
            "\
AS 64600, router id 10.64.0.1

PEER  ADDRESS      AS     STATE        SINCE   OUT  IN  TAKEN  MARKS     LAST ERROR
r1    10.64.0.251  65001  Established  5m ago  3    30  12     MD5 GTSM  Hold Timer Expired
"
        );
        let colored = summary(&both, Paint::new(true));
        assert!(colored.contains("\x1b[32mEstablished\x1b[0m") && colored.contains("\x1b[31mActive\x1b[0m"));
    }

    #[test]
    fn a_person_sees_all_that_is_known_of_a_router() {
        assert_eq!(
            neighbors(&view(vec![up(), down()]), PLAIN),
            "\
r1 10.64.0.251, AS 65001 (external), MD5 GTSM: Established since 5m ago
  router id 10.64.0.251, from 10.64.0.1:40001 to 10.64.0.251:179
  agreed: hold time 90 s, keepalive 30 s, four-octet AS numbers, with graceful restart
  BFD: Up since 4m ago, Up at the peer, a cut is known within 900 ms; the path broke 3 times since start
  hold time: 90 s proposed, 180 s by the peer
  capabilities sent: IPv4 unicast; route refresh
  capabilities received: IPv4 unicast
  ipv4: 2 announced, 10 received, 7 taken
  ipv6: 1 announced, 20 received, 5 taken
  something is not written; 4 routes of it are kept while it restarts
  ! withheld: 1 of ipv6: the session has no such family
  not taken: 18, no import rule accepts it
  messages sent: open 1, update 3, notification 1, keepalive 34, refresh 0
  messages received: open 1, update 12, notification 0, keepalive 33, refresh 2
  malformed: 6 updates treated as withdraw, 8 attributes discarded; the last: ORIGIN is 9
  since start: 2 sessions, 11 connections
  last notification sent: Hold Timer Expired (7m ago)
  last notification received: none
  last error: Hold Timer Expired

r2-v6 fd00:64::252, AS 64600 (internal): Active since 5m ago
  hold time: 90 s proposed, unknown by the peer
  capabilities sent: none yet
  capabilities received: none yet
  everything is written
  messages sent: open 0, update 0, notification 0, keepalive 0, refresh 0
  messages received: open 0, update 0, notification 0, keepalive 0, refresh 0
  malformed: 0 updates treated as withdraw, 0 attributes discarded
  since start: 0 sessions, 0 connections
  last notification sent: none
  last notification received: none
  last error: connection refused
"
        );
        let mut narrow = up();
        let session = narrow.session.as_mut().unwrap();
        (session.four_octet_asn, session.graceful_restart) = (false, false);
        let text = neighbors(&view(vec![narrow]), PLAIN);
        assert!(text.contains("two-octet AS numbers, without graceful restart\n"), "{text}");
    }

    #[test]
    fn a_person_sees_what_a_router_is_told_with_which_attributes_and_what_not_and_why() {
        let attributes = ToldAttributes {
            next_hop: "10.64.0.1".parse().unwrap(),
            as_path: vec![64_600, 64_600],
            med: Some(50),
            local_pref: None,
            communities: vec![Community::new(64_600, 10)],
            large_communities: vec![LargeCommunity { global: 64_600, local1: 1, local2: 2 }],
            originator_id: None,
            cluster_list: Vec::new(),
            only_to_customer: None,
        };
        let route = |prefix: &str, attributes: Option<ToldAttributes>, reason: &str| RouteOutView {
            prefix: prefix.parse().unwrap(),
            attributes,
            reason: reason.into(),
        };
        let routes = vec![
            route("192.0.2.10/32", Some(attributes), "web is served"),
            route("192.0.2.11/32", None, "export rule 1 rejects it"),
        ];
        let views = [RibOutView { peer: "r1".into(), routes }];
        assert_eq!(
            rib_out(&views, PLAIN),
            "\
PREFIX         PEER  TOLD  NEXT HOP   AS PATH      WHY
192.0.2.10/32  r1    yes   10.64.0.1  64600 64600  web is served
192.0.2.11/32  r1    no                            export rule 1 rejects it
"
        );
        assert_eq!(
            rib_out(&views, PLAIN.wide()),
            "\
PREFIX         PEER  TOLD  NEXT HOP   AS PATH      MED  PREF  COMMUNITIES         WHY
192.0.2.10/32  r1    yes   10.64.0.1  64600 64600  50         64600:10 64600:1:2  web is served
192.0.2.11/32  r1    no                                                           export rule 1 rejects it
"
        );
    }

    #[test]
    fn a_person_sees_of_each_path_whether_it_is_the_best_and_what_it_lost_by() {
        let path = |peer: &str, hop: &str| PathView {
            prefix: "10.67.1.0/26".parse().unwrap(),
            peer: peer.into(),
            best: true,
            lost: None,
            next_hop: hop.parse().unwrap(),
            as_path: "65001".into(),
            origin: bgp::wire::Origin::Igp,
            med: None,
            local_pref: Some(200),
            communities: vec![Community::new(65_001, 7)],
            large_communities: Vec::new(),
        };
        let mut other = path("r2", "10.64.0.252");
        (other.best, other.lost, other.med) = (false, Some("a longer AS path".into()), Some(5));
        other.as_path = "65002 65001".into();
        let paths = [path("r1", "10.64.0.251"), other];
        assert_eq!(
            rib_in(&paths, PLAIN),
            "\
PREFIX        PEER  BEST  NEXT HOP     AS PATH      LOST BY
10.67.1.0/26  r1    best  10.64.0.251  65001
10.67.1.0/26  r2          10.64.0.252  65002 65001  a longer AS path
"
        );
        assert_eq!(
            rib_in(&paths, PLAIN.wide()),
            "\
PREFIX        PEER  BEST  NEXT HOP     AS PATH      MED  PREF  COMMUNITIES  LOST BY
10.67.1.0/26  r1    best  10.64.0.251  65001             200   65001:7
10.67.1.0/26  r2          10.64.0.252  65002 65001  5    200   65001:7      a longer AS path
"
        );
        assert_eq!(rib_in(&[], PLAIN), "no route was taken: see [[bgp.peer.import]]\n");
    }
}
