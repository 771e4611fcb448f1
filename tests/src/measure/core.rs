//! The agent's examples, which measure parts of it alone, on the machine itself.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::lvsd::environment;

/// Has the core measure one thing (`agent/examples/core_at_scale.rs`), and reads what it says.
pub fn run<T: for<'de> Deserialize<'de>>(what: &str, services: u32, backends: u32) -> Result<T> {
    example("core_at_scale", &[what, &services.to_string(), &backends.to_string()])
}

/// Runs an example, which the Makefile builds, and reads what it says.
pub fn example<T: for<'de> Deserialize<'de>>(name: &str, arguments: &[&str]) -> Result<T> {
    let program = std::env::current_exe()?.with_file_name("examples").join(name);
    let output = Command::new(&program)
        .args(arguments)
        .envs(environment())
        .output()
        .with_context(|| format!("run {}: the Makefile builds it", program.display()))?;
    ensure!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {} says", program.display()))
}
