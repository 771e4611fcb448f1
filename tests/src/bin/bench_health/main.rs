//! The benchmark of health checks: how soon a server that dies is out of IPVS, beside keepalived. `make bench-health`
//! builds it in release and runs it.
//!
//! Outside it boots the lab's kernel; inside, [`deaths`] lets servers die and return by chance, while lvsd and
//! keepalived, each on a balancer of its own, check the same servers. [`ground`] is the network, [`server`] what runs
//! on a server, [`observer`] looks at the kernel's tables, [`picture`] draws the distributions.

mod deaths;
mod ground;
mod observer;
mod picture;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, MEMORY, Run, target};
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves in its directory, and where that is found afterwards.
const FIGURES: &str = "health.json";
const PICTURE: &str = "health-deaths.svg";

/// It takes some twenty minutes; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, flag] = &arguments[..]
        && role == server::ROLE
    {
        return server::run(flag.as_ref());
    }
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    match outside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-health: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    let directory = bench.join("health");
    let run =
        Run { name: "bench-health".into(), directory, limit: LIMIT, console: Console::Shown, memory: MEMORY };
    if let Some(failure) = run.execute()?.failure {
        bail!("{failure}; logs: {}", run.directory.display());
    }
    for file in [FIGURES, PICTURE] {
        let (from, to) = (run.directory.join(file), bench.join(file));
        std::fs::rename(&from, &to).with_context(|| format!("no report {}", from.display()))?;
        println!("report: {}", to.display());
    }
    Ok(())
}

fn inside(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}", report.machine());
    let curves = deaths::measure(world, &mut report)?;
    report.write(&world.directory().join(FIGURES))?;
    picture::write(&world.directory().join(PICTURE), &curves)?;
    println!("\n{}", report.table());
    Ok(())
}
