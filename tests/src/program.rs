//! Programs: one that runs twice, outside, where it boots the lab, and inside, where it does its work; and those that are run to their ends.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::world::World;

/// Does `inside` when this is the lab, which ends with it; `outside` otherwise, whose error is said as `name`'s.
pub fn run_twice(
    name: &str,
    inside: impl FnOnce(&World) -> Result<()> + Send + 'static,
    outside: impl FnOnce() -> Result<()>,
) -> ExitCode {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    match outside() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs another program and waits for it; an error when it fails.
pub fn run_to_end(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status().with_context(|| format!("run {program}"))?;
    ensure!(status.success(), "{program} {}: {status}", arguments.join(" "));
    Ok(())
}
