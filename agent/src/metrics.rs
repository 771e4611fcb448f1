//! What Prometheus reads at `/metrics`.
//!
//! Counters live here and grow; gauges are made from the state at each scrape, so that a service that is gone
//! leaves no series behind. Label values are names from the configuration, a bounded set.

mod bgp;
mod families;
mod fib;
mod fleet;
mod gauges;
mod ipvs;
mod page;
mod process;
mod pybal;
mod sources;
mod traffic;

use crate::core::action::{Level, Notice};
use crate::core::numbers::Numbers;
use crate::fib::Report;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};
use std::time::{Duration, SystemTime};

pub use gauges::Sources;
pub use page::Page;
pub use pybal::Pybal;
pub use traffic::fill as count_traffic;

/// Buckets for the core's step: it is meant to take microseconds.
const STEP_BUCKETS: [f64; 9] = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2, 1e-1];

/// Buckets for the time that the engine's answer takes: it is meant to take less than a millisecond.
const LAG_BUCKETS: [f64; 9] = [1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1, 5e-1, 2.5];

/// The daemon's counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: SystemTime,
    step: Histogram,
    lag: Histogram,
    notices: IntCounterVec,
    notices_lost: IntCounter,
    ipvs: ipvs::Ipvs,
    reloads: IntCounterVec,
    remote: IntCounterVec,
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
        let lag = HistogramOpts::new(
            "lvsd_loop_lag_seconds",
            "Time that the engine took to answer, asked once a second: what an event waits for its turn.",
        );
        let metrics = Self {
            registry: Registry::new(),
            started: SystemTime::now(),
            step: Histogram::with_opts(step.buckets(STEP_BUCKETS.into()))?,
            lag: Histogram::with_opts(lag.buckets(LAG_BUCKETS.into()))?,
            notices: counters(
                "lvsd_notices_total",
                "Decisions and findings that were logged, by level.",
                "level",
            )?,
            notices_lost: IntCounter::new(
                "lvsd_notices_lost_total",
                "Decisions and findings that were not logged, as the log was stuck.",
            )?,
            ipvs: ipvs::Ipvs::new()?,
            reloads: counters("lvsd_reloads_total", "Reloads of the configuration, by result.", "result")?,
            remote: counters(
                "lvsd_remote_connections_total",
                "Connections to the control interface over TLS, by what came of their handshake.",
                "result",
            )?,
            fib: fib::Fib::new()?,
        };
        metrics.registry.register(Box::new(metrics.step.clone()))?;
        metrics.registry.register(Box::new(metrics.lag.clone()))?;
        metrics.registry.register(Box::new(metrics.notices.clone()))?;
        metrics.registry.register(Box::new(metrics.notices_lost.clone()))?;
        metrics.registry.register(Box::new(metrics.reloads.clone()))?;
        metrics.registry.register(Box::new(metrics.remote.clone()))?;
        metrics.ipvs.register(&metrics.registry)?;
        metrics.fib.register(&metrics.registry)?;
        // A counter that is there at zero can be alerted on from the start.
        for level in [Level::Info, Level::Warn, Level::Error] {
            metrics.notices.with_label_values(&[level_name(level)]);
        }
        for result in ["ok", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        for result in ["accepted", "refused"] {
            metrics.remote.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Counts a step of the core.
    pub fn step(&self, duration: Duration) {
        self.step.observe(duration.as_secs_f64());
    }

    /// Counts an answer of the engine, by the time that it took.
    pub fn answered(&self, duration: Duration) {
        self.lag.observe(duration.as_secs_f64());
    }

    /// Counts a comparison of the kernel's table with the wanted one, and what came of it.
    pub fn ipvs_reconciled(&self, is_ok: bool) {
        self.ipvs.reconciled(is_ok);
    }

    /// Counts a change that the kernel has confirmed.
    pub fn ipvs_programmed(&self, duration: Duration) {
        self.ipvs.program.observe(duration.as_secs_f64());
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
        self.ipvs.operations(ok, refused);
    }

    /// Counts a reading of the kernel's table.
    pub fn ipvs_read(&self) {
        self.ipvs.reads.inc();
    }

    /// Counts operations that put right what others had changed.
    pub fn ipvs_repaired(&self, operations: usize) {
        self.ipvs.repairs.inc_by(operations as u64);
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

    /// Counts a connection over TLS.
    pub fn remote(&self, is_accepted: bool) {
        self.remote.with_label_values(&[if is_accepted { "accepted" } else { "refused" }]).inc();
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric is inconsistent: a mistake in this module.
    pub fn page(&self, mut numbers: Numbers, sources: &Sources<'_>) -> Result<Page, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(gauges::registry(&numbers, sources, self.started)?.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        let mut head = String::from_utf8_lossy(&text).into_owned();
        if let Some(checks) = sources.checks {
            head.push_str(&gauges::histograms(checks));
            gauges::certificates(&mut numbers, checks);
        }
        Ok(Page::new(head, families::FAMILIES, numbers))
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warn => "warning",
        Level::Error => "error",
    }
}
