//! The benchmark: how soon lvsd's decisions are in the kernel and on the wire, and what it costs while idle.
//! `make bench` builds it in release and runs it.
//!
//! Outside it boots the lab; inside, [`ground`] starts the site, and [`depool`], [`verdict`], [`withdraw`] and [`idle`]
//! measure one thing each. They look from outside lvsd: [`table_watch`] at the kernel's table, [`health_page`] at
//! what checks are answered, [`capture`] at the wire, [`journal`] and [`lab::measure::exposition`] at what lvsd itself says.
//! [`lab::measure`] makes the report.

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

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, MEMORY, Run, target};
use lab::world::World;

use crate::ground::Ground;
use lab::measure::figures::Report;

/// The report's file in the benchmark's directory.
const FILE: &str = "agent.json";

/// It takes some six minutes; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(1200);

fn main() -> ExitCode {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    match outside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let directory = target()?.join("bench");
    let run = Run { name: "bench".into(), directory, limit: LIMIT, console: Console::Shown, memory: MEMORY };
    if let Some(failure) = run.execute()?.failure {
        bail!("{failure}; logs: {}", run.directory.display());
    }
    let path = run.directory.join(FILE);
    std::fs::metadata(&path).with_context(|| format!("no report {}", path.display()))?;
    println!("report: {}", path.display());
    Ok(())
}

fn inside(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}; 2 routers (BIRD), 2 balancers (lvsd), 3 servers, a client", report.machine());
    let mut ground = Ground::start(world)?;
    let traffic = ground.traffic()?;
    traffic.phase("depool and pool");
    depool::measure(&ground, &mut report)?;
    traffic.phase("deaths and returns");
    verdict::measure(&ground, &mut report)?;
    traffic.phase("withdrawals");
    withdraw::measure(&ground, &mut report)?;
    let traffic = traffic.stop()?;
    report.traffic(&traffic);
    idle::measure(&mut ground, &mut report)?;
    report.write(&world.directory().join(FILE))?;
    println!("\n{}", report.table());
    Ok(())
}
