//! How long the machine stood still: that is no neighbour's doing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(20);

/// What passes between two looks beyond this the machine stood still, or had no time for us.
const MOST: Duration = Duration::from_millis(60);

/// Looks at the clock until it is dropped.
pub(crate) struct Pauses {
    seen: Arc<Mutex<(Instant, Duration)>>,
    ends: Arc<AtomicBool>,
}

impl Pauses {
    pub(crate) fn watch() -> Self {
        let (seen, ends) =
            (Arc::new(Mutex::new((Instant::now(), Duration::ZERO))), Arc::new(AtomicBool::new(false)));
        let (its, end) = (Arc::clone(&seen), Arc::clone(&ends));
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                look(&its);
                thread::sleep(TICK);
            }
        });
        Self { seen, ends }
    }

    /// All pauses since the beginning together.
    pub(crate) fn total(&self) -> Duration {
        look(&self.seen)
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn look(seen: &Mutex<(Instant, Duration)>) -> Duration {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let lost = now.duration_since(seen.0).saturating_sub(MOST);
    seen.1 += lost;
    seen.0 = now;
    seen.1
}
