//! On which link of the balancers the servers are.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::network::{FIRST, Lab, far};
use lab::own_time::Stopwatch;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT};
use lab::table::weights;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// Three failures, one every 10 s: the second interval after the first of them alone is longer than
/// [`SOONER`] leaves.
const SLOW: &str = "interval = \"10s\"\ntimeout = \"1s\"\nfall = 3\nrise = 1";

/// Without a word from the neighbour table it takes at least two intervals, less the jitter, and a timeout: 20 s.
/// With it, half of that and the time until the neighbour table knows.
const SOONER: Duration = Duration::from_secs(18);

/// What lvsd logs of a backend that leaves its pool.
const DOWN: &str = "down (was pooled)";

/// `web` with rs3 in the second segment.
fn with_far_server(asn: u32) -> Configuration {
    let mut web = Service::new("web", &FIRST);
    web.servers[2].1 = far(SERVERS[2]);
    // What is seen is seen at once, not when the kernel is read again.
    Configuration { services: vec![web], resync_interval: "10m", ..Configuration::with_web(asn) }
}

/// Waits until rs3 has this weight on both balancers in both families.
fn expect_far_weight(site: &Site, wanted: u32) -> Result<()> {
    for host in &site.lab.balancers {
        for (vip, server) in FIRST.into_iter().zip(far(SERVERS[2])) {
            let has = || {
                let weights = weights(host, SocketAddr::new(vip, 80)).unwrap_or_default();
                weights.get(&server) == Some(&wanted)
            };
            wait_until(&format!("weight {wanted} of {server} on {}", host.name()), LIMIT, has)?;
        }
    }
    Ok(())
}

pub(crate) fn a_server_on_a_second_link_of_the_balancers_serves_like_the_others(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    lab.move_last_server_away()?;
    lab.give_balancers_a_far_leg()?;
    let site = Site::start_with(lab, |_, asn| with_far_server(asn))?;
    expect_far_weight(&site, WEIGHT)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(600)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    for server in ["rs1", "rs2", "rs3"] {
        let answers = report.totals.servers.get(server).copied().unwrap_or_default();
        ensure!(answers > 50, "{server} answered {answers} of 600 requests: {report}");
    }
    for lvsd in &site.balancers {
        for (server, interface) in [("rs1", "eth0"), ("rs3", "eth1")] {
            let why = || lvsd.ctl(&["why", server]).unwrap_or_default();
            let way = format!("straight out of {interface}");
            wait_until(&format!("why {server}: {way}"), LIMIT, || why().contains(&way)).with_context(why)?;
        }
    }
    Ok(())
}

/// Its checks pass, by way of the router, and yet no client's packet would ever reach it.
pub(crate) fn a_server_behind_a_router_is_not_pooled_until_the_balancers_have_a_leg_there(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    lab.move_last_server_away()?;
    let site = Site::start_with(lab, |_, asn| with_far_server(asn))?;
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;
    for lvsd in &site.balancers {
        let is_up = || {
            let why = lvsd.ctl_json(&["why", "rs3"]).unwrap_or_default();
            let backends = why["services"][0]["backends"].as_array().cloned().unwrap_or_default();
            backends.len() == 2 && backends.iter().all(|b| b["health"] == "up" && b["standing"] == "off-link")
        };
        wait_until("rs3 is up and off the link", LIMIT, is_up)?;
        let why = lvsd.ctl(&["why", "rs3"])?;
        ensure!(why.contains("by the gateway 10.64.0.25") && why.contains("on eth0"), "{why}");
        for (server, on_link) in [("rs1", 1.0), ("rs3", 0.0)] {
            let series =
                format!("lvsd_backend_on_link{{backend=\"{server}\",family=\"ipv6\",service=\"web\"}}");
            let is_said = || lvsd.metric(&series).is_ok_and(|is| is == on_link);
            wait_until(&format!("{series} is {on_link}"), LIMIT, is_said)?;
        }
    }
    expect_far_weight(&site, 0)?;
    traffic.let_pass(300)?;
    traffic.phase("with a leg");
    site.lab.give_balancers_a_far_leg()?;
    expect_far_weight(&site, WEIGHT)?;
    traffic.let_pass(300)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    let answers =
        |name| report.phase(name).and_then(|p| p.totals.servers.get("rs3").copied()).unwrap_or_default();
    ensure!(answers("start") == 0 && answers("with a leg") > 30, "rs3's answers: {report}");
    Ok(())
}

/// Nothing refuses a connection there; only ARP and ND go unanswered.
pub(crate) fn an_unplugged_server_is_found_sooner_than_its_checks_would_come(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    for balancer in &lab.balancers {
        // As quick for a scenario as the kernel's defaults (30 s, 5 s, 1 s) are for checks that run for weeks.
        for family in ["ipv4", "ipv6"] {
            let set = |key: &str, value| {
                balancer.sysctl(&[(format!("net.{family}.neigh.eth0.{key}").as_str(), value)])
            };
            set("base_reachable_time_ms", "1000")?;
            set("delay_first_probe_time", "1")?;
            set("retrans_time_ms", "250")?;
        }
    }
    let slow = Service { timing: SLOW, ..Service::new("web", &FIRST) };
    let site = Site::start_with(lab, |_, asn| Configuration {
        services: vec![slow.clone()],
        ..Configuration::with_web(asn)
    })?;
    site.expect_weight(SERVERS[0], WEIGHT)?;
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;
    traffic.let_pass(300)?;
    site.lab.unplug(&site.lab.servers[0])?;
    let watch = Stopwatch::start();
    site.expect_weight(SERVERS[0], 0)?;
    let took = watch.elapsed();
    println!("unplugged and out after {took:?}");
    ensure!(took < SOONER, "the unplugged server kept its weight for {took:?}");
    for host in &site.lab.balancers {
        let place = |what: &str| {
            let log = fs::read_to_string(host.log("lvsd")).unwrap_or_default();
            log.lines().position(|line| line.contains("10.64.0.11") && line.contains(what))
        };
        // The kernel is told first, and the log after it.
        wait_until(&format!("{} logs the server's end", host.name()), LIMIT, || place(DOWN).is_some())?;
        let (asked, down) = (place("its checks look again at once"), place(DOWN));
        ensure!(asked.is_some() && asked < down, "asked in line {asked:?}, down in line {down:?} of its log");
    }
    traffic.stop().map(drop)
}
