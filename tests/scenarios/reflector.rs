//! Nodes without a mesh: they know of one another's pods by what lvsd, their route reflector, passes on.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::calico::{Node, Peering, Settings};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, take, v4, v6};
use lab::nginx::Nginx;
use lab::wait::wait_until;
use lab::world::World;

/// BIRD waits up to 5 s before it dials again.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a connection may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// One AS for all: a reflector and its clients are in the same.
const ASN: u32 = 64600;

const NODES: u16 = 3;

/// A pod of a node, IPv4 and IPv6.
fn pod(node: u16) -> [IpAddr; 2] {
    let words = [format!("10.67.{node}.1"), format!("fd00:67::{:x}", node * 0x40 + 1)];
    words.map(|word| word.parse().expect("an address"))
}

/// The block of a node, IPv4 and IPv6.
fn block(node: u16) -> [String; 2] {
    [format!("10.67.{node}.0/26"), format!("fd00:67::{:x}/122", node * 0x40)]
}

/// What no node may hear of n1: services' addresses, and the balancer's own VIP.
const REFUSED: [&str; 2] = ["10.96.0.0/12", "192.0.2.10/32"];

/// A node, its last part 21 to 23.
fn settings(node: u16) -> Settings {
    let services = if node == 1 { REFUSED.map(str::to_owned).to_vec() } else { Vec::new() };
    Settings {
        asn: ASN,
        last: 20 + node,
        balancer_asn: ASN,
        balancer: 1,
        blocks: block(node).map(|block| vec![block]),
        services: [services, Vec::new()],
        peering: if node % 2 == 1 { Peering::Global } else { Peering::Explicit },
        password: None,
        max_restart_time: None,
        is_client: true,
    }
}

fn configuration(host: &Host) -> String {
    let node = |node: u16| {
        let (v4, v6) = (v4(20 + node), v6(20 + node));
        format!("{{ name = \"n{node}\", addresses = [\"{v4}\", \"{v6}\"] }}")
    };
    let nodes: Vec<String> = (1..=NODES).map(node).collect();
    Configuration::with_web(ASN).render(host)
        + &format!(
            "\n[nodes]\nmode = \"static\"\nasn = {ASN}\nreflector = true\ncluster_id = \"10.64.0.200\"\nhold_time = \"30s\"\n\
             local_ipv4 = \"{}\"\nlocal_ipv6 = \"{}\"\nservice_cidrs = [\"10.96.0.0/12\"]\nnode = [{}]\n\
             pool = [{{ cidr = \"10.67.0.0/16\" }}, {{ cidr = \"fd00:67::/64\" }}]\n",
            v4(1),
            v6(1),
            nodes.join(", ")
        )
}

pub(crate) fn nodes_without_a_mesh_reach_one_anothers_pods_by_what_lvsd_passes_on(
    world: &World,
) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let hosts = (1..=NODES).map(|node| lab.add_host(world, &format!("n{node}"), 20 + node, &pod(node)));
    let hosts = hosts.collect::<Result<Vec<Host>>>()?;
    let nodes = hosts.iter().zip(1..).map(|(host, node)| Node::start(host, &settings(node)));
    let mut nodes = nodes.collect::<Result<Vec<Node>>>()?;
    let _servers = hosts.iter().map(Nginx::start).collect::<Result<Vec<_>>>()?;
    ensure!(!reaches(&hosts[0], pod(2)[0])?, "n1 reaches n2's pod without a route");

    let mut lvsd = Lvsd::start_with(&lab.balancers[0], &configuration(&lab.balancers[0]))?;
    lvsd.wait_ready(LIMIT)?;
    for (host, from) in hosts.iter().zip(1..) {
        for to in (1..=NODES).filter(|to| *to != from) {
            pod(to).into_iter().try_for_each(|address| reached(host, address))?;
        }
    }
    shows_whose_it_is_and_how_it_came(&nodes[0])?;
    hears_only_pod_routes(&nodes)?;

    routes_outlive_a_node_and_lvsd(&mut lvsd, &hosts, &mut nodes[1])?;

    // What a node withdraws is gone everywhere.
    let mut without = settings(2);
    // A pod outside of its blocks it would tell by itself.
    take(&hosts[1], pod(2)[0])?;
    without.blocks[0].clear();
    nodes[1].reconfigure(&without)?;
    wait_until("n2's block is gone from n1 and n3", LIMIT, || {
        [0, 2].iter().all(|node| nodes[*node].route(&block(2)[0]).is_ok_and(|text| !text.contains("via")))
    })?;
    ensure!(!reaches(&hosts[0], pod(2)[0])?, "n1 still reaches n2's pod by IPv4");
    reached(&hosts[0], pod(2)[1])
}

