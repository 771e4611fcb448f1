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

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, Run, target};
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves in its directory, and where that is found afterwards.
const FIGURES: &str = "ipvs.json";
const PICTURE: &str = "ipvs.svg";

/// Memory of the lab's kernel: the largest size takes much of it, the page of its metrics above all.
const MEMORY: &str = "4G";

/// It takes some three minutes; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(1200);

fn main() -> ExitCode {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    match outside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-ipvs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    native::measure(&bench)?;
    let directory = bench.join("ipvs");
    let name = "bench-ipvs".into();
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
    measure(world).inspect_err(|_| size::keep_logs(world.directory()))
}

fn measure(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}", report.machine());
    cold::measure(&mut report)?;
    operator::measure(&mut report)?;
    reload::measure(&mut report)?;
    let points = scale::measure(&mut report)?;
    let bench = world.directory().parent().context("a directory for benchmarks")?;
    let native = native::tell(bench, &mut report)?;
    report.write(&world.directory().join(FIGURES))?;
    plot::write(&world.directory().join(PICTURE), &points, &native.flaps)?;
    println!("\n{}", report.table());
    Ok(())
}
