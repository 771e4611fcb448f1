//! What the made-up lvsd says: of lvsd's own types, so that the page is tried with what lvsd would send.

use super::made_up::Parts;
use lvsd::api::traffic::{Through, To};
use lvsd::chronicle::Line;
use lvsd::config::{BlockCheck, Family, NodeMode, NodeRoutes};
use lvsd::core::Timestamp;
use lvsd::core::nodes::view::{NodeSessionView, NodeView, NodesView};
use lvsd::core::view::{
    BackendView, BfdView, CanaryView, CheckView, PeerView, PoolView, RefusedView, ServiceView, SourceView,
    UnusableView, VipView, Why, WhyService,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

pub(crate) const SERVICES: [&str; 14] = [
    "api", "apps", "cache", "dns", "git", "ldap", "mail", "maps", "media", "ntp", "search", "shop", "static",
    "wiki",
];

fn ago(seconds: u64) -> Timestamp {
    (SystemTime::now() - Duration::from_secs(seconds)).into()
}

fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(service: usize, backend: usize, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => ip(&format!("10.64.{service}.{backend}")),
        Family::Ipv6 => ip(&format!("2001:db8:64::{service}:{backend}")),
    }
}

/// shop has trouble, one backend of mail is out, the others are as they should be.
fn backend(name: &str, at: usize, number: usize, family: Family) -> BackendView {
    let (standing, health, reason, weight) = match (name, number) {
        ("shop", 2) => ("held-though-down", "down", "2 of 4 are needed: connection refused", 10),
        ("shop", 3) => ("down", "down", "GET /healthz: 503 Service Unavailable", 0),
        ("shop" | "mail", 4) => ("depooled", "up", "ann depooled it: disk", 0),
        _ => ("pooled", "up", "its checks are up", 10),
    };
    BackendView {
        host: format!("{name}{number}"),
        address: address(at, number, family),
        weight,
        standing: standing.into(),
        health: health.into(),
        since: ago(300 * number as u64),
        reason: reason.into(),
        path: "On the link, by eth0".into(),
        on_link: Some(true),
        agent: (name == "shop" && number == 1).then(|| "50%".into()),
        checks: Vec::new(),
    }
}

fn pool(name: &str, at: usize, family: Family) -> PoolView {
    let backends: Vec<BackendView> = (1..=4).map(|number| backend(name, at, number, family)).collect();
    let pooled = backends.iter().filter(|backend| backend.weight > 0).count();
    let serving = backends.iter().filter(|backend| backend.standing == "pooled").count();
    let draining = if name == "mail" { vec![address(at, 9, family)] } else { Vec::new() };
    PoolView { family, pooled, serving, needed: 2, total: 4, backends, left_out: 0, draining }
}

pub(crate) fn service(at: usize) -> ServiceView {
    let name = SERVICES[at];
    let is_shop = name == "shop";
    ServiceView {
        name: name.into(),
        protocol: "tcp".into(),
        port: 443,
        fwmark: None,
        vips: vec![ip(&format!("192.0.2.{}", at + 1)), ip(&format!("2001:db8::{}", at + 1))],
        scheduler: "mh".into(),
        settings: "mh-port".into(),
        forwarding: "route".into(),
        backend_port: 443,
        source: format!("etcd pools/{name}"),
        source_error: None,
        source_stale: false,
        source_held: false,
        source_errors: 0,
        waiting: None,
        unsorted: Vec::new(),
        pools: vec![pool(name, at, Family::Ipv4), pool(name, at, Family::Ipv6)],
        unusable: Vec::from_iter(
            is_shop.then(|| UnusableView { host: "shop5".into(), reason: "it has no address".into() }),
        ),
        stale_names: Vec::new(),
        canaries: Vec::from_iter(is_shop.then(|| CanaryView {
            vip: ip("192.0.2.12"),
            state: "down".into(),
            since: ago(20),
            reason: "no answer within 1 s".into(),
        })),
    }
}

/// What goes through the services in a second.
pub(crate) fn traffic(second: u64) -> Parts {
    let through = |at: usize| {
        let wave = ((second as f64 / 3.0 + at as f64).sin() * 40.0) as i64 + 100;
        let rate = wave.unsigned_abs() * (at as u64 + 1);
        let to = |number| {
            let to = To { connections_per_second: rate / 4, active: 250 + number as u32, inactive: 20 };
            [Family::Ipv4, Family::Ipv6].map(|family| (address(at, number, family), to))
        };
        Through {
            connections_per_second: rate,
            bytes_in_per_second: rate * 2000,
            active: 1010,
            backends: (1..=4).flat_map(to).collect(),
        }
    };
    SERVICES.iter().enumerate().map(|(at, name)| (format!("traffic/{name}"), value(&through(at)))).collect()
}

fn vip(at: usize) -> VipView {
    let is_out = SERVICES[at] == "shop";
    VipView {
        address: ip(&format!("192.0.2.{}", at + 1)),
        announced: !is_out,
        since: ago(3600),
        reason: if is_out { "shop has too few" } else { "its services serve" }.into(),
        operator: is_out.then(|| "withdrawn by ann: rebuild".into()),
    }
}

