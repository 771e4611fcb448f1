//! The executors: each brings one part of the world to the whole state that the core last gave, and reports.
//!
//! An executor holds the latest wanted state in a watch channel: a newer one replaces it, so nothing queues up and
//! nothing is missed. Reports go to the engine's inbox, whose bound holds an executor back, never the engine.

pub mod addresses;
pub mod checks;
pub mod fib;
pub mod fleet;
pub mod ipvs;
pub mod networks;
pub mod nodes;
pub mod paths;
pub mod probes;
pub mod routes;
pub mod saver;
pub mod snapshots;
pub mod state_file;

use std::time::Duration;

/// The first pause after the kernel refused something; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(250);

/// The longest pause: what an operator mends is taken up within this time.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Whether executors write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    Live,
    /// They read, and report as if they had written.
    DryRun,
}

impl Mode {
    /// Whether nothing is written.
    pub fn is_dry(self) -> bool {
        self == Self::DryRun
    }
}

/// Growing pauses between attempts.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(RETRY_MIN)
    }

    /// The pause before the next attempt; the one after it is longer.
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(RETRY_MAX);
        pause
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}
