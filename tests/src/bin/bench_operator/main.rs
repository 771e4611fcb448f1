//! The benchmark of what an operator and a monitoring system ask: `lvsctl status` and `/metrics` of a thousand services with ten
//! backends each. `make bench-operator` builds it in release and runs it.
//!
//! lvsd runs on the machine's own kernel, in a dry run: what is asked for is what its core, checks and metrics have, and the
//! kernel's counters are not among it. Every backend is checked; [`servers`] answers.

mod servers;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::kernel::target;
use lab::measure::dry_run::{DryRun, in_a_namespace};
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};
use lab::measure::process::resident;
use lab::program::run_to_end;
use lab::wait::wait_until;

use crate::servers::{Servers, address, port};

const SERVICES: u32 = 1_000;
const BACKENDS: u32 = 10;

/// What lvsd may use: all of a machine with two.
const PROCESSORS: &str = "0-1";

/// How often each is asked.
const QUESTIONS: usize = 200;
const SCRAPES: usize = 1_000;

/// Scrapes before memory is looked at first: what the first ones take stays.
const FIRST: usize = 100;

/// Milliseconds.
const LIMIT: Required = Required::AtMost(50.0);

/// What a thousand scrapes may leave, MB: pages of an allocator, not a page of metrics.
const GROWTH: Required = Required::AtMost(1.0);

/// Longest wait for the first result of every check.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first argument of this program when it is inside; the second is the directory for what it leaves.
const ROLE: &str = "inside";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [role, directory] if role == ROLE => measure(directory.as_ref()),
        [role, _] if role == servers::ROLE => servers::serve(),
        _ => outside(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let bench = target()?.join("bench");
    let directory = bench.join("operator");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    in_a_namespace(&[ROLE], &directory)?;
    let report = bench.join("operator.json");
    fs::rename(directory.join("operator.json"), &report)?;
    println!("report: {}", report.display());
    Ok(())
}

fn measure(directory: &Path) -> Result<()> {
    let mut report = Report::new()?;
    println!("{SERVICES} services × {BACKENDS}, {}:", report.machine());
    run_to_end("ip", &["link", "set", "lo", "up"])?;
    let _servers = Servers::start(directory)?;
    let lvsd = DryRun::start(directory, &configuration(), PROCESSORS)?;
    let up = format!("lvsd_backends_up {}", SERVICES * BACKENDS);
    let everything = f64::from(SERVICES * BACKENDS);
    wait_until(&up, PATIENCE, || {
        lvsd.page("/metrics").is_ok_and(|page| {
            Exposition::read(&page).sum("lvsd_check_results_total{kind=\"tcp\",result=\"ok\"}") >= everything
        })
    })?;

    let ask =
        |arguments: &[&str]| (0..QUESTIONS).map(|_| timed(|| lvsd.ctl(arguments))).collect::<Result<_>>();
    report.latency("lvsctl status, start of the process to its end", ask(&["status"])?, LIMIT)?;
    report.latency(
        "lvsctl status -o wide, every backend",
        ask(&["status", "-o", "wide"])?,
        Required::Nothing,
    )?;
    report.latency("lvsctl status -o json", ask(&["status", "-o", "json"])?, Required::Nothing)?;
    report.latency("lvsctl status of one service", ask(&["status", "s7"])?, Required::Nothing)?;

    for _ in 0..FIRST {
        lvsd.page("/metrics")?;
    }
    let before = resident(lvsd.id())?;
    let scrapes = (0..SCRAPES).map(|_| timed(|| lvsd.page("/metrics"))).collect::<Result<_>>()?;
    report.latency("a scrape", scrapes, LIMIT)?;
    let (page, after) = (lvsd.page("/metrics")?, resident(lvsd.id())?);
    report.value("its page", page.len() as f64 / 1e6, "MB", Required::Nothing);
    report.value("resident memory", after / 1e6, "MB", Required::Nothing);
    report.value("resident memory, grown in 1,000 scrapes", (after - before) / 1e6, "MB", GROWTH);
    report.write(&directory.join("operator.json"))?;
    println!("\n{}", report.table());
    Ok(())
}

/// How long that took, milliseconds.
fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<f64> {
    let begin = Instant::now();
    what()?;
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}

fn configuration() -> String {
    let mut text = String::new();
    for service in 0..SERVICES {
        let (high, low) = (service / 250, service % 250 + 1);
        let backends = (0..BACKENDS).map(|backend| {
            format!("{{ host = \"b{service}-{backend}\", addresses = [\"{}\"] }}, ", address(backend))
        });
        let backends: String = backends.collect();
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "[service.s{service}]\nvips = [\"198.18.{high}.{low}\"]\nport = 80\n\
             checks = [{{ type = \"tcp\", port = {}, interval = \"10s\" }}]\nbackends = [{backends}]",
            port(service)
        );
    }
    text
}
