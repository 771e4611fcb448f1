//! Checks by VIP of servers that are reached by tunnels: wrapped as IPVS wraps what clients send.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND};
use lab::probes::Probes;
use lab::site::LIMIT;
use lab::table::weights;
use lab::wait::wait_until;
use lab::world::World;

/// What unwraps on a server, and what wraps on a balancer.
const MODULES: [&str; 6] = ["ipip", "ip_gre", "ip6_tunnel", "ip6_gre", "fou", "fou6"];

/// The addresses of the service in GUE.
const THIRD: [&str; 2] = ["192.0.2.12", "2001:db8::12"];

/// One service for each encapsulation, checked by VIP only.
fn services() -> String {
    let service = |name: &str, vips: [String; 2], tunnel: &str| {
        format!(
            "\n[service.{name}]\nvips = {vips:?}\nport = 80\nforwarding = \"tunnel\"\ntunnel = {tunnel}\n\
             backends = [{{ host = \"rs1\", addresses = [\"10.64.0.11\", \"fd00:64::11\"] }}]\n\
             checks = [{{ type = \"tcp\", path = \"vip\", interval = \"200ms\", timeout = \"2s\", fall = 2 }}]\n"
        )
    };
    let words = |vips: [IpAddr; 2]| vips.map(|vip| vip.to_string());
    service("ipip", words(FIRST), "{ type = \"ipip\" }")
        + &service("gre", words(SECOND), "{ type = \"gre\" }")
        + &service("gue", THIRD.map(ToOwned::to_owned), "{ type = \"gue\", port = 5555 }")
}

/// Lets a server unwrap all three in both families.
fn unwrap_on(server: &Host) -> Result<()> {
    for vip in THIRD {
        let length = if vip.contains('.') { 32 } else { 128 };
        server.run(&["ip", "addr", "add", &format!("{vip}/{length}"), "dev", "lo"])?;
    }
    server.run(&["ip", "fou", "add", "port", "5555", "gue"])?;
    server.run(&["ip", "-6", "fou", "add", "port", "5555", "gue"])?;
    for device in ["tunl0", "gre0", "ip6tnl0"] {
        server.run(&["ip", "link", "set", device, "up"])?;
    }
    // Without a device of its own for the balancer nothing takes GRE over IPv6.
    let far = ["local", "fd00:64::11", "remote", "fd00:64::201"];
    server.run(&[&["ip", "link", "add", "gre6", "type", "ip6gre"][..], &far[..]].concat())?;
    server.run(&["ip", "link", "set", "gre6", "up"])?;
    server.sysctl(&[("net.ipv4.conf.tunl0.rp_filter", "0"), ("net.ipv4.conf.gre0.rp_filter", "0")])
}

fn expect_weight(balancer: &Host, vip: &str, wanted: u32) -> Result<()> {
    let vip: IpAddr = vip.parse()?;
    let server: IpAddr = if vip.is_ipv4() { "10.64.0.11" } else { "fd00:64::11" }.parse()?;
    let has = || {
        let weights = weights(balancer, SocketAddr::new(vip, 80)).unwrap_or_default();
        weights.get(&server).copied().unwrap_or_default() == wanted
    };
    wait_until(&format!("weight {wanted} of {server} for {vip}"), LIMIT, has).map(drop)
}

pub(crate) fn checks_by_vip_go_through_tunnels_of_every_kind_in_both_families(world: &World) -> Result<()> {
    world.load(&MODULES)?;
    let lab = Lab::build(world)?;
    let (balancer, server) = (&lab.balancers[0], &lab.servers[0]);
    unwrap_on(server)?;
    let mut running = lab.start_servers()?;
    let _probes = Probes::start(balancer)?;
    let configuration = Configuration {
        routers: Routers::None,
        probes: true,
        services: Vec::new(),
        ..Configuration::with_web(64600)
    };
    let mut lvsd = Lvsd::start_with(balancer, &(configuration.render(balancer) + &services()))?;
    lvsd.wait_ready(LIMIT)?;
    let vips = [FIRST, SECOND].concat().iter().map(IpAddr::to_string).chain(THIRD.map(ToOwned::to_owned));
    let vips: Vec<String> = vips.collect();
    for vip in &vips {
        expect_weight(balancer, vip, 1)?;
    }
    let why = lvsd.ctl(&["status"])?;
    ensure!(!why.contains("no result"), "{why}");

    // What no longer unwraps no longer serves, whatever its own address answers.
    server.run(&["ip", "link", "set", "tunl0", "down"])?;
    for vip in ["192.0.2.10", "192.0.2.12"] {
        expect_weight(balancer, vip, 0)?;
    }
    for vip in ["192.0.2.11", "2001:db8::10", "2001:db8::11", "2001:db8::12"] {
        expect_weight(balancer, vip, 1)?;
    }
    server.run(&["ip", "link", "set", "tunl0", "up"])?;
    for vip in &vips {
        expect_weight(balancer, vip, 1)?;
    }
    running[0].kill()
}
