//! Servers that are reached by tunnels: what clients send is wrapped by IPVS, and checks by VIP and through IPVS go the
//! same way. The lab's kernel is built without GUE for devices (CONFIG_NET_FOU_IP_TUNNELS): checks by VIP cannot be wrapped
//! in it, which a service is to be told of. IPVS itself wraps in GUE, and a server unwraps it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, give, v4, v6};
use lab::probes::Probes;
use lab::site::LIMIT;
use lab::table::weights;
use lab::wait::wait_until;
use lab::world::World;

/// What unwraps on a server, and what wraps on a balancer.
const MODULES: [&str; 6] = ["ipip", "ip_gre", "ip6_tunnel", "ip6_gre", "fou", "fou6"];

/// The addresses of the service in GUE whose checks go through IPVS.
const THIRD: [&str; 2] = ["192.0.2.12", "2001:db8::12"];

/// The addresses of the one whose checks go by VIP.
const FOURTH: [&str; 2] = ["192.0.2.13", "2001:db8::13"];

/// The port of GUE.
const GUE: &str = "5555";

/// One service for each encapsulation, checked by VIP and through IPVS where there are devices for it.
fn services() -> String {
    let check = |path: &str| {
        format!("{{ type = \"tcp\", path = \"{path}\", interval = \"1s\", timeout = \"5s\", fall = 2 }}")
    };
    let (by_vip, by_ipvs) = (check("vip"), check("ipvs"));
    let by_both = format!("{by_vip}, {by_ipvs}");
    let service = |name: &str, vips: [String; 2], tunnel: &str, checks: &str| {
        format!(
            "\n[service.{name}]\nvips = {vips:?}\nport = 80\ndepool_threshold = 0.0\nforwarding = \"tunnel\"\ntunnel = {tunnel}\n\
             backends = [{{ host = \"rs1\", addresses = [\"10.64.0.11\", \"fd00:64::11\"] }}]\n\
             checks = [{checks}]\n"
        )
    };
    let words = |vips: [IpAddr; 2]| vips.map(|vip| vip.to_string());
    let gue = format!("{{ type = \"gue\", port = {GUE} }}");
    service("ipip", words(FIRST), "{ type = \"ipip\" }", &by_both)
        + &service("gre", words(SECOND), "{ type = \"gre\" }", &by_both)
        + &service("gue", THIRD.map(ToOwned::to_owned), &gue, &by_ipvs)
        + &service("gue-by-vip", FOURTH.map(ToOwned::to_owned), &gue, &by_vip)
}

/// Lets a server unwrap everything in both families, from the balancer and from its probe namespace.
fn unwrap_on(server: &Host) -> Result<()> {
    for device in ["tunl0", "gre0", "ip6tnl0"] {
        server.run(&["ip", "link", "set", device, "up"])?;
    }
    // Without a device of its own for each end nothing takes GRE over IPv6.
    for (name, far) in [("gre6-ipvs", v6(1)), ("gre6-probes", v6(201))] {
        let (own, far) = (v6(11).to_string(), far.to_string());
        let ends = ["local", &own, "remote", &far];
        server.run(&[&["ip", "link", "add", name, "type", "ip6gre"][..], &ends[..]].concat())?;
        server.run(&["ip", "link", "set", name, "up"])?;
    }
    for family in ["-4", "-6"] {
        server.run(&["ip", family, "fou", "add", "port", GUE, "gue"])?;
    }
    THIRD.iter().try_for_each(|vip| give(server, vip.parse()?))?;
    server.sysctl(&[("net.ipv4.conf.tunl0.rp_filter", "0"), ("net.ipv4.conf.gre0.rp_filter", "0")])
}

/// Has the routers send what is for these to the balancer, as its announcements would.
fn route_to_balancer(lab: &Lab, vips: &[String]) -> Result<()> {
    for (router, vip) in lab.routers.iter().flat_map(|router| vips.iter().map(move |vip| (router, vip))) {
        let is_v4 = !vip.contains(':');
        let via = if is_v4 { v4(1).to_string() } else { v6(1).to_string() };
        let family = if is_v4 { "-4" } else { "-6" };
        router.run(&["ip", family, "route", "add", vip, "via", &via])?;
    }
    Ok(())
}

/// A client's request, through IPVS and a tunnel; the server answers past the balancer.
fn ask(lab: &Lab, vip: &str) -> Result<()> {
    let url = if vip.contains(':') { format!("http://[{vip}]/") } else { format!("http://{vip}/") };
    let said =
        lab.client.run(&["curl", "--silent", "--show-error", "--globoff", "--max-time", "60", &url])?;
    ensure!(said == "rs1\n", "{url} is answered by {said:?}");
    Ok(())
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

pub(crate) fn clients_and_checks_go_through_the_same_tunnels_in_both_families(world: &World) -> Result<()> {
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
    let vips = FIRST.into_iter().chain(SECOND).map(|vip| vip.to_string());
    let vips: Vec<String> = vips.chain(THIRD.map(ToOwned::to_owned)).collect();
    for vip in &vips {
        expect_weight(balancer, vip, 1)?;
    }
    route_to_balancer(&lab, &vips)?;
    vips.iter().try_for_each(|vip| ask(&lab, vip))?;
    let status = || lvsd.ctl(&["status"]).unwrap_or_default();
    for server in ["10.64.0.11", "fd00:64::11"] {
        let told = format!("checks by VIP through {server} in gue 5555 give no result: a tunnel to");
        wait_until(&told, LIMIT, || status().contains(&told)).with_context(status)?;
    }
    let refused = || lvsd.metric("lvsd_probes_refused_servers").is_ok_and(|refused| refused == 2.0);
    wait_until("both are counted", LIMIT, refused).with_context(status)?;

    what_no_longer_unwraps_no_longer_serves(&lab, &vips)?;
    running[0].kill()
}

/// Whatever its own address answers. Without `tunl0` it is IP in IP over IPv4, and GUE, which has that inside.
fn what_no_longer_unwraps_no_longer_serves(lab: &Lab, vips: &[String]) -> Result<()> {
    let (balancer, server) = (&lab.balancers[0], &lab.servers[0]);
    for (device, gone) in [("tunl0", &["192.0.2.10", "192.0.2.12"][..]), ("gre0", &["192.0.2.11"][..])] {
        server.run(&["ip", "link", "set", device, "down"])?;
        for vip in vips {
            expect_weight(balancer, vip, if gone.contains(&vip.as_str()) { 0 } else { 1 })?;
        }
        server.run(&["ip", "link", "set", device, "up"])?;
        vips.iter().try_for_each(|vip| expect_weight(balancer, vip, 1))?;
    }
    vips.iter().try_for_each(|vip| ask(lab, vip))
}
