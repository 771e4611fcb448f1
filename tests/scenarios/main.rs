//! Every scenario of the lab, each on a kernel of its own. `cargo test -p lab NAME` runs those whose names match.

mod evidence_of_failure;
mod kernel_contract;
mod routers;
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

/// A name and what runs inside a kernel.
type Scenario = (&'static str, fn(&World) -> Result<()>);

/// A name and what looks at runs from outside.
type Outside = (&'static str, fn() -> Result<()>);

const SCENARIOS: &[Scenario] = &[
    ("the_lab_itself_carries_traffic_v4_and_v6", the_lab_itself::carries_traffic_v4_and_v6),
    (
        "routers_spread_over_balancers_and_keep_routes_of_one_that_crashed",
        routers::spread_over_balancers_and_keep_routes_of_one_that_crashed,
    ),
    ("the_kernel_keeps_the_contract_of_ipvs", kernel_contract::the_kernel_keeps_the_contract_of_ipvs),
];

const OUTSIDE: &[Outside] = &[
    (
        "a_failing_scenario_leaves_logs_captures_and_tables",
        evidence_of_failure::a_failing_scenario_leaves_logs_captures_and_tables,
    ),
    (
        "a_hanging_scenario_is_ended_at_its_time_limit",
        evidence_of_failure::a_hanging_scenario_is_ended_at_its_time_limit,
    ),
];

fn main() {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let scenarios = SCENARIOS.iter().map(|(name, _)| Trial::test(*name, || boot(name)));
    let others = OUTSIDE.iter().map(|(name, test)| Trial::test(*name, || test().map_err(told)));
    libtest_mimic::run(&arguments, scenarios.chain(others).collect()).exit();
}

/// Inside the lab's kernel: the scenario itself.
fn inside(world: &World) -> Result<()> {
    let known = SCENARIOS.iter().chain(&evidence_of_failure::ON_PURPOSE);
    let (_, scenario) = known
        .into_iter()
        .find(|(name, _)| *name == world.name())
        .with_context(|| format!("no scenario {}", world.name()))?;
    scenario(world)
}

/// Outside: boots a kernel for it and takes its verdict.
fn boot(name: &str) -> Result<(), Failed> {
    let run = Run::new(name, LIMIT, Console::File).map_err(told)?;
    match run.execute().map_err(told)?.failure {
        None => Ok(()),
        Some(failure) => Err(format!("{failure}\nmore in {}", run.directory.display()).into()),
    }
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
