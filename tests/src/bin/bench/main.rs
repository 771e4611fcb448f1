//! The benchmark: how soon lvsd's decisions are in the kernel and on the wire, and what it costs while idle.
//! `make bench` builds it in release and runs it.
//!
//! In the lab [`ground`] starts the site, and [`depool`], [`verdict`], [`withdraw`] and [`idle`]
//! measure one thing each. They look from outside lvsd: [`table_watch`] at the kernel's table, [`health_page`] at
//! what checks are answered, [`capture`] at the wire, [`journal`] and [`lab::measure::exposition`] at what lvsd itself says.
//! [`lab::measure`] boots the lab and makes the report.

mod capture;
mod clock;
mod depool;
mod ground;
mod health_page;
mod idle;
mod journal;
mod many;
mod table_watch;
mod verdict;
mod withdraw;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use lab::kernel::MEMORY;
use lab::measure::bench::Bench;
use lab::measure::figures::Report;
use lab::world::World;

use crate::ground::Ground;

/// It takes some six minutes; a busy machine may take its time.
const BENCH: Bench = Bench {
    name: "agent",
    pictures: &[],
    documented: None,
    limit: Duration::from_secs(1200),
    memory: MEMORY,
};

fn main() -> ExitCode {
    BENCH.main(|_| Ok(()), measure)
}

fn measure(world: &World, report: &mut Report) -> Result<()> {
    println!("2 routers (BIRD), 2 balancers (lvsd), 3 servers, a client");
    let mut ground = Ground::start(world)?;
    let traffic = ground.traffic()?;
    traffic.phase("depool and pool");
    depool::measure(&ground, report)?;
    traffic.phase("deaths and returns");
    verdict::measure(&ground, report)?;
    traffic.phase("withdrawals");
    withdraw::measure(&ground, report)?;
    let traffic = traffic.stop()?;
    report.traffic(&traffic);
    idle::measure(&mut ground, report)
}
