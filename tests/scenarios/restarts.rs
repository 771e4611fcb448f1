//! lvsd comes and goes; the packets do not notice.

use anyhow::{Result, ensure};
use lab::network::FIRST;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, both, only, web};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// `kill -9` and a start: no request fails, the routers keep the routes, the kernel's table is not touched.
pub(crate) fn lvsd_killed_and_started_again_fails_no_request(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let service = web(&FIRST)[0];
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;
    let counted = || table::connections_ever(&site.lab.balancers[0], service).unwrap_or_default();
    wait_until("the kernel has counted", LIMIT, || counted() > 0)?;
    let before = counted();

    site.balancers[0].kill()?;
    wait_until("the routers keep the routes", LIMIT, || {
        site.routers.iter().all(|bird| bird.helping().is_ok_and(|kept| kept == ["lb1_v4", "lb1_v6"]))
    })?;
    traffic.let_pass(300)?;
    site.expect_routes(&FIRST, &both())?;

    let lvsd = &mut site.balancers[0];
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("the routes are fresh", LIMIT, || {
        site.routers.iter().all(|bird| bird.helping().is_ok_and(|kept| kept.is_empty()))
    })?;
    site.expect_routes(&FIRST, &both())?;
    traffic.let_pass(300)?;

    traffic.stop()?.expect_no_failure()?;
    let after = table::connections_ever(&site.lab.balancers[0], service)?;
    ensure!(after >= before, "the service was made anew: it had {before} connections, now {after}");
    Ok(())
}

/// SIGTERM: the routers send everything to the other one, and the first takes its part when it is back.
pub(crate) fn a_balancer_that_is_stopped_and_returns_fails_no_request(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;

    let before = table::weights(&site.lab.balancers[0], web(&FIRST)[0])?;
    site.balancers[0].ask_to_stop()?;
    site.expect_routes(&FIRST, &only(2))?;
    site.balancers[0].wait_stopped(LIMIT)?;
    let left = table::weights(&site.lab.balancers[0], web(&FIRST)[0])?;
    ensure!(left == before, "the table that was left behind is another: {left:?} after {before:?}");
    traffic.let_pass(300)?;

    site.balancers[0].start_again()?;
    site.expect_routes(&FIRST, &both())?;
    traffic.let_pass(300)?;
    traffic.stop()?.expect_no_failure()
}

/// A kept connection whose first server was out went to another one, and must stay there when its first server is
/// back and its balancer leaves.
pub(crate) fn connections_placed_while_a_server_was_out_survive_their_balancer(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    site.on_each_balancer(&["depool", "rs1"])?;
    site.expect_weight(SERVERS[0], 0)?;
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 40, ..Load::usual(&FIRST) })?;
    traffic.let_pass(500)?;
    site.on_each_balancer(&["pool", "rs1"])?;
    site.expect_weight(SERVERS[0], WEIGHT)?;
    for leaving in 0..2 {
        let lvsd = &mut site.balancers[leaving];
        lvsd.ask_to_stop()?;
        lvsd.wait_stopped(LIMIT)?;
        let staying = if leaving == 0 { only(2) } else { only(1) };
        site.expect_routes(&FIRST, &staying)?;
        traffic.let_pass(500)?;
        site.balancers[leaving].start_again()?;
        site.expect_routes(&FIRST, &both())?;
        traffic.let_pass(500)?;
    }
    traffic.stop()?.expect_no_failure()
}
