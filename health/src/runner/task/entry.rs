//! A wanted check.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;

use super::Number;
use crate::failure::Outcome;
use crate::hold::Hold;
use crate::runner::{Report, Status};
use crate::schedule::{Deadline, Grid, Place, Schedule};
use crate::spec::Check;

/// A wanted check.
pub(super) struct Entry {
    pub(super) check: Arc<Check>,
    pub(super) grid: Grid,
    pub(super) status: Status,
    pub(super) hold: Hold,
    pub(super) phase: Phase,
    /// Whether it is to look once more as soon as it may when the probe under way has ended.
    pub(super) is_hastened: bool,
}

/// What a check is doing.
pub(super) enum Phase {
    /// It waits in the schedule. `started`: when its last probe began; none before its first.
    Waiting { deadline: Deadline, started: Option<Duration> },
    /// It is being probed, since `started`.
    Probing { probe: AbortHandle, place: Place, started: Duration },
    /// A task of its own keeps a connection.
    Keeping { keeper: AbortHandle },
}

impl Entry {
    /// It waits for its first probe.
    pub(super) fn new(check: Arc<Check>, grid: Grid, deadline: Deadline) -> Self {
        Self {
            check,
            grid,
            status: Status::new(SystemTime::now()),
            hold: Hold::default(),
            phase: Phase::Waiting { deadline, started: None },
            is_hastened: false,
        }
    }

    /// Lets it look as soon as it may; a first probe comes soon anyway, and so does one between two slots.
    pub(super) fn hasten(&mut self, number: Number, schedule: &mut Schedule<Number>, now: Duration) {
        match &mut self.phase {
            Phase::Waiting { deadline, started: Some(started) } if deadline.place == Place::Slot => {
                if let Some(sooner) = self.grid.hastened(*deadline, *started, now) {
                    schedule.cancel(*deadline, number);
                    schedule.enter(sooner, number);
                    *deadline = sooner;
                }
            }
            // A kept connection tells by itself.
            Phase::Waiting { .. } | Phase::Keeping { .. } => {}
            Phase::Probing { .. } => self.is_hastened = true,
        }
    }

    /// Moves its state by a result; what is to be told of that.
    pub(super) fn take_in(&mut self, outcome: &Outcome, at: SystemTime) -> Option<Report> {
        let before = self.status.state.verdict();
        let is_told = self.status.take_in(&self.check.verdict_timing(), outcome, at);
        let verdict = self.status.state.verdict();
        is_told.then(|| Report {
            check: Arc::clone(&self.check),
            verdict,
            changed: verdict != before,
            advice: self.status.advice,
            outcome: outcome.clone(),
            at,
        })
    }
}
