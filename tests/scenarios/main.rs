//! Every scenario of the lab, each on a kernel of its own. `cargo test -p lab NAME` runs those whose names match.

mod the_lab_itself;

use std::time::Duration;

use anyhow::{Context, Result};
use lab::kernel::{Console, Run};
use lab::world::World;
use libtest_mimic::{Arguments, Failed, Trial};

/// Longest that a scenario may take inside.
const LIMIT: Duration = Duration::from_secs(180);

/// Kernels at once, unless told otherwise: each keeps about one core busy.
const AT_ONCE: usize = 2;

type Scenario = fn(&World) -> Result<()>;

const SCENARIOS: &[(&str, Scenario)] =
    &[("the_lab_itself_carries_traffic_v4_and_v6", the_lab_itself::carries_traffic_v4_and_v6)];

fn main() {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = SCENARIOS.iter().map(|(name, _)| Trial::test(*name, || outside(name))).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Inside the lab's kernel: the scenario itself.
fn inside(world: &World) -> Result<()> {
    let found = SCENARIOS.iter().find(|(name, _)| *name == world.name());
    let (_, scenario) = found.with_context(|| format!("no scenario {}", world.name()))?;
    scenario(world)
}

/// Outside: boots a kernel for it and takes its verdict.
fn outside(name: &str) -> Result<(), Failed> {
    let run = Run::new(name, LIMIT, Console::File).map_err(told)?;
    match run.execute().map_err(told)?.failure {
        None => Ok(()),
        Some(failure) => Err(format!("{failure}\nmore in {}", run.directory.display()).into()),
    }
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:?}").into()
}
