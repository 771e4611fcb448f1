//! The benchmark of a cluster's nodes: a thousand sessions with nodes, four thousand routes in the kernel. `make bench-nodes`
//! builds it in release and runs it in the lab's kernel.
//!
//! One process is all nodes ([`crowd`]); one lvsd is the balancer ([`balancer`]).

mod balancer;
mod crowd;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, Run, target};
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves in its directory, and where that is found afterwards.
const FIGURES: &str = "nodes.json";

/// Memory of the lab's kernel: two thousand sockets at each end.
const MEMORY: &str = "2G";

/// It takes some two minutes; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(crowd::WORD) {
        return done(crowd::run());
    }
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    done(outside())
}

fn done(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-nodes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    let directory = bench.join("nodes");
    let name = "bench-nodes".into();
    let run = Run { name, directory, limit: LIMIT, console: Console::Shown, memory: MEMORY };
    if let Some(failure) = run.execute()?.failure {
        bail!("{failure}; logs: {}", run.directory.display());
    }
    let (from, to) = (run.directory.join(FIGURES), bench.join(FIGURES));
    std::fs::rename(&from, &to).with_context(|| format!("no report {}", from.display()))?;
    println!("report: {}", to.display());
    Ok(())
}

fn inside(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}", report.machine());
    balancer::measure(world, &mut report)?;
    report.write(&world.directory().join(FIGURES))?;
    println!("\n{}", report.table());
    Ok(())
}
