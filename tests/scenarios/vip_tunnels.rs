//! Checks by VIP of servers that are reached by tunnels: wrapped as IPVS wraps what clients send. The lab's kernel is built
//! without GUE for devices (CONFIG_NET_FOU_IP_TUNNELS), which its service is to be told of.

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
const MODULES: [&str; 4] = ["ipip", "ip_gre", "ip6_tunnel", "ip6_gre"];

/// The addresses of the service in GUE.
const THIRD: [&str; 2] = ["192.0.2.12", "2001:db8::12"];

/// One service for each encapsulation, checked by VIP only; that in IPIP through IPVS as well.
fn services() -> String {
    let check = |path: &str| {
        format!("{{ type = \"tcp\", path = \"{path}\", interval = \"200ms\", timeout = \"2s\", fall = 2 }}")
    };
    let (by_vip, by_both) = (check("vip"), check("vip") + ", " + &check("ipvs"));
    let service = |name: &str, vips: [String; 2], tunnel: &str, checks: &str| {
        format!(
            "\n[service.{name}]\nvips = {vips:?}\nport = 80\ndepool_threshold = 0.0\nforwarding = \"tunnel\"\ntunnel = {tunnel}\n\
             backends = [{{ host = \"rs1\", addresses = [\"10.64.0.11\", \"fd00:64::11\"] }}]\n\
             checks = [{checks}]\n"
        )
    };
    let words = |vips: [IpAddr; 2]| vips.map(|vip| vip.to_string());
    service("ipip", words(FIRST), "{ type = \"ipip\" }", &by_both)
        + &service("gre", words(SECOND), "{ type = \"gre\" }", &by_vip)
        + &service("gue", THIRD.map(ToOwned::to_owned), "{ type = \"gue\", port = 5555 }", &by_vip)
}

/// Lets a server unwrap what is not in GUE, in both families.
fn unwrap_on(server: &Host) -> Result<()> {
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

pub(crate) fn checks_by_vip_go_through_tunnels_in_both_families(world: &World) -> Result<()> {
    world.load(&MODULES)?;
    let lab = Lab::build(world)?;
    let (balancer, server) = (&lab.balancers[0], &lab.servers[0]);
    unwrap_on(server)?;
    let mut running = lab.start_servers()?;
    let _probes = Probes::start(balancer)?;
    balancer.sysctl(&[("net.ipv4.conf.eth0.accept_local", "1")])?;
    let configuration = Configuration {
        routers: Routers::None,
        probes: true,
        services: Vec::new(),
        ..Configuration::with_web(64600)
    };
    let mut lvsd = Lvsd::start_with(balancer, &(configuration.render(balancer) + &services()))?;
    lvsd.wait_ready(LIMIT)?;
    let vips: Vec<String> = FIRST.into_iter().chain(SECOND).map(|vip| vip.to_string()).collect();
    for vip in &vips {
        expect_weight(balancer, vip, 1)?;
    }
    let status = lvsd.ctl(&["status"])?;
    for server in ["10.64.0.11", "fd00:64::11"] {
        let told = format!("checks by VIP through {server} in gue 5555 give no result: a tunnel to");
        ensure!(status.contains(&told), "no {told:?} in {status}");
    }
    ensure!(lvsd.metric("lvsd_probes_refused_servers")? == 2.0, "{status}");

    // What no longer unwraps no longer serves, whatever its own address answers.
    server.run(&["ip", "link", "set", "tunl0", "down"])?;
    expect_weight(balancer, "192.0.2.10", 0)?;
    for vip in ["192.0.2.11", "2001:db8::10", "2001:db8::11"] {
        expect_weight(balancer, vip, 1)?;
    }
    server.run(&["ip", "link", "set", "tunl0", "up"])?;
    for vip in &vips {
        expect_weight(balancer, vip, 1)?;
    }
    running[0].kill()
}
