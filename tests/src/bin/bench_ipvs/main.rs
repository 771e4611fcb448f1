//! The benchmark of IPVS: what programming thousands of services costs, beside keepalived, ipvsadm and a bare socket.
//! `make bench-ipvs` builds it in release and runs it.
//!
//! Outside [`native`] lets the core alone decide, then the lab's kernel is booted; inside, [`cold`] fills empty tables and starts lvsd on a full one, [`operator`]
//! takes a server out of a hundred services, [`reload`] changes one of thousands in the configuration, and [`scale`] lets one server fail among up to ten thousand. [`size`] says
//! what is balanced, [`plot`] draws the picture.

mod cold;
mod native;
mod operator;
mod plot;
mod reload;
mod scale;
mod size;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::measure::bench::Bench;
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves beside its figures.
const PICTURE: &str = "ipvs.svg";

/// The largest size takes much of the memory, the page of its metrics above all. It takes some three minutes; a busy machine
/// may take its time.
const BENCH: Bench = Bench {
    name: "ipvs",
    pictures: &[PICTURE],
    documented: None,
    limit: Duration::from_secs(1200),
    memory: "4G",
};

fn main() -> ExitCode {
    BENCH.main(native::measure, |world, report| {
        measure(world, report).inspect_err(|_| size::keep_logs(world.directory()))
    })
}

fn measure(world: &World, report: &mut Report) -> Result<()> {
    cold::measure(report)?;
    operator::measure(report)?;
    reload::measure(report)?;
    let points = scale::measure(report)?;
    let bench = world.directory().parent().context("a directory for benchmarks")?;
    let native = native::tell(bench, report)?;
    plot::write(&world.directory().join(PICTURE), &points, &native.flaps)
}
