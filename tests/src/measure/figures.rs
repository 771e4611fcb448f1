//! The figures: a file for programs and a table for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::traffic;
use anyhow::{Context, Result};
use serde::Serialize;

/// What is required of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Required {
    /// Nothing: it is there for comparison.
    Nothing,
    /// At most this; of times, the 99th percentile.
    AtMost(f64),
}

/// A time that was measured many times; milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    name: String,
    samples: usize,
    min_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    required_p99_ms: Option<f64>,
}

/// Anything else.
#[derive(Debug, Serialize)]
struct Value {
    name: String,
    value: f64,
    unit: &'static str,
    required_at_most: Option<f64>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    kernel: String,
    processors: usize,
    host: String,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    latencies: Vec<Latency>,
    values: Vec<Value>,
}

impl Report {
    /// Nothing measured yet, on this machine.
    pub fn new() -> Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
        let processors = std::thread::available_parallelism()?.get();
        // User-mode Linux says on which machine it runs.
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("the processors")?;
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let host = field("host").or_else(|| field("model name")).unwrap_or_default();
        let machine = Machine { kernel: release.trim().to_owned(), processors, host };
        Ok(Self { machine, latencies: Vec::new(), values: Vec::new() })
    }

    /// The kernel and its processors in words.
    pub fn machine(&self) -> String {
        let Machine { kernel, processors, .. } = &self.machine;
        format!("kernel {kernel}, {processors} processor{}", if *processors == 1 { "" } else { "s" })
    }

    /// Takes the samples of a time in and says what they are.
    pub fn latency(&mut self, name: &str, mut samples: Vec<f64>, required: Required) -> Result<()> {
        samples.sort_by(f64::total_cmp);
        let (first, last) =
            samples.first().zip(samples.last()).with_context(|| format!("{name}: no sample"))?;
        // The nearest rank: a sample that was seen, not one between two.
        let quantile = |q: f64| samples[((samples.len() as f64 * q).ceil() as usize).max(1) - 1];
        let latency = Latency {
            name: name.to_owned(),
            samples: samples.len(),
            min_ms: rounded(*first),
            p50_ms: rounded(quantile(0.5)),
            p99_ms: rounded(quantile(0.99)),
            max_ms: rounded(*last),
            required_p99_ms: required.limit(),
        };
        println!("  {}", latency.row(latency.name.len()));
        self.latencies.push(latency);
        Ok(())
    }

    /// Takes any other figure in and says what it is.
    pub fn value(&mut self, name: &str, value: f64, unit: &'static str, required: Required) {
        let value =
            Value { name: name.to_owned(), value: rounded(value), unit, required_at_most: required.limit() };
        println!("  {}", value.row(value.name.len()));
        self.values.push(value);
    }

    /// What became of the client's requests. No depool may fail one; what a server or VIP that fails costs is told.
    pub fn traffic(&mut self, traffic: &traffic::Report) {
        println!("the client:");
        for (index, phase) in traffic.phases.iter().enumerate().skip(1) {
            let required = if index == 1 { Required::AtMost(0.0) } else { Required::Nothing };
            self.value(
                &format!("requests during {}", phase.name),
                phase.totals.requests as f64,
                "",
                Required::Nothing,
            );
            self.value(&format!("failed during {}", phase.name), phase.totals.failed as f64, "", required);
        }
        if traffic.totals.failed > 0 {
            println!("{traffic}");
        }
    }

    /// Writes it as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("write {}", path.display()))
    }

    /// The table for a person.
    pub fn table(&self) -> String {
        let names = self.latencies.iter().map(|l| &l.name).chain(self.values.iter().map(|v| &v.name));
        let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
        let mut text = format!(
            "{:<width$}  {:>7}  {:>9}  {:>9}  {:>9}  {:>9}\n",
            "time, ms", "samples", "min", "p50", "p99", "max"
        );
        for latency in &self.latencies {
            let _ = writeln!(text, "{}", latency.row(width));
        }
        text.push('\n');
        for value in &self.values {
            let _ = writeln!(text, "{}", value.row(width));
        }
        text
    }
}

impl Required {
    fn limit(self) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

impl Latency {
    fn row(&self, width: usize) -> String {
        let Self { name, samples, min_ms, p50_ms, p99_ms, max_ms, required_p99_ms } = self;
        let judged = judged(*p99_ms, *required_p99_ms, " ms");
        format!(
            "{name:<width$}  {samples:>7}  {min_ms:>9.3}  {p50_ms:>9.3}  {p99_ms:>9.3}  {max_ms:>9.3}{judged}"
        )
    }
}

impl Value {
    fn row(&self, width: usize) -> String {
        let Self { name, value, unit, required_at_most } = self;
        format!("{name:<width$}  {value:>9} {unit}{}", judged(*value, *required_at_most, ""))
    }
}

fn judged(value: f64, limit: Option<f64>, unit: &str) -> String {
    match limit {
        Some(limit) if value <= limit => format!("  at most {limit}{unit}: met"),
        Some(limit) => format!("  at most {limit}{unit}: MISSED"),
        None => String::new(),
    }
}

/// To microseconds, the resolution of the clocks.
fn rounded(value: f64) -> f64 {
    // Adding nothing makes a zero of a zero below zero.
    (value * 1000.0).round() / 1000.0 + 0.0
}
