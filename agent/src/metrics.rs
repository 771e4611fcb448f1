//! What Prometheus reads at `/metrics`.
//!
//! Counters live here and grow; gauges are made from the state at each scrape, so that a service that is gone
//! leaves no series behind. Label values are names from the configuration, a bounded set.

mod bgp;
mod fib;
mod gauges;
mod page;
mod pybal;
mod sources;

use crate::core::action::{Level, Notice};
use crate::core::numbers::Numbers;
use crate::fib::Report;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};
use std::time::Duration;

pub use gauges::Sources;
pub use page::Page;
pub use pybal::Pybal;

/// Buckets for the core's step: it is meant to take microseconds.
const STEP_BUCKETS: [f64; 9] = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2, 1e-1];

/// Buckets for the way from an event to the kernel's answer: it is meant to take a millisecond or so.
const PROGRAM_BUCKETS: [f64; 13] =
    [1e-4, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1.5e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 1e-1, 1.0, 1e1];

/// The daemon's counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    step: Histogram,
    program: Histogram,
    notices: IntCounterVec,
    notices_lost: IntCounter,
    ipvs_operations: IntCounterVec,
    ipvs_reads: IntCounter,
    ipvs_repairs: IntCounter,
    reloads: IntCounterVec,
    fib: fib::Fib,
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// When two metrics have the same name: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counters =
            |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        let step = HistogramOpts::new(
            "lvsd_step_duration_seconds",
            "Time that the core took to decide on one event.",
        );
        let program = HistogramOpts::new(
            "lvsd_ipvs_program_duration_seconds",
            "Time from a verdict, command or change to the kernel's confirmation of what follows from it.",
        );
        let metrics = Self {
            registry: Registry::new(),
            step: Histogram::with_opts(step.buckets(STEP_BUCKETS.into()))?,
            program: Histogram::with_opts(program.buckets(PROGRAM_BUCKETS.into()))?,
            notices: counters(
                "lvsd_notices_total",
                "Decisions and findings that were logged, by level.",
                "level",
            )?,
            notices_lost: IntCounter::new(
                "lvsd_notices_lost_total",
                "Decisions and findings that were not logged, as the log was stuck.",
            )?,
            ipvs_operations: counters(
                "lvsd_ipvs_operations_total",
                "Changes of the kernel's IPVS table that were asked for, by result.",
                "result",
            )?,
            ipvs_reads: IntCounter::new(
                "lvsd_ipvs_reads_total",
                "Whole readings of the kernel's IPVS table.",
            )?,
            ipvs_repairs: IntCounter::new(
                "lvsd_ipvs_repairs_total",
                "Operations that put right what others had changed in the kernel's IPVS table.",
            )?,
            reloads: counters("lvsd_reloads_total", "Reloads of the configuration, by result.", "result")?,
            fib: fib::Fib::new()?,
        };
        metrics.registry.register(Box::new(metrics.step.clone()))?;
        metrics.registry.register(Box::new(metrics.program.clone()))?;
        metrics.registry.register(Box::new(metrics.notices.clone()))?;
        metrics.registry.register(Box::new(metrics.notices_lost.clone()))?;
        metrics.registry.register(Box::new(metrics.ipvs_operations.clone()))?;
        metrics.registry.register(Box::new(metrics.ipvs_reads.clone()))?;
        metrics.registry.register(Box::new(metrics.ipvs_repairs.clone()))?;
        metrics.registry.register(Box::new(metrics.reloads.clone()))?;
        metrics.fib.register(&metrics.registry)?;
        // A counter that is there at zero can be alerted on from the start.
        for level in [Level::Info, Level::Warn, Level::Error] {
            metrics.notices.with_label_values(&[level_name(level)]);
        }
        for result in ["ok", "refused"] {
            metrics.ipvs_operations.with_label_values(&[result]);
            metrics.reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Counts a step of the core.
    pub fn step(&self, duration: Duration) {
        self.step.observe(duration.as_secs_f64());
    }

    /// Counts a change that the kernel has confirmed.
    pub fn ipvs_programmed(&self, duration: Duration) {
        self.program.observe(duration.as_secs_f64());
    }

    /// Counts a notice.
    pub fn notice(&self, notice: &Notice) {
        self.notices.with_label_values(&[level_name(notice.level)]).inc();
    }

    /// Counts a notice that the log did not take.
    pub fn notice_lost(&self) {
        self.notices_lost.inc();
    }

    /// How many notices the log did not take.
    #[cfg(test)]
    pub(crate) fn notices_lost(&self) -> u64 {
        self.notices_lost.get()
    }

    /// Counts operations on the kernel's table.
    pub fn ipvs_operations(&self, ok: usize, refused: usize) {
        self.ipvs_operations.with_label_values(&["ok"]).inc_by(ok as u64);
        self.ipvs_operations.with_label_values(&["refused"]).inc_by(refused as u64);
    }

    /// Counts a reading of the kernel's table.
    pub fn ipvs_read(&self) {
        self.ipvs_reads.inc();
    }

    /// Counts operations that put right what others had changed.
    pub fn ipvs_repaired(&self, operations: usize) {
        self.ipvs_repairs.inc_by(operations as u64);
    }

    /// Counts writes of routes to nodes.
    pub fn fib_operations(&self, ok: usize, refused: usize) {
        self.fib.operations(ok, refused);
    }

    /// Counts a reading of the routes to nodes.
    pub fn fib_read(&self) {
        self.fib.reads.inc();
    }

    /// Counts writes that put right what others had changed.
    pub fn fib_repaired(&self, operations: usize) {
        self.fib.repairs.inc_by(operations as u64);
    }

    /// How many writes have put right what others had changed.
    pub fn fib_repairs(&self) -> u64 {
        self.fib.repairs.get()
    }

    /// Takes over how many routes to nodes there are.
    pub fn fib_routes(&self, report: &Report) {
        self.fib.routes(report);
    }

    /// Counts a reload.
    pub fn reload(&self, is_ok: bool) {
        self.reloads.with_label_values(&[if is_ok { "ok" } else { "refused" }]).inc();
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric is inconsistent: a mistake in this module.
    pub fn page(&self, mut numbers: Numbers, sources: &Sources<'_>) -> Result<Page, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(gauges::registry(&numbers, sources)?.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        let mut head = String::from_utf8_lossy(&text).into_owned();
        if let Some(checks) = sources.checks {
            head.push_str(&gauges::histograms(checks));
            gauges::certificates(&mut numbers, checks);
        }
        Ok(Page::new(head, gauges::FAMILIES, numbers))
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warn => "warning",
        Level::Error => "error",
    }
}
