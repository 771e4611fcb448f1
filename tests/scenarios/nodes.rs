//! The pod routes of a cluster's nodes, which run the BIRD that Calico runs.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::calico::{Node, Peering, Settings};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, give, take, v4, v6};
use lab::nginx::Nginx;
use lab::wait::wait_until;
use lab::world::World;
use serde_json::Value;

/// BIRD waits up to 5 s before it dials again.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const BALANCER_ASN: u32 = 64600;

/// Nodes are n1 to n4, their addresses end in 21 to 24: two in Calico's own AS, one in another, one in the balancer's.
const ASNS: [u32; 4] = [64512, 64512, 64513, BALANCER_ASN];

/// A pod of a node, IPv4 and IPv6.
pub(crate) fn pod(node: u16) -> [IpAddr; 2] {
    let words = [format!("10.67.{node}.1"), format!("fd00:67::{:x}", node * 0x40 + 1)];
    words.map(|word| word.parse().expect("an address"))
}

/// The block of a node, IPv4 and IPv6.
pub(crate) fn block(node: u16) -> [String; 2] {
    [format!("10.67.{node}.0/26"), format!("fd00:67::{:x}/122", node * 0x40)]
}

/// An address of n1's block that a pod of n2 has borrowed.
const BORROWED: &str = "10.67.1.60";

/// What nodes announce, and a balancer must not take: services' addresses, and the balancer's own VIP.
const REFUSED: [&str; 2] = ["10.96.0.0/12", "192.0.2.10/32"];

pub(crate) fn settings(node: u16) -> Settings {
    let asn = ASNS[usize::from(node) - 1];
    let services = if node == 1 { REFUSED.map(str::to_owned).to_vec() } else { Vec::new() };
    Settings {
        asn,
        last: 20 + node,
        balancer_asn: BALANCER_ASN,
        balancer: 1,
        blocks: block(node).map(|block| vec![block]),
        services: [services, Vec::new()],
        peering: if node % 2 == 1 { Peering::Global } else { Peering::Explicit },
        password: None,
        max_restart_time: None,
        is_client: false,
    }
}

/// The cluster as kubectl prints it; `owner` has the first block.
fn cluster(owner: &str) -> String {
    let mut items = vec![
        r#"{"kind":"IPPool","metadata":{"name":"v4"},"spec":{"cidr":"10.67.0.0/16","blockSize":26}}"#.to_owned(),
        r#"{"kind":"IPPool","metadata":{"name":"v6"},"spec":{"cidr":"fd00:67::/64","blockSize":122}}"#.to_owned(),
        r#"{"kind":"BGPConfiguration","metadata":{"name":"default"},"spec":{"serviceClusterIPs":[{"cidr":"10.96.0.0/12"}]}}"#.to_owned(),
    ];
    for node in 1..=4_u16 {
        let (v4, v6, asn) = (v4(20 + node), v6(20 + node), ASNS[usize::from(node) - 1]);
        items.push(format!(
            r#"{{"kind":"Node","metadata":{{"name":"n{node}","annotations":{{"projectcalico.org/IPv4Address":"{v4}/24","projectcalico.org/IPv6Address":"{v6}/64","projectcalico.org/ASNumber":"{asn}"}}}}}}"#
        ));
        for (index, cidr) in block(node).into_iter().enumerate() {
            let name = if node == 1 && index == 0 { owner.to_owned() } else { format!("n{node}") };
            items.push(format!(
                r#"{{"kind":"BlockAffinity","metadata":{{"name":"x"}},"spec":{{"cidr":"{cidr}","node":"{name}","state":"confirmed","deleted":"false"}}}}"#
            ));
        }
    }
    format!("{{\"items\":[{}]}}", items.join(","))
}

fn configuration(host: &Host) -> String {
    let files = host.files();
    Configuration::with_web(BALANCER_ASN).render(host)
        + &format!(
            "\n[nodes]\nmode = \"discover\"\nblocks = \"enforce\"\nhold_time = \"30s\"\ncluster_file = \"{}/cluster.json\"\n\
             local_ipv4 = \"{}\"\nlocal_ipv6 = \"{}\"\n\
             \n[service.pods]\nvips = [\"192.0.2.11\"]\nport = 80\nforwarding = \"nat\"\nrequire_on_link = false\n\
             backends = [{{ host = \"pod1\", addresses = [\"10.67.1.1\"] }}]\n\
             checks = [{{ type = \"tcp\", interval = \"200ms\", timeout = \"2s\" }}]\n",
            files.display(),
            v4(1),
            v6(1)
        )
}

