//! The core alone, on the machine itself: one backend of one pool changes among more and more of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::measure::core::run;
use lab::measure::figures::{Report, Required};
use serde::{Deserialize, Serialize};

/// Services, each with a pool of its own of so many backends.
const SERVICES: [u32; 3] = [100, 1_000, 10_000];
const BACKENDS: u32 = 10;

/// Requirement: one endpoint's change reaches netlink within this, milliseconds. The core's step is its part of that.
const STEP: Required = Required::AtMost(5.0);

/// What the names of its figures begin with.
pub(crate) const NAME: &str = "the core alone, ";

/// What a change takes.
#[derive(Debug, Serialize, Deserialize)]
struct Changes {
    services: u32,
    mean_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Where it is kept for the world inside.
fn file(bench: &Path) -> PathBuf {
    bench.join("pools.json")
}

/// Measures every size, outside.
pub(crate) fn measure(bench: &Path) -> Result<()> {
    println!("the core alone, on this machine itself:");
    let changes = SERVICES
        .iter()
        .map(|services| run("pools", *services, BACKENDS))
        .collect::<Result<Vec<Changes>>>()?;
    fs::create_dir_all(bench)?;
    fs::write(file(bench), serde_json::to_string_pretty(&changes)? + "\n")?;
    Ok(())
}

/// Puts what was measured outside into the report.
pub(crate) fn tell(bench: &Path, report: &mut Report) -> Result<()> {
    let text = fs::read_to_string(file(bench)).context("the core's figures")?;
    let changes: Vec<Changes> = serde_json::from_str(&text)?;
    for Changes { services, mean_us, p50_us, p99_us } in changes {
        let mut value = |figure: &str, microseconds: f64, required| {
            let name = format!("{NAME}{services} pools × {BACKENDS}: a change's step, {figure}");
            report.value(&name, microseconds / 1000.0, "ms", required);
        };
        value("mean", mean_us, Required::Nothing);
        value("p50", p50_us, Required::Nothing);
        value("p99", p99_us, STEP);
    }
    Ok(())
}
