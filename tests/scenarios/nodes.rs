//! The pod routes of a cluster's nodes, which run the BIRD that Calico runs.

use std::fs;

use anyhow::{Result, ensure};
use lab::calico::{Node, Settings};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, give, take, v4, v6};
use lab::nginx::Nginx;
use lab::wait::wait_until;
use lab::world::World;

use crate::cluster::{
    BALANCER_ASN, LIMIT, REFUSED, block, established, expect_way, hosts, last, pod, reached, refused, stale,
    start, taken, view,
};

/// Nodes are n1 to n4: two in Calico's own AS, one in another, one in the balancer's.
const ASNS: [u32; 4] = [64512, 64512, 64513, BALANCER_ASN];

/// An address of n1's block that a pod of n2 has borrowed.
const BORROWED: &str = "10.67.1.60";

fn settings(node: u16) -> Settings {
    crate::cluster::settings(node, ASNS[usize::from(node) - 1])
}

/// The cluster as kubectl prints it; `owner` has the first block.
fn cluster(owner: &str) -> String {
    let mut items = vec![
        r#"{"kind":"IPPool","metadata":{"name":"v4"},"spec":{"cidr":"10.67.0.0/16","blockSize":26}}"#.to_owned(),
        r#"{"kind":"IPPool","metadata":{"name":"v6"},"spec":{"cidr":"fd00:67::/64","blockSize":122}}"#.to_owned(),
        r#"{"kind":"BGPConfiguration","metadata":{"name":"default"},"spec":{"serviceClusterIPs":[{"cidr":"10.96.0.0/12"}]}}"#.to_owned(),
    ];
    for node in 1..=4_u16 {
        let (v4, v6, asn) = (v4(last(node)), v6(last(node)), ASNS[usize::from(node) - 1]);
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
    let hosts = hosts(&lab, world, 4)?;
    give(&hosts[1], BORROWED.parse()?)?;
    let mut nodes = start(&hosts, settings)?;
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
    wait_until("both sessions with n1 have ended, and its routes are kept", LIMIT, || {
        established(&lvsd).is_ok_and(|sessions| sessions == 6) && stale(&lvsd).is_ok_and(|stale| stale > 0)
    })?;
    expect_way(balancer, &block(1)[0], 21)?;
    reached(balancer, pod(1)[0])?;
    nodes[0].start_again()?;
    wait_until("n1 has told its routes again", LIMIT, || {
        stale(&lvsd).is_ok_and(|stale| stale == 0)
            && established(&lvsd).is_ok_and(|sessions| sessions == 8)
            && taken(&lvsd).is_ok_and(|taken| taken == 9)
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
            expect_way(lvsd.host(), &block(node)[0], last(node)).is_ok()
        })?;
    }
    // What is refused may come in an UPDATE of its own, after all that is taken.
    for (prefix, why) in REFUSED.iter().zip(["services' addresses", "our own VIP 192.0.2.10"]) {
        refused(lvsd, prefix, why)?;
    }
    let told = || view(lvsd).is_ok_and(|view| view["alarms"].to_string().contains("offers 192.0.2.10/32"));
    wait_until("the VIP that is offered is an alarm", LIMIT, told)?;
    let counted = || lvsd.metric("lvsd_nodes_alarms").is_ok_and(|alarms| alarms > 0.0);
    wait_until("the alarm is on /metrics", LIMIT, counted)?;
    for node in nodes {
        ensure!(node.told_by_peer()? == 0, "the balancer has told a node of routes");
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

fn health(lvsd: &Lvsd) -> Result<String> {
    let status = lvsd.ctl_json(&["status", "pods"])?;
    Ok(status["services"][0]["pools"][0]["backends"][0]["health"].as_str().unwrap_or_default().to_owned())
}
