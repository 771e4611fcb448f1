//! The kernel's table is shared with others, and others make mistakes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use lab::configuration::Configuration;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4};
use lab::site::{BALANCERS, LIMIT, SERVERS, Site, WEIGHT, web};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// A service that is not lvsd's.
const FOREIGN: &str = "203.0.113.9:8080";

/// lvsctl diff's exit status when the kernel is not as it should be.
const DIFFERS: i32 = 9;

pub(crate) fn what_was_changed_by_hand_is_repaired_and_foreign_services_are_left_alone(
    world: &World,
) -> Result<()> {
    let mut site = Site::start(world)?;
    let host = site.lab.balancers[0].clone();
    let service = web(&FIRST)[0];
    let ours = service.to_string();
    let whole = SERVERS.map(|last| (IpAddr::V4(v4(last)), WEIGHT)).into();
    let is_whole = || table::weights(&host, service).is_ok_and(|weights| weights == whole);
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    traffic.phase("changes by hand");

    // All services gone; then with a foreign one beside them one destination gone, another's weight changed; then one
    // whole service gone.
    host.run(&["ipvsadm", "-C"])?;
    wait_until("the table is repaired", LIMIT, is_whole)?;
    host.run(&["ipvsadm", "-A", "-t", FOREIGN, "-s", "rr"])?;
    host.run(&["ipvsadm", "-a", "-t", FOREIGN, "-r", "10.64.0.13:8080", "-g", "-w", "7"])?;
    host.run(&["ipvsadm", "-d", "-t", &ours, "-r", "10.64.0.11:80"])?;
    host.run(&["ipvsadm", "-e", "-t", &ours, "-r", "10.64.0.12:80", "-g", "-w", "3"])?;
    wait_until("destinations are repaired", LIMIT, is_whole)?;
    host.run(&["ipvsadm", "-D", "-t", &ours])?;
    wait_until("the service is repaired", LIMIT, is_whole)?;
    let counted = || site.balancers[0].metric("lvsd_ipvs_repairs_total").is_ok_and(|repairs| repairs > 0.0);
    wait_until("the repairs are counted", LIMIT, counted)?;
    traffic.let_those_under_way_end()?;
    traffic.phase("repaired");
    traffic.let_pass(200)?;

    foreign_service_is_left_alone(&mut site)?;
    ensure!(is_whole(), "the table is not whole after a restart: {:?}", table::read(&host)?);
    expect_none_failed(traffic, "repaired")
}

/// Over a resync, reloads, a stop, a start, and a start after a kill.
fn foreign_service_is_left_alone(site: &mut Site) -> Result<()> {
    let host = site.lab.balancers[0].clone();
    let foreign = |after: &str| -> Result<()> {
        let weights = table::weights(&host, FOREIGN.parse::<SocketAddr>()?)?;
        ensure!(
            weights == [(IpAddr::V4(v4(13)), 7)].into(),
            "the foreign service was changed by {after}: {weights:?}"
        );
        Ok(())
    };
    let lvsd = &mut site.balancers[0];
    foreign("repairs")?;
    lvsd.ctl(&["resync"])?;
    foreign("a resync")?;
    for configuration in
        [Configuration::with_web(BALANCERS[0]).and_second(), Configuration::with_web(BALANCERS[0])]
    {
        lvsd.configure(&configuration)?;
        lvsd.ctl(&["reload"])?;
        let services = configuration.services.len() * FIRST.len() + 1;
        wait_until("the reload is in the kernel", LIMIT, || {
            table::read(&host).is_ok_and(|t| t.len() == services)
        })?;
        foreign("a reload")?;
    }
    let counted = || lvsd.metric("lvsd_ipvs_foreign_services").is_ok_and(|count| count == 1.0);
    wait_until("the foreign service is counted", LIMIT, counted)?;
    lvsd.stop(LIMIT)?;
    foreign("a stop")?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    foreign("a start")?;
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    foreign("a start after a kill")
}

/// The kernel is not read by itself here: what is repaired was repaired because somebody asked.
pub(crate) fn what_was_changed_by_hand_is_named_by_diff_and_repaired_by_resync(world: &World) -> Result<()> {
    let site = Site::start_with(Lab::build(world)?, |_, asn| Configuration {
        resync_interval: "1h",
        ..Configuration::with_web(asn)
    })?;
    site.expect_all_servers()?;
    let lvsd = &site.balancers[0];
    let host = lvsd.host();
    let before = table::whole(host)?;
    let ours = web(&FIRST)[0].to_string();
    let (gone, other) = ("10.64.0.11", "10.64.0.12");
    let of = |flag: &str, rest: &[&str]| -> Vec<String> {
        [&["ipvsadm", flag, "-t", &ours], rest].concat().iter().map(|word| (*word).to_owned()).collect()
    };
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    expect_diff(lvsd, 0, "")?;
    for (command, named) in [
        (of("-e", &["-r", &format!("{other}:80"), "-g", "-w", "3"]), other),
        (of("-d", &["-r", &format!("{gone}:80")]), gone),
        (of("-D", &[]), ours.as_str()),
        (vec!["ipvsadm".to_owned(), "-C".to_owned()], ours.as_str()),
    ] {
        traffic.phase("changed by hand");
        host.run(&command.iter().map(String::as_str).collect::<Vec<_>>())?;
        expect_diff(lvsd, DIFFERS, named)?;
        lvsd.ctl(&["resync"])?;
        let after = table::whole(host)?;
        ensure!(after == before, "{command:?} is not repaired when resync has ended: {after:?}");
        expect_diff(lvsd, 0, "")?;
        traffic.let_those_under_way_end()?;
        traffic.phase("repaired");
        traffic.let_pass(100)?;
    }
    expect_none_failed(traffic, "repaired")
}

fn expect_diff(lvsd: &Lvsd, status: i32, named: &str) -> Result<()> {
    let output = lvsd.ctl_output(&["diff"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(status), "lvsctl diff: {}, not {status}: {said}", output.status);
    ensure!(said.contains(named), "lvsctl diff does not name {named}: {said}");
    Ok(())
}

/// In every phase of that name.
fn expect_none_failed(traffic: Traffic, name: &str) -> Result<()> {
    let report = traffic.stop()?;
    let mut phases = report.phases.iter().filter(|phase| phase.name == name);
    ensure!(phases.all(|phase| phase.totals.failed == 0), "requests failed while {name}: {report}");
    Ok(())
}
