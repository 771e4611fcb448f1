//! A program that runs twice: outside it boots the lab, inside it does its work there.

use std::process::ExitCode;

use anyhow::Result;

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
