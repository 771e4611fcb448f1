//! The rows of each view.

use super::state::{State, View};
use crate::api::traffic::Through;
use crate::core::Timestamp;
use crate::core::view::{BackendView, PeerView, ServiceView, SourceView, VipView};
use crate::ctl::render::age;

/// How a row looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Odd,
    Bad,
    Plain,
}

/// A column, and how soon it goes where there is no room: the highest first, 0 never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) rank: u8,
}

const fn column(title: &'static str, rank: u8) -> Column {
    Column { title, rank }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What it is about, among the rows of its view.
    pub(super) id: String,
    pub(super) cells: Vec<String>,
    pub(super) tone: Tone,
    /// The backend's host, if it is about one.
    pub(super) host: Option<String>,
}

const SERVICES: [Column; 7] = [
    column("SERVICE", 0),
    column("LISTENS", 4),
    column("SERVE", 0),
    column("CONN", 1),
    column("CONN/S", 2),
    column("BYTES/S", 3),
    column("WHAT IS ODD", 0),
];
const BACKENDS: [Column; 9] = [
    column("SERVICE", 1),
    column("BACKEND", 0),
    column("ADDRESS", 6),
    column("WEIGHT", 2),
    column("STATE", 0),
    column("CHECKS", 5),
    column("CONN", 3),
    column("CONN/S", 4),
    column("WHY", 0),
];
const ROUTING: [Column; 5] =
    [column("WHAT", 0), column("NAME", 0), column("STATE", 0), column("SINCE", 1), column("WHY", 0)];
const EVENTS: [Column; 2] = [column("TIME (UTC)", 0), column("WHAT HAPPENED", 0)];

/// The columns of a view; the last may hold a text of any length.
pub(super) fn columns(view: View) -> &'static [Column] {
    match view {
        View::Services => &SERVICES,
        View::Backends => &BACKENDS,
        View::Routing => &ROUTING,
        View::Events => &EVENTS,
    }
}

/// The rows of the view that is shown, with a cell for each of its columns.
pub(super) fn rows(state: &State, now: Timestamp) -> Vec<Row> {
    let status = &state.seen.status;
    match state.view {
        View::Services => status
            .services
            .iter()
            .map(|service| of_service(service, state.seen.traffic.get(&service.name)))
            .collect(),
        View::Backends => backends(state),
        View::Routing => {
            let vips = status.vips.iter().map(|vip| of_vip(vip, now));
            let peers = status.peers.iter().map(|peer| of_peer(peer, now));
            let sources = status.sources.iter().map(|source| of_source(source, now));
            vips.chain(peers).chain(sources).collect()
        }
        View::Events => state.events.iter().map(of_line).collect(),
    }
}

fn of_service(service: &ServiceView, through: Option<&Through>) -> Row {
    let listens = match service.fwmark {
        Some(mark) => format!("fwmark {mark}"),
        None => format!("{} {}", service.protocol, service.port),
    };
    let serve: Vec<String> =
        service.pools.iter().map(|pool| format!("{}/{}", pool.serving, pool.total)).collect();
    let odd = odd(service);
    let is_short = service.pools.iter().any(|pool| pool.serving < pool.needed || pool.serving == 0);
    let tone = match (is_short, odd.is_empty()) {
        (true, _) => Tone::Bad,
        (false, false) => Tone::Odd,
        (false, true) => Tone::Good,
    };
    let count = |of: fn(&Through) -> u64| through.map_or_else(String::new, |through| short(of(through)));
    let cells = vec![
        service.name.clone(),
        listens,
        serve.join(" "),
        count(|through| through.active),
        count(|through| through.connections_per_second),
        count(|through| through.bytes_in_per_second),
        odd,
    ];
    Row { id: service.name.clone(), cells, tone, host: None }
}

/// What somebody should look at in a service.
fn odd(service: &ServiceView) -> String {
    let mut odd: Vec<String> = service.waiting.iter().chain(&service.source_error).cloned().collect();
    for backend in service.pools.iter().flat_map(|pool| &pool.backends) {
        let words = format!("{} {}", backend.host, backend.standing);
        if backend.standing != "pooled" && !odd.contains(&words) {
            odd.push(words);
        }
    }
    odd.join(", ")
}

