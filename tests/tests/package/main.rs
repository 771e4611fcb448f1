//! The Debian package: what is in it, and its life on a Debian with systemd.
//!
//! Outside, the package is built of the programs that were built before, and a guest boots with it ([`lab::guest`]). Inside,
//! this very program installs, upgrades, removes and purges it ([`life`]), or tries what lvsd must not be able to do
//! ([`confinement`]).

mod confinement;
mod content;
mod life;

use anyhow::{Context, Result};
use lab::guest::Guest;
use lab::package;
use libtest_mimic::{Arguments, Failed, Trial};
use std::time::Duration;

/// Longest that a guest may take; on a machine of two processors that does nothing else it takes half a minute.
const LIMIT: Duration = Duration::from_secs(600);

/// A test and its name.
type Named = (&'static str, fn() -> Result<()>);

/// Tests that run inside a guest.
const INSIDE: &[Named] = &[
    ("installed_upgraded_under_traffic_removed_and_purged", life::whole),
    ("what_runs_as_the_unit_can_do_nothing_that_lvsd_does_not_need", confinement::whole),
];

/// Tests of the package itself.
const OUTSIDE: &[Named] = &[
    ("everything_has_its_place_and_owner", content::places),
    ("lintian_finds_no_error", content::lintian),
    ("every_manual_page_renders_without_a_warning", content::manuals),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some(confinement::TRY) {
        confinement::try_everything();
        return;
    }
    if let Some(name) = Guest::entered() {
        if let Err(error) = inside(&name) {
            println!("{error:#}");
            std::process::exit(1);
        }
        return;
    }
    let inside = INSIDE.iter().map(|(name, _)| Trial::test(*name, || boot(name).map_err(told)));
    let outside = OUTSIDE.iter().map(|(name, test)| Trial::test(*name, || test().map_err(told)));
    libtest_mimic::run(&Arguments::from_args(), inside.chain(outside).collect()).exit();
}

fn inside(name: &str) -> Result<()> {
    let (_, test) =
        INSIDE.iter().find(|(test, _)| *test == name).with_context(|| format!("no test {name}"))?;
    test()
}

fn boot(name: &str) -> Result<()> {
    let guest = Guest::new(name)?;
    for version in [package::first()?, package::second()?] {
        guest.share(version)?;
    }
    let said = guest.run(LIMIT)?;
    print!("{said}");
    Ok(())
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
