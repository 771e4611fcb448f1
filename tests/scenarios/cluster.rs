//! What scenarios with a cluster's nodes share: the nodes n1 and so on, their pods and blocks, and what lvsd knows of them.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::calico::{Node, Peering, Settings};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, v4, v6};
use lab::wait::wait_until;
use lab::world::World;
use serde_json::Value;

/// BIRD waits 5 s before it dials again, and up to 30 s after errors that follow one another.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);

/// How long one attempt to connect may take: whoever expects an answer tries again.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const BALANCER_ASN: u32 = 64600;

/// What n1 announces beside its block, and a balancer neither takes nor passes on: services' addresses, and the balancer's own VIP.
pub(crate) const REFUSED: [&str; 2] = ["10.96.0.0/12", "192.0.2.10/32"];

/// The last part of a node's addresses: 21 is n1's.
pub(crate) const fn last(node: u16) -> u16 {
    20 + node
}

/// A pod of a node, IPv4 and IPv6.
pub(crate) fn pod(node: u16) -> [IpAddr; 2] {
    let words = [format!("10.67.{node}.1"), format!("fd00:67::{:x}", node * 0x40 + 1)];
    words.map(|word| word.parse().expect("an address"))
}

/// The block of a node, IPv4 and IPv6.
pub(crate) fn block(node: u16) -> [String; 2] {
    [format!("10.67.{node}.0/26"), format!("fd00:67::{:x}/122", node * 0x40)]
}

/// A node in this AS whose peer is the first balancer, and that takes nothing from it.
pub(crate) fn settings(node: u16, asn: u32) -> Settings {
    let services = if node == 1 { REFUSED.map(str::to_owned).to_vec() } else { Vec::new() };
    Settings {
        asn,
        last: last(node),
        peer_asn: BALANCER_ASN,
        peer: 1,
        blocks: block(node).map(|block| vec![block]),
        services: [services, Vec::new()],
        peering: if node % 2 == 1 { Peering::Global } else { Peering::Explicit },
        password: None,
        max_restart_time: None,
        is_client: false,
        clients: Vec::new(),
    }
}

/// Hosts of the nodes from n1 on, each with its pods.
pub(crate) fn hosts(lab: &Lab, world: &World, count: u16) -> Result<Vec<Host>> {
    (1..=count).map(|node| lab.add_host(world, &format!("n{node}"), last(node), &pod(node))).collect()
}

/// The nodes from n1 on.
pub(crate) fn start(hosts: &[Host], settings: impl Fn(u16) -> Settings) -> Result<Vec<Node>> {
    hosts.iter().zip(1..).map(|(host, node)| Node::start(host, &settings(node))).collect()
}

/// One of `[nodes]`' nodes, and what else is said of it.
pub(crate) fn named(node: u16, more: &str) -> String {
    format!("{{ name = \"n{node}\", addresses = [\"{}\", \"{}\"]{more} }}", v4(last(node)), v6(last(node)))
}

pub(crate) fn view(lvsd: &Lvsd) -> Result<Value> {
    lvsd.ctl_json(&["nodes"])
}

pub(crate) fn sessions(view: &Value) -> Vec<Value> {
    let nodes = view["nodes"].as_array().cloned().unwrap_or_default();
    nodes.iter().flat_map(|node| node["sessions"].as_array().cloned().unwrap_or_default()).collect()
}

pub(crate) fn established(lvsd: &Lvsd) -> Result<usize> {
    Ok(sessions(&view(lvsd)?).iter().filter(|session| session["state"] == "Established").count())
}

pub(crate) fn stale(lvsd: &Lvsd) -> Result<u64> {
    Ok(sessions(&view(lvsd)?).iter().filter_map(|session| session["stale"].as_u64()).sum())
}

pub(crate) fn taken(lvsd: &Lvsd) -> Result<u64> {
    view(lvsd)?["accepted"].as_u64().context("no number of routes")
}

/// Waits until lvsd refuses a route for this reason.
pub(crate) fn refused(lvsd: &Lvsd, prefix: &str, why: &str) -> Result<()> {
    let waited = wait_until(&format!("{prefix} is refused: {why}"), LIMIT, || {
        refusal(lvsd, prefix).is_ok_and(|reason| reason.contains(why))
    });
    waited.map(drop).with_context(|| format!("{:?}", refusal(lvsd, prefix)))
}

/// Why lvsd does not take a route; nothing when it does.
fn refusal(lvsd: &Lvsd, prefix: &str) -> Result<String> {
    let routes = lvsd.ctl_json(&["routes"])?;
    let route = routes.as_array().into_iter().flatten().find(|route| route["prefix"] == prefix);
    let route = route.with_context(|| format!("no {prefix} in {routes}"))?;
    Ok(if route["taken"] == true {
        String::new()
    } else {
        route["reason"].as_str().unwrap_or_default().to_owned()
    })
}

/// The kernel's table of lvsd's has this prefix by the node whose address ends so.
pub(crate) fn expect_way(balancer: &Host, prefix: &str, last: u16) -> Result<()> {
    let text = balancer.run(&["ip", "route", "show", "table", "77", prefix])?;
    ensure!(text.contains(&format!("via {} ", v4(last))), "{prefix} is not by .{last}: {text:?}");
    Ok(())
}

/// Whether somebody answers at port 80 there, from this host.
pub(crate) fn reaches(host: &Host, address: IpAddr) -> Result<bool> {
    host.enter(|| TcpStream::connect_timeout(&SocketAddr::new(address, 80), PATIENCE).is_ok())
}

/// Waits until somebody does.
pub(crate) fn reached(host: &Host, address: IpAddr) -> Result<()> {
    let what = format!("{} reaches {address}", host.name());
    wait_until(&what, LIMIT, || reaches(host, address).unwrap_or(false))?;
    Ok(())
}
