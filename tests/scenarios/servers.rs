//! Real servers that fail and return.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::network::FIRST;
use lab::own_time::Stopwatch;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, both};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// Two failed checks 200 ms apart decide; the rest is margin for a slow machine, and a third of the hold time, after which
/// routers and balancers miss one another anyway. What stands still is not counted.
const SOON: Duration = Duration::from_secs(10);

/// nginx is killed on one server: only what was on its way there may fail.
pub(crate) fn a_server_that_dies_gets_no_more_requests_until_it_returns(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;

    traffic.phase("dying");
    site.servers[0].kill()?;
    let watch = Stopwatch::start();
    site.expect_weight(SERVERS[0], 0)?;
    let took = watch.elapsed();
    ensure!(took < SOON, "the dead server kept its weight for {took:?}");
    traffic.let_those_under_way_end()?;
    traffic.phase("dead");
    traffic.let_pass(300)?;

    traffic.phase("returning");
    site.servers[0].start_again()?;
    site.expect_weight(SERVERS[0], WEIGHT)?;
    traffic.phase("back");
    traffic.let_pass(300)?;

    let report = traffic.stop()?;
    for name in ["start", "dead", "returning", "back"] {
        let totals = &report.phase(name).context("a phase is missing")?.totals;
        ensure!(totals.failed == 0, "requests failed while {name}: {report}");
    }
    let answers = |name: &str| {
        report.phase(name).and_then(|phase| phase.totals.servers.get("rs1").copied()).unwrap_or_default()
    };
    ensure!(answers("dead") == 0, "the dead server answered: {report}");
    ensure!(answers("back") > 50, "the server that returned answers little: {report}");
    Ok(())
}

/// The health page says 503 while everything else is answered: nobody notices.
pub(crate) fn a_server_that_calls_itself_unhealthy_leaves_without_a_failed_request(
    world: &World,
) -> Result<()> {
    let site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;
    traffic.let_pass(100)?;
    site.servers[1].set_healthy(false)?;
    site.expect_weight(SERVERS[1], 0)?;
    traffic.let_those_under_way_end()?;
    traffic.phase("out");
    traffic.let_pass(200)?;
    traffic.phase("returning");
    site.servers[1].set_healthy(true)?;
    site.expect_weight(SERVERS[1], WEIGHT)?;
    traffic.let_pass(200)?;

    let report = traffic.stop()?;
    report.expect_no_failure()?;
    let out = &report.phase("out").context("a phase is missing")?.totals;
    ensure!(!out.servers.contains_key("rs2"), "the unhealthy server answered: {report}");
    Ok(())
}

/// All fail: the routers are told, and told again when one is back.
pub(crate) fn a_vip_is_withdrawn_when_no_server_can_serve_and_announced_when_one_can(
    world: &World,
) -> Result<()> {
    let site = Site::start(world)?;
    for server in &site.servers {
        server.set_healthy(false)?;
    }
    let watch = Stopwatch::start();
    site.expect_routes(&FIRST, &[])?;
    let took = watch.elapsed();
    ensure!(took < SOON, "the VIPs were announced for {took:?} more");
    let told = |word: &str| {
        let has = || site.balancers[0].ctl(&["why", "rs1"]).is_ok_and(|text| text.contains(word));
        wait_until(&format!("lvsctl why says {word}"), LIMIT, has)
    };
    told("503")?;

    site.servers[2].set_healthy(true)?;
    site.expect_routes(&FIRST, &both())?;
    site.expect_weight(SERVERS[2], WEIGHT)?;
    Ok(())
}