/// A node's BIRD dies and comes back, and then lvsd does: pods are reached all the while.
fn routes_outlive_a_node_and_lvsd(lvsd: &mut Lvsd, hosts: &[Host], second: &mut Node) -> Result<()> {
    second.kill()?;
    wait_until("the routes of n2 are kept", LIMIT, || stale(lvsd).is_ok_and(|stale| stale > 0))?;
    ensure!(reaches(&hosts[0], pod(2)[0])?, "n1 lost n2's pod while n2 restarts");
    second.start_again()?;
    wait_until("n2 has told its routes again", LIMIT, || stale(lvsd).is_ok_and(|stale| stale == 0))?;
    pod(3).into_iter().try_for_each(|address| reached(&hosts[1], address))?;

    // lvsd dies and comes back: the nodes keep what they had heard, and lose none of it when it is back.
    lvsd.kill()?;
    ensure!(reaches(&hosts[0], pod(2)[0])?, "n1 lost n2's pod when lvsd died");
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("every node has heard of the others again", LIMIT, || {
        told(lvsd).is_ok_and(|told| told == [2; 6])
    })?;
    for to in [2, 3] {
        pod(to).into_iter().try_for_each(|address| reached(&hosts[0], address))?;
    }
    Ok(())
}

/// The originator is the node, the cluster ours, the next hop the node itself.
fn shows_whose_it_is_and_how_it_came(node: &Node) -> Result<()> {
    let hops = [v4(22).to_string(), v6(22).to_string()];
    for (prefix, hop) in block(2).iter().zip(hops) {
        let text = node.route(prefix)?;
        for words in [
            "BGP.originator_id: 10.64.0.22".to_owned(),
            "BGP.cluster_list: 10.64.0.200".to_owned(),
            format!("BGP.next_hop: {hop}"),
            "BGP.local_pref: 2147482623".to_owned(),
        ] {
            ensure!(text.contains(&words), "no {words:?} in\n{text}");
        }
    }
    Ok(())
}

/// No VIP, no services' addresses, nobody's own routes.
fn hears_only_pod_routes(nodes: &[Node]) -> Result<()> {
    for node in nodes {
        ensure!(node.told_by_balancer()? == 4, "a node has heard of {} routes", node.told_by_balancer()?);
    }
    for prefix in REFUSED {
        let text = nodes[1].route(prefix)?;
        ensure!(!text.contains("via"), "n2 has heard of {prefix}:\n{text}");
    }
    Ok(())
}

fn sessions(lvsd: &Lvsd) -> Result<Vec<serde_json::Value>> {
    let view = lvsd.ctl_json(&["nodes"])?;
    let nodes = view["nodes"].as_array().cloned().unwrap_or_default();
    Ok(nodes.iter().flat_map(|node| node["sessions"].as_array().cloned().unwrap_or_default()).collect())
}

fn stale(lvsd: &Lvsd) -> Result<u64> {
    Ok(sessions(lvsd)?.iter().filter_map(|session| session["stale"].as_u64()).sum())
}

/// How many routes each session's node holds of us.
fn told(lvsd: &Lvsd) -> Result<Vec<u64>> {
    Ok(sessions(lvsd)?.iter().filter_map(|session| session["told"].as_u64()).collect())
}

fn reaches(host: &Host, address: IpAddr) -> Result<bool> {
    host.enter(|| TcpStream::connect_timeout(&SocketAddr::new(address, 80), PATIENCE).is_ok())
}

/// Somebody answers at port 80 there.
fn reached(host: &Host, address: IpAddr) -> Result<()> {
    let what = format!("{} reaches {address}", host.name());
    wait_until(&what, LIMIT, || reaches(host, address).unwrap_or(false))?;
    Ok(())
}