pub(crate) fn peer(name: &str, state: &str) -> PeerView {
    let is_up = state == "Established";
    let bfd = BfdView {
        state: if is_up { "Up" } else { "Down" }.into(),
        since: ago(7200),
        remote_state: "Up".into(),
        diagnostic: "none".into(),
        detection_ms: Some(300),
        failures: 0,
        last_error: None,
    };
    PeerView {
        name: name.into(),
        address: is_up.then(|| "198.51.100.1".into()),
        state: state.into(),
        since: ago(7200),
        announced: if is_up { 26 } else { 0 },
        malformed: None,
        in_sync: is_up,
        withheld: Vec::from_iter(is_up.then(|| "2 of IPv6: no next hop".into())),
        last_error: (!is_up).then(|| "hold timer expired".into()),
        bfd: Some(bfd),
    }
}

fn node(number: usize, is_up: bool) -> NodeView {
    let address = ip(&format!("10.0.0.{number}"));
    let session = NodeSessionView {
        name: format!("worker{number}/{address}"),
        family: Family::Ipv4,
        address,
        state: if is_up { "Established" } else { "Active" }.into(),
        since: Some(ago(900)),
        last_error: (!is_up).then(|| "connection refused".into()),
        learned: 3,
        stale: if is_up { 0 } else { 3 },
        told: 0,
    };
    NodeView {
        name: format!("worker{number}"),
        addresses: vec![address],
        asn: Some(64512),
        sessions: vec![session],
        blocks: vec![
            format!("10.244.{number}.0/26").parse().unwrap(),
            format!("10.244.{number}.64/26").parse().unwrap(),
        ],
        routes: 2,
        problems: Vec::from_iter(
            (number == 2).then(|| "10.244.1.0/26 is refused: the block is worker1's".into()),
        ),
    }
}

pub(crate) fn nodes() -> NodesView {
    NodesView {
        mode: NodeMode::Discover,
        routes: NodeRoutes::Bgp,
        blocks: BlockCheck::Enforce,
        local_asn: 64512,
        local_addresses: vec![ip("10.0.0.250")],
        source: Some("/run/cluster.json".into()),
        source_error: Some("/run/cluster.json: line 3: expected a comma".into()),
        waiting: Some("nodes have time to tell their routes again; until then none is deleted".into()),
        peering: vec!["BGPPeer lb says that 10.0.0.250 is in AS 64513, and we are in 64512".into()],
        reflector: None,
        pools: vec!["10.244.0.0/16 in blocks of /26".into()],
        nodes: vec![node(1, true), node(2, true), node(3, false)],
        alarms: vec!["10.244.1.0/26 comes from worker1 and from worker2".into()],
        accepted: 6,
        refused: 1,
        installed: 5,
        foreign: 2,
        failures: vec!["10.244.3.0/26: no such device".into()],
    }
}

fn source(name: &str, error: Option<&str>) -> SourceView {
    SourceView {
        name: name.into(),
        kind: "etcd".into(),
        state: if error.is_some() { "away" } else { "live" }.into(),
        since: Some(ago(60)),
        error: error.map(Into::into),
        is_held: false,
        outages: 0,
        progress: None,
        pools: 14,
        services: 3,
        refused: vec![RefusedView { name: "prod.web".into(), reason: "its VIP is another's".into() }],
    }
}

/// Everything that a page is told first.
pub(crate) fn parts() -> Parts {
    let daemon = json!({"version": "0.1.0", "host": "lb1", "ready": true, "phase": "running", "dry_run": false,
        "drain": null, "foreign_services": 0, "kernel_failures": [], "absent_hosts": []});
    let fleet = json!({"text": "BALANCER  STATE\nlb1       running\nlb2       drained\n", "problem": null});
    let mut parts = traffic(0);
    parts.extend([("daemon".into(), daemon), ("fleet".into(), fleet), ("nodes".into(), value(&nodes()))]);
    for (at, name) in SERVICES.iter().enumerate() {
        parts.insert(format!("service/{name}"), value(&service(at)));
        parts.insert(format!("vip/{}", vip(at).address), value(&vip(at)));
    }
    for peer in [peer("tor-a", "Established"), peer("tor-b", "Established"), peer("tor-c", "Active")] {
        parts.insert(format!("peer/{}", peer.name), value(&peer));
    }
    for source in [source("main", None), source("old", Some("connection refused"))] {
        parts.insert(format!("source/{}", source.name), value(&source));
    }
    parts
}

pub(crate) fn lines() -> Vec<Line> {
    let line = |id, level: &str, message: &str, service: Option<&str>| Line {
        id,
        at: ago(10),
        level: level.into(),
        message: message.into(),
        target: "lvsd::engine".into(),
        about: service.map(|name| ("service".into(), name.into())).into_iter().collect(),
    };
    vec![
        line(1, "info", "tor-a: Established", None),
        line(2, "warn", "shop: shop3: down: GET /healthz: 503 Service Unavailable", Some("shop")),
    ]
}

/// Why one of shop's backends is as it is.
pub(crate) fn why(host: &str) -> Why {
    let check: CheckView = serde_json::from_value(json!({
        "check": "https GET /healthz", "verdict": "up", "since": ago(600), "failure": null, "last": ago(1),
        "latency": Duration::from_micros(2500), "certificate_expires": Timestamp::from_micros(1_900_000_000_000_000),
        "agent": null, "history": [{"verdict": "up", "at": ago(600), "failure": "was refused before"}],
    }))
    .unwrap();
    let at = SERVICES.iter().position(|name| *name == "shop").unwrap();
    let backend =
        BackendView { checks: vec![check], host: host.into(), ..backend("shop", at, 1, Family::Ipv4) };
    let service =
        WhyService { service: "shop".into(), backends: vec![backend], unusable: None, canaries: Vec::new() };
    Why { host: host.into(), services: vec![service], refused: Vec::new() }
}
