//! What lvsd costs while nothing happens: memory, and the processor's time for its checks.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::lvsd::Lvsd;
use lab::site::{BALANCERS, LIMIT};

use crate::ground::{Ground, daemon};
use crate::many::{self, BACKENDS, Families, SERVICES};
use lab::measure::figures::{Report, Required};
use lab::measure::process::processor;

/// How long it is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(60);

/// Requirement: resident memory, MB (10^6 bytes).
const RESIDENT: Required = Required::AtMost(30.0);

/// Measures it. The balancers run nothing else afterwards.
pub(crate) fn measure(ground: &mut Ground, report: &mut Report) -> Result<()> {
    for balancer in &mut ground.balancers {
        balancer.stop(LIMIT)?;
    }
    many::listen(&ground.lab.servers[0])?;
    for families in [Families::V4, Families::Both] {
        measure_with(ground, report, families)?;
    }
    Ok(())
}

fn measure_with(ground: &Ground, report: &mut Report, families: Families) -> Result<()> {
    let (name, factor) = match families {
        Families::V4 => ("IPv4", 1),
        Families::Both => ("IPv4 and IPv6", 2),
    };
    println!("idle for {} s, {SERVICES} services with {BACKENDS} backends each, {name}:", IDLE.as_secs());
    let host = &ground.lab.balancers[0];
    let text = daemon(host, BALANCERS[0]) + &many::configuration(families);
    let mut lvsd = Lvsd::start_with(host, &text)?;
    let ready = lvsd.wait_ready(LIMIT)?;
    let wanted = usize::from(SERVICES) * usize::from(BACKENDS) * factor;
    let pooled = || -> Result<usize> {
        // Over netlink: thousands of destinations in one dump.
        let table = host.run(&["ipvsadm", "-Ln"])?;
        Ok(table.lines().filter(|line| line.split_whitespace().nth(3) == Some("10")).count())
    };
    lab::wait::wait_until("every backend is pooled", LIMIT, || pooled().is_ok_and(|count| count == wanted))?;
    let before = processor(lvsd.pid()?)?;
    std::thread::sleep(IDLE);
    let spent = processor(lvsd.pid()?)? - before;
    ensure!(pooled()? == wanted, "a check failed while nothing happened: the machine is too busy");
    let mut value = |figure: &str, value: f64, unit, required| {
        report.value(&format!("idle, {name}: {figure}"), value, unit, required);
    };
    value("checks", wanted as f64, "", Required::Nothing);
    value("start -> ready", ready.as_secs_f64() * 1000.0, "ms", Required::Nothing);
    // The kernel's kB are 1024 bytes.
    value("resident memory", memory(&lvsd, "VmRSS:")? * 1024.0 / 1e6, "MB", RESIDENT);
    value("of it the process's own", memory(&lvsd, "RssAnon:")? * 1024.0 / 1e6, "MB", Required::Nothing);
    value("highest resident memory", memory(&lvsd, "VmHWM:")? * 1024.0 / 1e6, "MB", Required::Nothing);
    value("processor", 100.0 * spent / IDLE.as_secs_f64(), "%", Required::Nothing);
    let checks = wanted as f64 * IDLE.as_secs_f64() / 2.0;
    value("processor for a check", 1e6 * spent / checks, "µs", Required::Nothing);
    lvsd.stop(LIMIT)?;
    Ok(())
}

fn memory(lvsd: &Lvsd, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", lvsd.pid()?))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("{field}{line}"))
}
