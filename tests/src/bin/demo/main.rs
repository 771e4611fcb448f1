//! The demo: a day of a balancer in a minute and a half, under continuous traffic. `make demo` builds and runs it.
//!
//! Outside it boots the lab and shows what is said there; inside, [`story`] plays the events, [`report`] says what
//! they cost, [`timeline`] draws it.

mod report;
mod story;
mod timeline;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::kernel::{Console, MEMORY, Run, target};
use lab::world::World;

use crate::report::Report;

/// The story takes 60-90 s; a slow machine may take its time.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    if let Some(world) = World::entered() {
        world.run(story::play);
    }
    match outside() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it in the lab and prints the last line; whether it went well.
fn outside() -> Result<bool> {
    let directory = target()?.join("demo");
    let run = Run {
        name: "demo".into(),
        directory,
        limit: LIMIT,
        console: Console::Shown,
        memory: MEMORY,
        cable: None,
    };
    let failure = run.execute()?.failure;
    // The story has told its failure on the console.
    ensure!(
        failure.is_none() || run.directory.join(report::FILE).exists(),
        "it broke off; logs: {}",
        run.directory.display()
    );
    let path = run.directory.join(report::FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    println!("report: {}\npicture: {}", path.display(), run.directory.join(timeline::FILE).display());
    println!("demo: {} requests, {} failed", report.requests, report.failed);
    Ok(failure.is_none())
}
