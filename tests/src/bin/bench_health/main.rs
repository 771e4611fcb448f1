//! The benchmark of health checks: what they cost, and how soon a server that dies is out of IPVS, beside keepalived.
//! `make bench-health` builds it in release and runs it.
//!
//! [`native`] has the library's runner ([`checker`]) check nginx on the machine's own kernel. Then it boots the lab's
//! kernel; inside, [`load`] gives lvsd and keepalived the same checks, and [`deaths`] lets servers die and return by
//! chance, while both, each on a balancer of its own, check them. [`ground`] is the network, [`server`] what runs on a
//! server, [`observer`] looks at the kernel's tables, [`picture`] draws the distributions and the loads.

mod checker;
mod deaths;
mod ground;
mod load;
mod native;
mod observer;
mod picture;
mod server;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::kernel::{Console, MEMORY, Run, target};
use lab::measure::figures::Report;
use lab::world::World;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::picture::Load;

/// What it leaves in its directory.
const FIGURES: &str = "lab.json";
const LOADS: &str = "lab-loads.json";
const DEATHS: &str = "health-deaths.svg";

/// What is found beside that directory afterwards, with [`DEATHS`].
const ALL_FIGURES: &str = "health.json";
const ALL_LOADS: &str = "health-loads.svg";

/// It takes some half an hour; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(5400);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, argument] = &arguments[..] {
        match role.as_str() {
            server::ROLE => return server::run(argument.as_ref()),
            checker::ROLE => return checker::run(argument),
            native::ROLE => return native::run(argument.as_ref()),
            _ => {}
        }
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
    let own = bench.join("health-native");
    fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    native::outside(&own)?;
    let directory = bench.join("health");
    let run =
        Run { name: "bench-health".into(), directory, limit: LIMIT, console: Console::Shown, memory: MEMORY };
    if let Some(failure) = run.execute()?.failure {
        bail!("{failure}; logs: {}", run.directory.display());
    }
    let all = json!({
        "native": read::<Value>(&own.join(native::FIGURES))?,
        "lab": read::<Value>(&run.directory.join(FIGURES))?,
    });
    let figures = bench.join(ALL_FIGURES);
    fs::write(&figures, serde_json::to_string_pretty(&all)? + "\n")?;
    let loads = bench.join(ALL_LOADS);
    let load = |path: &Path| read::<Vec<Load>>(path);
    picture::loads(&loads, &load(&own.join(native::LOADS))?, &load(&run.directory.join(LOADS))?)?;
    let deaths = bench.join(DEATHS);
    fs::rename(run.directory.join(DEATHS), &deaths).context("no picture of the deaths")?;
    for report in [figures, loads, deaths] {
        println!("report: {}", report.display());
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("no report {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}

fn inside(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}", report.machine());
    let loads = load::measure(&mut report)?;
    let curves = deaths::measure(&mut report)?;
    report.write(&world.directory().join(FIGURES))?;
    fs::write(world.directory().join(LOADS), serde_json::to_string_pretty(&loads)?)?;
    picture::deaths(&world.directory().join(DEATHS), &curves)?;
    println!("\n{}", report.table());
    Ok(())
}
