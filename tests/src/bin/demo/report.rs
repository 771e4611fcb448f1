//! What the events cost: report.json and the table at the end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use lab::traffic;
use serde::{Deserialize, Serialize};

/// The report's file in the demo's directory.
pub(crate) const FILE: &str = "report.json";

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// What, in words for a table.
    pub(crate) name: &'static str,
    /// When, since the traffic's start.
    pub(crate) at: Duration,
    /// From the cause until the last kernel or router had its effect.
    pub(crate) reaction: Duration,
    /// Whether an operator wanted it: then it must not fail a request.
    pub(crate) planned: bool,
}

/// The whole demo in numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests of all phases.
    pub(crate) requests: usize,
    /// Those that failed.
    pub(crate) failed: usize,
    /// One phase for each event.
    pub(crate) phases: Vec<Phase>,
}

/// What became of the requests from one event to the next.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Phase {
    name: String,
    requests: usize,
    failed: usize,
    reaction_ms: f64,
}

impl Report {
    /// Phases of the traffic are named by events, in the same order.
    pub(crate) fn new(traffic: &traffic::Report, events: &[Event]) -> Self {
        let phase = |(phase, event): (&traffic::Phase, &Event)| Phase {
            name: phase.name.clone(),
            requests: phase.totals.requests,
            failed: phase.totals.failed,
            reaction_ms: milliseconds(event.reaction),
        };
        Self {
            requests: traffic.totals.requests,
            failed: traffic.totals.failed,
            phases: traffic.phases.iter().zip(events).map(phase).collect(),
        }
    }

    /// The table for a person.
    pub(crate) fn table(&self) -> String {
        let width = self.phases.iter().map(|phase| phase.name.len()).max().unwrap_or_default();
        let mut text =
            format!("{:<width$}  {:>13}  {:>8}  {:>8}\n", "event", "time to react", "requests", "failures");
        for phase in &self.phases {
            let Phase { name, requests, failed, reaction_ms } = phase;
            let _ = writeln!(text, "{name:<width$}  {reaction_ms:>10.1} ms  {requests:>8}  {failed:>8}");
        }
        let _ = write!(text, "{:<width$}  {:>13}  {:>8}  {:>8}", "total", "", self.requests, self.failed);
        text
    }

    /// An error that names the planned events which failed requests, unless there is none.
    pub(crate) fn expect_planned_events_fail_nothing(&self, events: &[Event]) -> Result<()> {
        let guilty: Vec<_> = self
            .phases
            .iter()
            .zip(events)
            .filter(|(phase, event)| event.planned && phase.failed > 0)
            .map(|(phase, _)| format!("{} ({} of {})", phase.name, phase.failed, phase.requests))
            .collect();
        if guilty.is_empty() {
            return Ok(());
        }
        bail!("planned events failed requests: {}", guilty.join(", "))
    }
}

/// With a tenth: a depool is a matter of few.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
