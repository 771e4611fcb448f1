//! The core alone, on the machine itself.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What is run: `agent/examples/core_at_scale.rs`, which the Makefile builds.
const PROGRAM: &str = "examples/core_at_scale";

/// Has it measure one thing, and reads what it says.
pub fn run<T: for<'de> Deserialize<'de>>(what: &str, services: u32, backends: u32) -> Result<T> {
    let program = std::env::current_exe()?.with_file_name(PROGRAM);
    let output = Command::new(&program)
        .args([what, &services.to_string(), &backends.to_string()])
        .output()
        .with_context(|| format!("run {}: the Makefile builds it", program.display()))?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {} says", program.display()))
}
