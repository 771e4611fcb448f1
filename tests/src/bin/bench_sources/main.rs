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

use anyhow::{Context, Result};
use lab::measure::bench::Bench;
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves beside its figures.
const PICTURE: &str = "sources.svg";

/// Of memory etcd, four balancers and their tables take much. It takes some five minutes; a busy machine may take its time.
const BENCH: Bench =
    Bench { name: "sources", picture: Some(PICTURE), limit: Duration::from_secs(1800), memory: "6G" };

fn main() -> ExitCode {
    BENCH.main(native::measure, measure)
}

fn measure(world: &World, report: &mut Report) -> Result<()> {
    let samples = fleet::measure(world, report)?;
    let bench = world.directory().parent().context("a directory for benchmarks")?;
    native::tell(bench, report)?;
    picture::write(&world.directory().join(PICTURE), &samples)
}
