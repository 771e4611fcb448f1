//! The whole line: from a configuration file to a real server's answer.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use lab::network::FIRST;
use lab::site::Site;
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::world::World;

pub(crate) fn a_configuration_carries_requests_over_both_balancers_v4_and_v6(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(1000)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    for server in ["rs1", "rs2", "rs3"] {
        let answers = report.totals.servers.get(server).copied().unwrap_or_default();
        ensure!(answers > 100, "{server} answered {answers} of 1000 requests: {report}");
    }
    for host in &site.lab.balancers {
        for ((_, address), destinations) in table::read(host)? {
            let seen: u32 = destinations.values().map(|server| server.active + server.inactive).sum();
            ensure!(seen > 0, "no connection to {address} over {}", host.name());
        }
        for vip in FIRST {
            expect_address(&host.run(&["ip", "-o", "addr", "show", "dev", "lvsd0"])?, vip)?;
        }
    }
    for lvsd in &site.balancers {
        let metrics = lvsd.http("/metrics")?;
        ensure!(metrics.contains("lvsd_"), "no metrics of lvsd's own: {metrics}");
        lvsd.http("/healthz")?;
        println!("{}: {} kB resident", lvsd.host().name(), lvsd.resident_kilobytes()?);
    }
    Ok(())
}

/// The VIP is there as a host's address, /32 or /128.
fn expect_address(shown: &str, vip: IpAddr) -> Result<()> {
    let length = if vip.is_ipv4() { 32 } else { 128 };
    ensure!(shown.contains(&format!(" {vip}/{length} ")), "no {vip}/{length} on lvsd0: {shown}");
    Ok(())
}
