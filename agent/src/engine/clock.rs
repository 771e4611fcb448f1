//! The clock from which the core's time is made.

use crate::core::Timestamp;
use std::time::{Instant, SystemTime};

/// The wall clock as it was at start, moved on by the monotonic clock: it never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    /// Reads both clocks.
    pub fn start() -> Self {
        Self { wall: SystemTime::now().into(), start: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed()
    }
}
