//! What an operator says with lvsctl.

use anyhow::{Result, ensure};
use lab::network::FIRST;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT};
use lab::traffic::{Load, Traffic};
use lab::world::World;

/// lvsctl's exit status for what the depool threshold forbids.
const REFUSED: i32 = 5;

pub(crate) fn depool_and_pool_fail_no_request(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(200)?;
    site.on_each_balancer(&["depool", "rs2", "--reason", "new disk"])?;
    site.expect_weight(SERVERS[1], 0)?;
    traffic.let_pass(400)?;
    site.on_each_balancer(&["pool", "rs2"])?;
    site.expect_weight(SERVERS[1], WEIGHT)?;
    traffic.let_pass(400)?;
    traffic.stop()?.expect_no_failure()
}

pub(crate) fn a_depool_is_kept_over_a_restart_with_its_reason(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    site.on_each_balancer(&["depool", "rs3", "--reason", "new disk"])?;
    site.expect_weight(SERVERS[2], 0)?;
    let lvsd = &mut site.balancers[0];
    lvsd.stop(LIMIT)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    site.expect_weight(SERVERS[2], 0)?;
    let why = site.balancers[0].ctl(&["why", "rs3"])?;
    ensure!(why.contains("new disk"), "the reason is lost: {why}");
    Ok(())
}

/// Threshold 0.3 of three: the last one stays, unless it is forced.
pub(crate) fn a_depool_that_would_break_the_threshold_is_refused(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let lvsd = &site.balancers[0];
    lvsd.ctl(&["depool", "rs1"])?;
    lvsd.ctl(&["depool", "rs2"])?;
    let refused = lvsd.ctl_output(&["depool", "rs3"])?;
    ensure!(refused.status.code() == Some(REFUSED), "exit status {}", refused.status);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("threshold"), "it does not say why: {said}");
    let unknown = lvsd.ctl_output(&["depool", "rs33"])?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(!unknown.status.success() && said.contains("rs3"), "no near name for rs33: {said}");
    lvsd.ctl(&["depool", "rs3", "--force"])?;
    Ok(())
}
