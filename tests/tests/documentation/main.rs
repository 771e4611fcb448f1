//! Every block of README.md, docs/ and docs/runbooks/ that is not a configuration is typed by a reader, who is to find what it
//! shows; or it is known why not ([`elsewhere`]). Configurations are held by agent/tests/documented_configurations.rs, and
//! that no command names what there is not by documented_commands.rs beside it.
//!
//! A guest ([`lab::guest`]) is the pages' balancer: [`site`] is around it, and the [`reader`] goes through the [`chapters`].

mod chapters;
mod elsewhere;
mod reader;
mod site;
mod tools;

use anyhow::{Context, Result};
use lab::guest::Guest;
use lab::package;
use libtest_mimic::{Arguments, Failed, Trial};
use std::time::Duration;

/// Longest that the guest may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// The test that runs inside a guest.
const INSIDE: &str = "every_block_is_typed_and_shows_what_the_page_shows";

/// A test and its name.
type Named = (&'static str, fn() -> Result<()>);

const OUTSIDE: &[Named] = &[
    ("every_make_target_and_package_of_cargo_that_is_named_is_there", tools::are_there),
    ("every_block_that_is_not_typed_is_there", elsewhere::are_there),
];

fn main() {
    if Guest::entered().is_some() {
        if let Err(error) = chapters::whole() {
            println!("{error:#}");
            std::process::exit(1);
        }
        return;
    }
    let inside = Trial::test(INSIDE, || boot().map_err(told));
    let outside = OUTSIDE.iter().map(|(name, test)| Trial::test(*name, || test().map_err(told)));
    libtest_mimic::run(&Arguments::from_args(), outside.chain([inside]).collect()).exit();
}

/// The folder of the programs beside this one, as the guest sees it.
fn programs() -> Result<String> {
    let folder = std::fs::read_to_string("/host/programs").context("where the programs are")?;
    Ok(format!("{}{folder}", site::MACHINE))
}

fn boot() -> Result<()> {
    let guest = Guest::new(INSIDE)?;
    for version in [package::first()?, package::second()?] {
        guest.share(version)?;
    }
    let lvsd = lab::kernel::built("lvsd")?;
    let folder = lvsd.parent().context("a program without a folder")?.display().to_string();
    guest.note("programs", &folder)?;
    let said = guest.run(LIMIT)?;
    print!("{said}");
    Ok(())
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
