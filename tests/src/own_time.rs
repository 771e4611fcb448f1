//! Time in which we could run. A machine that stands still stops everybody in the lab: that time is nobody's failure, and counts
//! for no bound.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks at the clock.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The most that passes between two looks; what is beyond it the machine stood still, or had no time for who looks.
const MOST: Duration = Duration::from_millis(100);

/// Such a time. Somebody has to look at it every [`TICK`].
#[derive(Debug)]
pub(crate) struct OwnTime {
    last: Instant,
    passed: Duration,
    lost: Duration,
}

impl OwnTime {
    /// It begins.
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: now, passed: Duration::ZERO, lost: Duration::ZERO }
    }

    /// How much of it has passed.
    pub(crate) fn at(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.last);
        self.passed += since.min(MOST);
        self.lost += since.saturating_sub(MOST);
        self.last = self.last.max(now);
        self.passed
    }
}

/// A watch that stands still when the machine does, with a thread that looks at it.
#[derive(Debug)]
pub struct Stopwatch {
    time: Arc<Mutex<OwnTime>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        let time = Arc::new(Mutex::new(OwnTime::new(Instant::now())));
        let ends = Arc::new(AtomicBool::new(false));
        let (its, end) = (Arc::clone(&time), Arc::clone(&ends));
        let look = move || {
            while !end.load(Ordering::Relaxed) {
                its.lock().unwrap_or_else(PoisonError::into_inner).at(Instant::now());
                thread::sleep(TICK);
            }
        };
        Self { time, ends, thread: Some(thread::spawn(look)) }
    }

    /// What has passed since its start.
    pub fn elapsed(&self) -> Duration {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).at(Instant::now())
    }

    /// How long the machine has stood still since its start.
    pub fn lost(&self) -> Duration {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        time.at(Instant::now());
        time.lost
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_machine_stands_still_none_of_it_passes() {
        let mut now = Instant::now();
        let mut time = OwnTime::new(now);
        for millis in [50, 60, 5000, 50] {
            now += Duration::from_millis(millis);
            time.at(now);
        }
        assert_eq!(time.at(now), Duration::from_millis(50 + 60 + 100 + 50));
        assert_eq!(time.lost, Duration::from_millis(4900));
    }

    #[test]
    fn a_watch_goes_on_while_the_machine_does() {
        let (watch, began) = (Stopwatch::start(), Instant::now());
        while watch.elapsed() < Duration::from_millis(200) {
            thread::sleep(TICK);
        }
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }
}