pub(crate) fn pods_behind_calicos_bird_are_reached_and_followed(world: &World) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let hosts = (1..=4).map(|node| lab.add_host(world, &format!("n{node}"), 20 + node, &pod(node)));
    let hosts = hosts.collect::<Result<Vec<Host>>>()?;
    give(&hosts[1], BORROWED.parse()?)?;
    let nodes = hosts.iter().zip(1..).map(|(host, node)| Node::start(host, &settings(node)));
    let mut nodes = nodes.collect::<Result<Vec<Node>>>()?;
    let _servers = hosts.iter().map(Nginx::start).collect::<Result<Vec<_>>>()?;

    let balancer = &lab.balancers[0];
    fs::write(balancer.files().join("cluster.json"), cluster("n1"))?;
    let mut lvsd = Lvsd::start_with(balancer, &configuration(balancer))?;
    lvsd.wait_ready(LIMIT)?;
    takes_what_it_may(&lvsd, &nodes)?;
    for node in 1..=4 {
        pod(node).into_iter().try_for_each(|address| reached(balancer, address))?;
    }
    reached(balancer, BORROWED.parse()?)?;
    wait_until("the check straight to the pod passes", LIMIT, || health(&lvsd).is_ok_and(|is| is == "up"))?;

    // A node's BIRD dies and comes back: its pods are reached all the while.
    nodes[0].kill()?;
    wait_until("the routes of n1 are kept", LIMIT, || stale(&lvsd).is_ok_and(|stale| stale > 0))?;
    expect_way(balancer, &block(1)[0], 21)?;
    reached(balancer, pod(1)[0])?;
    nodes[0].start_again()?;
    wait_until("n1 has told its routes again", LIMIT, || {
        stale(&lvsd).is_ok_and(|stale| stale == 0) && established(&lvsd).is_ok_and(|sessions| sessions == 8)
    })?;

    follows_a_block(&lvsd, &hosts, &nodes)?;

    // lvsd dies and comes back: the kernel's routes stay.
    lvsd.kill()?;
    expect_way(balancer, &block(1)[0], 22)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    expect_way(balancer, &block(1)[0], 22)?;
    // What n2 had borrowed of the block is beneath its own now, and not told by itself.
    wait_until("every node has told its routes", LIMIT, || taken(&lvsd).is_ok_and(|taken| taken == 8))?;
    reached(balancer, BORROWED.parse()?)?;
    reached(balancer, pod(1)[0])
}

/// Each node's blocks and the borrowed address are taken; services' addresses and the VIP are refused, the VIP with an
/// alarm; and the nodes are told nothing.
fn takes_what_it_may(lvsd: &Lvsd, nodes: &[Node]) -> Result<()> {
    wait_until("a session with each node and family", LIMIT, || {
        established(lvsd).is_ok_and(|count| count == 8)
    })?;
    wait_until("nine routes are taken", LIMIT, || taken(lvsd).is_ok_and(|taken| taken == 9))?;
    for node in 1..=4_u16 {
        wait_until(&format!("the kernel has n{node}'s block"), LIMIT, || {
            expect_way(lvsd.host(), &block(node)[0], 20 + node).is_ok()
        })?;
    }
    let routes = lvsd.ctl_json(&["routes"])?;
    let why = |prefix: &str| {
        let route = routes.as_array().into_iter().flatten().find(|route| route["prefix"] == prefix);
        route.and_then(|route| route["reason"].as_str()).unwrap_or_default().to_owned()
    };
    ensure!(why(REFUSED[0]).contains("services' addresses"), "{routes}");
    ensure!(why(REFUSED[1]).contains("our own VIP 192.0.2.10"), "{routes}");
    let view = lvsd.ctl_json(&["nodes"])?;
    ensure!(view["alarms"].to_string().contains("offers 192.0.2.10/32"), "{view}");
    ensure!(lvsd.metric("lvsd_nodes_alarms")? > 0.0, "no alarm on /metrics");
    for node in nodes {
        ensure!(node.told_by_balancer()? == 0, "the balancer has told a node of routes");
    }
    Ok(())
}

/// The first block moves from n1 to n2, and its pod with it.
fn follows_a_block(lvsd: &Lvsd, hosts: &[Host], nodes: &[Node]) -> Result<()> {
    let balancer = lvsd.host();
    let file = balancer.files().join("cluster.json");
    fs::write(file.with_extension("new"), cluster("n2"))?;
    fs::rename(file.with_extension("new"), &file)?;
    let (mut from, mut to) = (settings(1), settings(2));
    to.blocks[0].push(from.blocks[0].remove(0));
    take(&hosts[0], pod(1)[0])?;
    give(&hosts[1], pod(1)[0])?;
    nodes[1].reconfigure(&to)?;
    nodes[0].reconfigure(&from)?;
    wait_until("the route leads to n2", LIMIT, || expect_way(balancer, &block(1)[0], 22).is_ok())?;
    reached(balancer, pod(1)[0])
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

fn health(lvsd: &Lvsd) -> Result<String> {
    let status = lvsd.ctl_json(&["status", "pods"])?;
    Ok(status["services"][0]["pools"][0]["backends"][0]["health"].as_str().unwrap_or_default().to_owned())
}

/// The kernel's table of lvsd's has this prefix by the node whose address ends so.
pub(crate) fn expect_way(balancer: &Host, prefix: &str, last: u16) -> Result<()> {
    let text = balancer.run(&["ip", "route", "show", "table", "77", prefix])?;
    ensure!(text.contains(&format!("via {} ", v4(last))), "{prefix} is not by .{last}: {text:?}");
    Ok(())
}

/// Somebody answers at port 80 there, from the balancer.
pub(crate) fn reached(balancer: &Host, address: IpAddr) -> Result<()> {
    let connect =
        || TcpStream::connect_timeout(&SocketAddr::new(address, 80), Duration::from_secs(2)).is_ok();
    wait_until(&format!("{address} is reached"), LIMIT, || balancer.enter(connect).unwrap_or(false))?;
    Ok(())
}
