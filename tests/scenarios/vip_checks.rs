//! Checks that go to a server by the VIP, as a client's packet does.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::host::Host;
use lab::network::{FIRST, Lab, v4, v6};
use lab::probes::Probes;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, weight};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::reaction;
use lab::world::World;

/// A server without the VIP drops what comes for it: a timeout each time, and two are to be waited for.
const DROPPED: &str = "interval = \"200ms\"\ntimeout = \"5s\"\nfall = 2\nrise = 2";

/// Both balancers check `web` at the servers' own addresses and by the VIPs.
fn start(world: &World) -> Result<(Site, Vec<Probes>)> {
    let lab = Lab::build(world)?;
    let probes = lab.balancers.iter().map(Probes::start).collect::<Result<Vec<_>>>()?;
    let web = Service { by_vip: true, timing: DROPPED, ..Service::new("web", &FIRST) };
    let site = Site::start_with(lab, |_, asn| Configuration {
        probes: true,
        services: vec![web.clone()],
        ..Configuration::with_web(asn)
    })?;
    for server in SERVERS {
        site.expect_weight(server, WEIGHT)?;
    }
    Ok((site, probes))
}

/// Takes the first VIPs from a server's `lo`, or gives them back.
fn vips_on_lo(server: &Host, word: &str) -> Result<()> {
    for vip in FIRST {
        let length = if vip.is_ipv4() { 32 } else { 128 };
        server.run(&["ip", "addr", word, &format!("{vip}/{length}"), "dev", "lo"])?;
    }
    Ok(())
}

pub(crate) fn a_server_that_lost_the_vip_passes_direct_checks_and_leaves_by_those_to_the_vip(
    world: &World,
) -> Result<()> {
    let (site, _probes) = start(world)?;
    vips_on_lo(&site.lab.servers[0], "del")?;
    let took = site.expect_weight(SERVERS[0], 0)?;
    println!("out {took:?} after the VIPs left its lo");
    let own: [IpAddr; 2] = [v4(SERVERS[0]).into(), v6(SERVERS[0]).into()];
    for lvsd in &site.balancers {
        let why = lvsd.ctl(&["why", "rs1"])?;
        for (vip, server) in FIRST.iter().zip(own) {
            let host = if vip.is_ipv4() { vip.to_string() } else { format!("[{vip}]") };
            let check = format!("tcp {host}:80 through {server}");
            ensure!(why.contains(&check), "no {check:?} in {why}");
        }
        let direct: Vec<_> = why.lines().filter(|line| line.contains("/healthz: ")).collect();
        let is_up = |line: &&str| line.contains("/healthz: up since ");
        ensure!(direct.len() == own.len() && direct.iter().all(is_up), "a direct check fails: {why}");
    }
    // Who is served by the others notices nothing.
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;
    traffic.let_pass(200)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    ensure!(!report.totals.servers.contains_key("rs1"), "the server without the VIP answered: {report}");

    vips_on_lo(&site.lab.servers[0], "add")?;
    site.expect_weight(SERVERS[0], WEIGHT)?;
    Ok(())
}

pub(crate) fn while_the_probe_namespace_is_not_served_verdicts_stay_and_then_go_on(
    world: &World,
) -> Result<()> {
    let (site, mut probes) = start(world)?;
    probes[0].kill()?;
    let lb1 = &site.balancers[0];
    wait_until("the metric says so", LIMIT, || lb1.metric("lvsd_probes_up").is_ok_and(|up| up == 0.0))?;
    let status = || lb1.ctl(&["status"]).unwrap_or_default();
    wait_until("the status says what to do", LIMIT, || status().contains("systemctl start lvsd-probes"))
        .with_context(status)?;
    vips_on_lo(&site.lab.servers[0], "del")?;
    reaction(LIMIT, weight(&site.lab, &[1], SERVERS[0], 0), || Ok(()))?;
    let inconclusive = "lvsd_check_results_total{kind=\"tcp\",result=\"inconclusive\"}";
    let count = || lb1.metric(inconclusive).unwrap_or_default();
    let before = count();
    // Each of its checks has been tried anew several times, and none counts.
    wait_until("checks are tried and give no result", LIMIT, || count() > before + 50.0)?;
    reaction(LIMIT, weight(&site.lab, &[0], SERVERS[0], WEIGHT), || Ok(()))
        .context("a balancer that cannot look has judged all the same")?;

    probes[0].start_again()?;
    reaction(LIMIT, weight(&site.lab, &[0], SERVERS[0], 0), || Ok(()))?;
    vips_on_lo(&site.lab.servers[0], "add")?;
    site.expect_weight(SERVERS[0], WEIGHT)?;
    Ok(())
}

pub(crate) fn a_server_that_answers_arp_or_nd_for_a_vip_is_named_by_doctor(world: &World) -> Result<()> {
    let (site, _probes) = start(world)?;
    let found = || -> Result<Vec<String>> {
        let output = site.balancers[0].ctl_output(&["-o", "json", "doctor"])?;
        let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let subjects = list.iter().filter_map(|finding| finding["subject"].as_str());
        let of_probes =
            |subject: &&str| subject.contains(" on 10.64.0.") || subject.contains(" on fd00:64::");
        let odd =
            |subject: &&str| of_probes(subject) || subject.contains("links") || subject.contains("probe");
        Ok(subjects.filter(odd).map(ToOwned::to_owned).collect())
    };
    // Whoever is held up for too long to answer is not seen by one look.
    let expect = |wanted: &[&str]| {
        let has = || found().is_ok_and(|found| found == wanted);
        wait_until(&format!("doctor names {wanted:?}"), LIMIT, has)
            .map(drop)
            .with_context(|| format!("{:?}", found()))
    };
    expect(&[])?;
    // The other balancer goes on answering for its VIPs, as it may.
    let server = &site.lab.servers[1];
    server.sysctl(&[("net.ipv4.conf.all.arp_ignore", "0")])?;
    expect(&["VIP 192.0.2.10 on 10.64.0.12"])?;
    server.run(&["ip", "addr", "add", "2001:db8::10/128", "dev", "eth0", "nodad"])?;
    expect(&["VIP 192.0.2.10 on 10.64.0.12", "VIP 2001:db8::10 on fd00:64::12"])?;
    server.sysctl(&[("net.ipv4.conf.all.arp_ignore", "1")])?;
    server.run(&["ip", "addr", "del", "2001:db8::10/128", "dev", "eth0"])?;
    expect(&[])
}