fn backends(state: &State) -> Vec<Row> {
    let is_wanted = |service: &&ServiceView| state.only.as_ref().is_none_or(|only| *only == service.name);
    let services = state.seen.status.services.iter().filter(is_wanted);
    services
        .flat_map(|service| {
            let through = state.seen.traffic.get(&service.name);
            let backends = service.pools.iter().flat_map(|pool| &pool.backends);
            backends.map(move |backend| of_backend(service, backend, through))
        })
        .collect()
}

fn of_backend(service: &ServiceView, backend: &BackendView, through: Option<&Through>) -> Row {
    let to = through.and_then(|through| through.backends.get(&backend.address));
    let tone = match backend.standing.as_str() {
        "pooled" => Tone::Good,
        "down" | "held-though-down" | "held-despite-agent" | "off-link" => Tone::Bad,
        _ => Tone::Odd,
    };
    let cells = vec![
        service.name.clone(),
        backend.host.clone(),
        backend.address.to_string(),
        backend.weight.to_string(),
        backend.standing.clone(),
        backend.health.clone(),
        to.map_or_else(String::new, |to| short(to.active.into())),
        to.map_or_else(String::new, |to| short(to.connections_per_second)),
        backend.reason.clone(),
    ];
    let id = format!("{} {}", service.name, backend.address);
    Row { id, cells, tone, host: Some(backend.host.clone()) }
}

fn of_vip(vip: &VipView, now: Timestamp) -> Row {
    let (state, tone) = match (vip.announced, &vip.operator) {
        (true, _) => ("announced", Tone::Good),
        (false, Some(_)) => ("withdrawn", Tone::Odd),
        (false, None) => ("withdrawn", Tone::Bad),
    };
    let address = vip.address.to_string();
    let cells = vec!["VIP".into(), address.clone(), state.into(), age(now, vip.since), vip.reason.clone()];
    Row { id: format!("vip {address}"), cells, tone, host: None }
}

fn of_peer(peer: &PeerView, now: Timestamp) -> Row {
    let bfd = peer.bfd.as_ref();
    let is_up = peer.address.is_some() && bfd.is_none_or(|bfd| bfd.state == "Up");
    let state = bfd.map_or_else(|| peer.state.clone(), |bfd| format!("{}, BFD {}", peer.state, bfd.state));
    let mut why = vec![format!("{} prefixes", peer.announced)];
    why.extend(peer.withheld.iter().cloned());
    why.extend(peer.last_error.clone());
    let cells = vec!["BGP".into(), peer.name.clone(), state, age(now, peer.since), why.join("; ")];
    let tone = if is_up { Tone::Good } else { Tone::Bad };
    Row { id: format!("peer {}", peer.name), cells, tone, host: None }
}

fn of_source(source: &SourceView, now: Timestamp) -> Row {
    let tone = match source.state.as_str() {
        "live" => Tone::Good,
        "away" => Tone::Bad,
        _ => Tone::Odd,
    };
    let since = source.since.map(|since| age(now, since)).unwrap_or_default();
    let why = source.error.clone().unwrap_or_default();
    let cells = vec!["source".into(), source.name.clone(), source.state.clone(), since, why];
    Row { id: format!("source {}", source.name), cells, tone, host: None }
}

fn of_line(line: &crate::chronicle::Line) -> Row {
    let at = line.at.to_string();
    let time = at.split_once('T').map_or(at.as_str(), |(_, time)| time.trim_end_matches('Z'));
    let tone = match line.level.as_str() {
        "info" => Tone::Plain,
        "warn" => Tone::Odd,
        _ => Tone::Bad,
    };
    Row { id: line.id.to_string(), cells: vec![time.into(), line.message.clone()], tone, host: None }
}

/// A number in five letters at most: `999`, `12.3k`, `4.5M`.
pub(super) fn short(number: u64) -> String {
    const UNITS: [(u64, char); 4] =
        [(1_000_000_000_000, 'T'), (1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')];
    match UNITS.iter().find(|(unit, _)| number >= *unit) {
        None => number.to_string(),
        Some((unit, letter)) if number / unit >= 100 => format!("{}{letter}", number / unit),
        Some((unit, letter)) => format!("{}.{}{letter}", number / unit, number % unit / (unit / 10)),
    }
}
