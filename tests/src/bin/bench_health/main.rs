//! The benchmark of health checks: what they cost, and how soon a server that dies is out of IPVS, beside keepalived.
//! `make bench-health` builds it in release and runs it.
//!
//! [`native`] has the library's runner ([`checker`]) check nginx on the machine's own kernel, [`daemon`] lvsd itself. Then it
//! boots the lab's kernel; inside, [`load`] gives lvsd and keepalived the same checks, and [`deaths`] lets servers die and return by
//! chance, while both, each on a balancer of its own, check them. [`ground`] is the network, [`server`] what runs on a
//! server, [`observer`] looks at the kernel's tables, [`picture`] draws the distributions and the loads.

mod checker;
mod daemon;
mod deaths;
mod ground;
mod load;
mod native;
mod observer;
mod picture;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::kernel::{Console, MEMORY, Run, target};
use lab::measure::dry_run::in_a_namespace;
use lab::measure::figures::Report;
use lab::program::run_twice;
use lab::world::World;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::picture::Load;

/// What a part leaves in its directory.
const FIGURES: &str = "figures.json";
const LOADS: &str = "loads.json";
const DEATHS: &str = "health-deaths.svg";

/// What is found beside those directories afterwards, with [`DEATHS`].
const ALL_FIGURES: &str = "health.json";
const ALL_LOADS: &str = "health-loads.svg";

/// The variable that says which parts are measured, as in `LAB_PARTS=load,deaths`: those left out keep the figures that
/// they have.
const PARTS: &str = "LAB_PARTS";

/// What is measured by itself, each with a directory of its own.
const ALL_PARTS: [&str; 4] = [native::ROLE, daemon::ROLE, "load", "deaths"];

/// The deaths take some half an hour; a busy machine may take its time.
const LIMIT: Duration = Duration::from_secs(5400);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, argument] = &arguments[..] {
        match role.as_str() {
            server::ROLE => return server::run(argument.as_ref()),
            checker::ROLE => return checker::run(argument),
            native::ROLE | daemon::ROLE => return native::run(role, argument.as_ref()),
            _ => {}
        }
    }
    run_twice("bench-health", inside, outside)
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    let directory = |part: &str| bench.join(format!("health-{part}"));
    for part in parts()? {
        if [native::ROLE, daemon::ROLE].contains(&part) {
            let own = directory(part);
            fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
            in_a_namespace(&[part], &own)?;
        } else {
            in_the_lab(part, directory(part))?;
        }
    }
    let mut all = Map::new();
    let mut loads = BTreeMap::new();
    for part in ALL_PARTS.iter().filter(|part| directory(part).join(FIGURES).exists()) {
        all.insert((*part).to_owned(), read::<Value>(&directory(part).join(FIGURES))?);
        let file = directory(part).join(LOADS);
        if file.exists() {
            loads.insert(*part, read::<Vec<Load>>(&file)?);
        }
    }
    let figures = bench.join(ALL_FIGURES);
    fs::write(&figures, serde_json::to_string_pretty(&all)? + "\n")?;
    println!("report: {}", figures.display());
    if let (Some(native), Some(lab)) = (loads.get(native::ROLE), loads.get("load")) {
        picture::loads(&bench.join(ALL_LOADS), native, lab)?;
        println!("report: {}", bench.join(ALL_LOADS).display());
    }
    let deaths = directory("deaths").join(DEATHS);
    if deaths.exists() {
        fs::copy(&deaths, bench.join(DEATHS)).with_context(|| format!("copy {}", deaths.display()))?;
        println!("report: {}", bench.join(DEATHS).display());
    }
    Ok(())
}

/// The parts that are asked for.
fn parts() -> Result<Vec<&'static str>> {
    let Ok(asked) = std::env::var(PARTS) else { return Ok(ALL_PARTS.to_vec()) };
    let known = |name: &str| ALL_PARTS.into_iter().find(|part| *part == name);
    asked
        .split(',')
        .map(|name| known(name).with_context(|| format!("{PARTS}={asked}: expected some of {ALL_PARTS:?}")))
        .collect()
}

/// Boots a kernel for one part.
fn in_the_lab(part: &str, directory: PathBuf) -> Result<()> {
    let name = format!("bench-health-{part}");
    Run { name, directory, limit: LIMIT, console: Console::Shown, memory: MEMORY, cable: None }.pass()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("no report {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}

fn inside(world: &World) -> Result<()> {
    let mut report = Report::new()?;
    println!("{}", report.machine());
    let directory = world.directory();
    if world.name().ends_with("load") {
        let loads = load::measure(&mut report)?;
        fs::write(directory.join(LOADS), serde_json::to_string_pretty(&loads)?)?;
    } else {
        picture::deaths(&directory.join(DEATHS), &deaths::measure(&mut report)?)?;
    }
    report.write(&directory.join(FIGURES))?;
    println!("\n{}", report.table());
    Ok(())
}
