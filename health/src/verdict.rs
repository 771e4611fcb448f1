//! From outcomes to a verdict.
//!
//! ```text
//!              ┌───────────────── success ──────────────────┐
//!              │                                            ▼
//!        ┌───────────┐                              ┌────────────┐ ◀─┐ success:
//!  ─────▶│  Unknown  │ ◀─┐ failure                  │     Up     │   │ failures = 0
//!        │ failures  │   │ (fewer than fall         │  failures  │ ──┘
//!        └───────────┘ ──┘  in a row)               └────────────┘ ◀─┐ failure
//!              │                                      ▲        │  │  │ (fewer than fall
//!              │ fall-th failure                      │        │  └──┘  in a row)
//!              │ in a row                rise-th      │        │
//!              │                         success      │        │ fall-th failure
//!              │                         in a row     │        │ in a row
//!              │                                      │        ▼
//!              │                                    ┌────────────┐ ◀─┐ failure: successes = 0;
//!              └───────────────────────────────────▶│    Down    │   │ success (fewer than rise
//!                                                   │ successes  │ ──┘  in a row)
//!                                                   └────────────┘
//! ```
//!
//! One success is enough to leave Unknown: at start nothing is known against a server that answers, and
//! waiting for `rise` would delay every start. The very first failure changes no state but is worth telling,
//! because the target has then been checked once; [`Notice::First`] says so. A failure that says nothing of
//! the target ([`Failure::is_inconclusive`](crate::Failure::is_inconclusive)) leaves every state as it is. So does an
//! agent that says nothing of whether its server serves, but for Unknown, which becomes Up: who could have spoken against
//! the server did not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::{Evidence, Failure, Found, Outcome};
use crate::schedule::Pace;
use crate::spec::Timing;

/// Where a target stands, with the outcomes in a row that speak against it. The diagram is the module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not enough results yet.
    Unknown {
        /// Failures so far, all in a row; 0 before the first result.
        failures: u32,
    },
    /// The target answers.
    Up {
        /// Failures in a row since the last success.
        failures: u32,
    },
    /// The target does not answer as expected.
    Down {
        /// Successes in a row since the last failure.
        successes: u32,
    },
}

/// The state without its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not enough results yet.
    Unknown,
    /// The target answers.
    Up,
    /// The target does not answer as expected.
    Down,
}

/// Whether an outcome is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It changed the verdict.
    Transition,
    /// It is the first result and leaves the verdict unknown.
    First,
    /// Neither.
    Nothing,
}

impl State {
    /// Before the first result.
    pub const NEW: Self = Self::Unknown { failures: 0 };

    /// The state after `outcome`, and whether that is worth telling.
    #[must_use]
    pub fn after(self, outcome: &Outcome, timing: &Timing) -> (Self, Notice) {
        match outcome {
            Ok(Found { evidence: Evidence::Answer | Evidence::Silence, .. }) => {
                self.after_success(timing.rise())
            }
            Ok(Found { evidence: Evidence::Neutral, .. }) | Err(Failure::Unanswered { .. }) => {
                self.presumed()
            }
            Err(failure) if failure.is_inconclusive() => (self, Notice::Nothing),
            Err(_) => self.after_failure(timing.fall()),
        }
    }

    /// After nothing was said of the target, by one that could have spoken against it.
    fn presumed(self) -> (Self, Notice) {
        match self {
            Self::Unknown { .. } => (Self::Up { failures: 0 }, Notice::Transition),
            Self::Up { .. } | Self::Down { .. } => (self, Notice::Nothing),
        }
    }

    fn after_success(self, rise: u32) -> (Self, Notice) {
        match self {
            Self::Unknown { .. } => (Self::Up { failures: 0 }, Notice::Transition),
            Self::Up { .. } => (Self::Up { failures: 0 }, Notice::Nothing),
            Self::Down { successes } if successes.saturating_add(1) < rise => {
                (Self::Down { successes: successes + 1 }, Notice::Nothing)
            }
            Self::Down { .. } => (Self::Up { failures: 0 }, Notice::Transition),
        }
    }

    fn after_failure(self, fall: u32) -> (Self, Notice) {
        match self {
            Self::Unknown { failures: 0 } if fall > 1 => (Self::Unknown { failures: 1 }, Notice::First),
            Self::Unknown { failures } if failures.saturating_add(1) < fall => {
                (Self::Unknown { failures: failures + 1 }, Notice::Nothing)
            }
            Self::Up { failures } if failures.saturating_add(1) < fall => {
                (Self::Up { failures: failures + 1 }, Notice::Nothing)
            }
            Self::Unknown { .. } | Self::Up { .. } => (Self::Down { successes: 0 }, Notice::Transition),
            Self::Down { .. } => (Self::Down { successes: 0 }, Notice::Nothing),
        }
    }

    /// How soon to look again, after `outcome` has led to this state.
    pub fn pace(self, outcome: &Outcome) -> Pace {
        match self {
            Self::Unknown { failures: 0 } | Self::Up { failures: 0 } | Self::Down { successes: 0 } => {
                Pace::Regular
            }
            Self::Unknown { .. } | Self::Up { .. } | Self::Down { .. } => match outcome {
                Err(failure) if failure.is_conclusive() => Pace::AtOnce,
                Ok(_) | Err(_) => Pace::Confirming,
            },
        }
    }

    /// The state without its counts.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Unknown { .. } => Verdict::Unknown,
            Self::Up { .. } => Verdict::Up,
            Self::Down { .. } => Verdict::Down,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

#[cfg(test)]
mod tests;
