//! Nodes without a mesh: they know of one another's pods by what a route reflector passes on, lvsd or a node of theirs.

use anyhow::{Result, ensure};
use lab::calico::{Node, Settings};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, take, v4, v6};
use lab::nginx::Nginx;
use lab::wait::wait_until;
use lab::world::World;

use crate::cluster::{
    BALANCER_ASN as ASN, LIMIT, REFUSED, block, established, expect_way, hosts, last, named, pod, reached,
    reaches, refused, sessions, stale, start, view,
};

const NODES: u16 = 3;

/// A reflector and its clients are in the same AS.
fn settings(node: u16) -> Settings {
    Settings { is_client: true, ..crate::cluster::settings(node, ASN) }
}

fn configuration(host: &Host) -> String {
    let nodes: Vec<String> = (1..=NODES).map(|node| named(node, "")).collect();
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
    let hosts = hosts(&lab, world, NODES)?;
    let mut nodes = start(&hosts, settings)?;
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
    wait_until("the routes of n2 are kept", LIMIT, || stale(lvsd).is_ok_and(|stale| stale == 2))?;
    // Nobody tells them now: whoever reaches a pod has kept the way.
    pod(2).into_iter().try_for_each(|address| reached(&hosts[0], address))?;
    second.start_again()?;
    wait_until("n2 has told its routes again", LIMIT, || stale(lvsd).is_ok_and(|stale| stale == 0))?;
    pod(3).into_iter().try_for_each(|address| reached(&hosts[1], address))?;

    // lvsd dies and comes back: the nodes keep what they had heard, and lose none of it when it is back.
    lvsd.kill()?;
    pod(2).into_iter().try_for_each(|address| reached(&hosts[0], address))?;
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
        ensure!(node.told_by_peer()? == 4, "a node has heard of {} routes", node.told_by_peer()?);
    }
    for prefix in REFUSED {
        let text = nodes[1].route(prefix)?;
        ensure!(!text.contains("via"), "n2 has heard of {prefix}:\n{text}");
    }
    Ok(())
}

/// How many routes each session's node holds of us.
fn told(lvsd: &Lvsd) -> Result<Vec<u64>> {
    Ok(sessions(&view(lvsd)?).iter().filter_map(|session| session["told"].as_u64()).collect())
}

/// lvsd is one more client of n1, whose clients n2 and n3 are; `more`: what else is said of n1.
fn client_configuration(host: &Host, more: &str) -> String {
    let nodes = [named(1, more), named(2, ""), named(3, "")].join(", ");
    Configuration::with_web(ASN).render(host)
        + &format!(
            "\n[nodes]\nmode = \"static\"\nasn = {ASN}\nhold_time = \"30s\"\nlocal_ipv4 = \"{}\"\nlocal_ipv6 = \"{}\"\n\
             node = [{nodes}]\npool = [{{ cidr = \"10.67.0.0/16\" }}, {{ cidr = \"fd00:67::/64\" }}]\n",
            v4(1),
            v6(1)
        )
}

/// n1 is the nodes' reflector; n2 and n3 know nobody else.
fn with_own_reflector(node: u16) -> Settings {
    let plain = crate::cluster::settings(node, ASN);
    match node {
        1 => Settings { clients: vec![last(2), last(3)], services: Default::default(), ..plain },
        _ => Settings { peer: last(1), is_client: true, ..plain },
    }
}

pub(crate) fn pods_behind_a_node_that_reflects_are_reached_once_it_is_known_to(world: &World) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let hosts = hosts(&lab, world, NODES)?;
    let nodes = start(&hosts, with_own_reflector)?;
    let _servers = hosts.iter().map(Nginx::start).collect::<Result<Vec<_>>>()?;
    let balancer = &lab.balancers[0];
    let mut lvsd = Lvsd::start_with(balancer, &client_configuration(balancer, ""))?;
    lvsd.wait_ready(LIMIT)?;

    // Whoever is no reflector may speak for itself alone.
    for node in [2, 3] {
        for block in block(node) {
            refused(&lvsd, &block, "is not the node")?;
        }
    }
    wait_until("n1's own block is taken", LIMIT, || expect_way(balancer, &block(1)[0], last(1)).is_ok())?;
    ensure!(
        expect_way(balancer, &block(2)[0], last(2)).is_err(),
        "a route that was refused is in the kernel"
    );

    lvsd.configure_with(&client_configuration(balancer, ", reflector = true"))?;
    lvsd.ctl(&["reload"])?;
    for node in 1..=NODES {
        let is_there = || expect_way(balancer, &block(node)[0], last(node)).is_ok();
        wait_until(&format!("the kernel has n{node}'s block"), LIMIT, is_there)?;
        pod(node).into_iter().try_for_each(|address| reached(balancer, address))?;
    }
    ensure!(established(&lvsd)? == 2, "sessions with others than n1: {}", view(&lvsd)?);
    ensure!(nodes[0].told_by_peer()? == 0, "the balancer has told n1 of routes");

    // What n2 tells n1 no more is gone here as well.
    take(&hosts[1], pod(2)[0])?;
    let mut without = with_own_reflector(2);
    without.blocks[0].clear();
    nodes[1].reconfigure(&without)?;
    wait_until("n2's block is gone", LIMIT, || expect_way(balancer, &block(2)[0], last(2)).is_err())?;
    reached(balancer, pod(3)[0])
}
