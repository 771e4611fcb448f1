//! The benchmark of sources: what thousands of pools cost that are kept elsewhere. `make bench-sources` builds it in
//! release and runs it.
//!
//! Outside [`native`] lets the core alone take changes in, then the lab's kernel is booted; inside, [`fleet`] has four
//! balancers follow one etcd, takes hosts out with `lvsctl` on the first and watches the tables of the others.

mod fleet;
mod native;
mod picture;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, Run, target};
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves in its directory, and where that is found afterwards.
const FIGURES: &str = "sources.json";
const PICTURE: &str = "sources.svg";

/// Memory of the lab's kernel: etcd, four balancers and their tables.
const MEMORY: &str = "6G";

/// It takes some five minutes; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(1800);

fn main() -> ExitCode {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    match outside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-sources: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    native::measure(&bench)?;
    let directory = bench.join("sources");
    let name = "bench-sources".into();
    let run = Run { name, directory, limit: LIMIT, console: Console::Shown, memory: MEMORY };
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
    let samples = fleet::measure(world, &mut report)?;
    let bench = world.directory().parent().context("a directory for benchmarks")?;
    native::tell(bench, &mut report)?;
    report.write(&world.directory().join(FIGURES))?;
    picture::write(&world.directory().join(PICTURE), &samples)?;
    println!("\n{}", report.table());
    Ok(())
}
