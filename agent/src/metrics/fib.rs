//! What is counted of the routes to nodes.

use crate::fib::Report;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Counters of what is written, and how many routes there are.
#[derive(Debug)]
pub(super) struct Fib {
    operations: IntCounterVec,
    pub(super) reads: IntCounter,
    pub(super) repairs: IntCounter,
    routes: IntGaugeVec,
}

impl Fib {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let fib = Self {
            operations: IntCounterVec::new(
                Opts::new("lvsd_fib_operations_total", "Routes to nodes that were written, by result."),
                &["result"],
            )?,
            reads: IntCounter::new("lvsd_fib_reads_total", "Whole readings of the routes to nodes.")?,
            repairs: IntCounter::new(
                "lvsd_fib_repairs_total",
                "Writes that put right what others had changed in the routes to nodes.",
            )?,
            routes: IntGaugeVec::new(
                Opts::new("lvsd_fib_routes", "Routes to nodes in the kernel's table, by state."),
                &["state"],
            )?,
        };
        for result in ["ok", "refused"] {
            fib.operations.with_label_values(&[result]);
        }
        fib.routes(&Report::default());
        Ok(fib)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.operations.clone()))?;
        registry.register(Box::new(self.reads.clone()))?;
        registry.register(Box::new(self.repairs.clone()))?;
        registry.register(Box::new(self.routes.clone()))
    }

    pub(super) fn operations(&self, ok: usize, refused: usize) {
        self.operations.with_label_values(&["ok"]).inc_by(ok as u64);
        self.operations.with_label_values(&["refused"]).inc_by(refused as u64);
    }

    pub(super) fn routes(&self, report: &Report) {
        let Report { installed, foreign, refused, .. } = report;
        for (state, count) in [("installed", *installed), ("refused", refused.len()), ("foreign", *foreign)] {
            self.routes.with_label_values(&[state]).set(count as i64);
        }
    }
}
