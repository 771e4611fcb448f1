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
