//! What is counted of the kernel's IPVS table.

use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Buckets for the way from an event to the kernel's answer: it is meant to take a millisecond or so.
const PROGRAM_BUCKETS: [f64; 13] =
    [1e-4, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1.5e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 1e-1, 1.0, 1e1];

/// Counters of what is asked of it, and whether it is as it is wanted.
#[derive(Debug)]
pub(super) struct Ipvs {
    pub(super) program: Histogram,
    in_step: IntGauge,
    reconciles: IntCounterVec,
    operations: IntCounterVec,
    pub(super) reads: IntCounter,
    pub(super) repairs: IntCounter,
}

impl Ipvs {
    pub(super) fn new() -> Result<Self, Error> {
        let by_result = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["result"]);
        let program = HistogramOpts::new(
            "lvsd_ipvs_program_duration_seconds",
            "Time from a verdict, command or change to the kernel's confirmation of what follows from it.",
        );
        let ipvs = Self {
            program: Histogram::with_opts(program.buckets(PROGRAM_BUCKETS.into()))?,
            in_step: IntGauge::new(
                "lvsd_ipvs_in_step",
                "Whether the kernel's IPVS table is as it is wanted, as far as it was told.",
            )?,
            reconciles: by_result(
                "lvsd_ipvs_reconciles_total",
                "Times that the kernel's IPVS table was compared with the wanted one and brought to it, by result.",
            )?,
            operations: by_result(
                "lvsd_ipvs_operations_total",
                "Changes of the kernel's IPVS table that were asked for, by result.",
            )?,
            reads: IntCounter::new("lvsd_ipvs_reads_total", "Whole readings of the kernel's IPVS table.")?,
            repairs: IntCounter::new(
                "lvsd_ipvs_repairs_total",
                "Operations that put right what others had changed in the kernel's IPVS table.",
            )?,
        };
        // A counter that is there at zero can be alerted on from the start.
        for result in ["ok", "failed"] {
            ipvs.reconciles.with_label_values(&[result]);
        }
        for result in ["ok", "refused"] {
            ipvs.operations.with_label_values(&[result]);
        }
        Ok(ipvs)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), Error> {
        registry.register(Box::new(self.program.clone()))?;
        registry.register(Box::new(self.in_step.clone()))?;
        registry.register(Box::new(self.reconciles.clone()))?;
        registry.register(Box::new(self.operations.clone()))?;
        registry.register(Box::new(self.reads.clone()))?;
        registry.register(Box::new(self.repairs.clone()))
    }

    pub(super) fn reconciled(&self, is_ok: bool) {
        self.in_step.set(is_ok.into());
        self.reconciles.with_label_values(&[if is_ok { "ok" } else { "failed" }]).inc();
    }

    pub(super) fn operations(&self, ok: usize, refused: usize) {
        self.operations.with_label_values(&["ok"]).inc_by(ok as u64);
        self.operations.with_label_values(&["refused"]).inc_by(refused as u64);
    }
}
