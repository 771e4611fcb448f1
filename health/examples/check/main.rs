//! Checks servers and shows what becomes of them:
//!
//! ```sh
//! cargo run --example check -- 10.0.0.11:22 https://www.example.org/healthz idle://10.0.0.11:80 icmp://10.0.0.11
//! ```
//!
//! On a terminal it is a table that is drawn anew twice a second; otherwise a line for each change. Every address of a
//! name is checked. Runs until it is interrupted. [`target`] reads the arguments, [`table`] draws.

mod table;
mod target;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use health::{Options, Report, Runner};
use tokio::sync::mpsc::Receiver;

/// Whatever goes wrong ends the program.
type Error = Box<dyn std::error::Error>;

/// Between two tables: often enough for eyes.
const REDRAWN: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("check: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let mut checks = BTreeSet::new();
    for argument in std::env::args().skip(1) {
        checks.extend(target::checks(&argument).await.map_err(|error| format!("{argument}: {error}"))?);
    }
    if checks.is_empty() {
        return Err(format!("expected servers, one or more: {}", target::FORMS).into());
    }
    let seed = u64::from(std::process::id());
    let (runner, reports) = Runner::spawn(Options::new(seed));
    runner.set(checks);
    if std::io::stdout().is_terminal() { draw(&runner, reports).await } else { tell(reports).await }
}

/// Draws the table again and again.
async fn draw(runner: &Runner, mut reports: Receiver<Report>) -> Result<(), Error> {
    print!("{}", table::CLEAR);
    loop {
        table::draw(&runner.snapshot().await?)?;
        // What changed is in the table; a runner whose reports nobody takes would wait. Cancel-safe.
        let taken = async { while reports.recv().await.is_some() {} };
        drop(tokio::time::timeout(REDRAWN, taken).await);
    }
}

/// Prints a line for each change.
async fn tell(mut reports: Receiver<Report>) -> Result<(), Error> {
    while let Some(report) = reports.recv().await {
        let outcome = match &report.outcome {
            Ok(found) => table::milliseconds(found.latency),
            Err(failure) => failure.to_string(),
        };
        println!("{:<7}  {}  {outcome}", report.verdict.to_string(), report.check);
    }
    Ok(())
}
