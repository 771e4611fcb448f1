//! The core alone, on the machine itself: no guest kernel, whose cost of a page that was not touched for a while hides what
//! the core's own step is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::measure::core::run;
use lab::measure::figures::{Report, Required};
use serde::{Deserialize, Serialize};

use crate::scale::{RESIDENT, SIZES, STEP};

/// What it found, for all sizes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Native {
    pub(crate) flaps: Vec<Flaps>,
    memory: Memory,
}

/// One backend after the other fails and returns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Flaps {
    pub(crate) services: u32,
    pub(crate) mean_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What the core holds without checks.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    services: u32,
    resident_mb: f64,
    bytes_per_backend: f64,
}

/// Where it is kept for the world inside.
pub(crate) fn file(bench: &Path) -> PathBuf {
    bench.join("core.json")
}

/// Measures every size, outside.
pub(crate) fn measure(bench: &Path) -> Result<()> {
    println!("the core alone, on this machine itself:");
    let flaps = SIZES.iter().map(|size| run("flaps", size.services, size.backends)).collect::<Result<_>>()?;
    let largest = SIZES[SIZES.len() - 1];
    let native = Native { flaps, memory: run("memory", largest.services, largest.backends)? };
    fs::create_dir_all(bench)?;
    fs::write(file(bench), serde_json::to_string_pretty(&native)? + "\n")?;
    Ok(())
}

/// Puts what was measured outside into the report.
pub(crate) fn tell(bench: &Path, report: &mut Report) -> Result<Native> {
    let text = fs::read_to_string(file(bench)).context("the core's figures")?;
    let native: Native = serde_json::from_str(&text)?;
    for flaps in &native.flaps {
        let mut value = |figure: &str, value, required| {
            let name = format!("the core alone, {} × 10: a flap's step, {figure}", flaps.services);
            report.value(&name, value, "µs", required);
        };
        value("mean", flaps.mean_us, Required::AtMost(STEP));
        value("p50", flaps.p50_us, Required::Nothing);
        value("p99", flaps.p99_us, Required::AtMost(STEP));
    }
    let Memory { services, resident_mb, bytes_per_backend } = native.memory;
    let mut value = |figure: &str, value, unit, required| {
        report.value(&format!("the core alone, {services} × 10: {figure}"), value, unit, required);
    };
    value("resident memory", resident_mb, "MB", Required::AtMost(RESIDENT));
    value("resident memory for a backend", bytes_per_backend, "bytes", Required::Nothing);
    Ok(native)
}
