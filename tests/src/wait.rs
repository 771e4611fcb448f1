//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks: short beside what is waited for, long beside a system call in the guest.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `condition` holds and returns how long that took; an error that names `what` after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    loop {
        if condition() {
            return Ok(start.elapsed());
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} in vain for: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
