//! How long to wait between attempts.

use std::time::Duration;

/// The first wait after a session that was stable.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait: a router that comes back is found within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// A deterministic source of jitter; the seed comes from outside.
#[derive(Clone, Debug)]
pub struct Jitter(Option<u64>);

impl Jitter {
    /// Jitter that differs by seed.
    pub const fn seeded(seed: u64) -> Self {
        Self(Some(seed))
    }

    /// No jitter, for tests.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A time between three quarters of `time` and `time` (RFC 4271 §10).
    pub fn apply(&mut self, time: Duration) -> Duration {
        let Some(state) = &mut self.0 else { return time };
        // splitmix64 (Steele, Lea, Flood 2014).
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = u32::try_from((mixed ^ (mixed >> 31)) % 256).unwrap_or(0);
        time - time / 1024 * share
    }
}

/// Waits that double.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait now; the next wait is twice as long.
    pub fn next_wait(&mut self) -> Duration {
        let wait = SHORTEST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// The shortest wait, without counting a failure.
    pub const fn shortest() -> Duration {
        SHORTEST
    }

    /// All is well: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.next_wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        (0..100).for_each(|_| assert!(backoff.next_wait() <= LONGEST));
        backoff.reset();
        assert_eq!(backoff.next_wait(), SHORTEST);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most_and_differs() {
        let mut jitter = Jitter::seeded(7);
        let times: Vec<_> = (0..1000).map(|_| jitter.apply(Duration::from_secs(100))).collect();
        assert!(times.iter().all(|time| (75..=100).contains(&time.as_secs())));
        assert!(times.windows(2).filter(|pair| pair[0] != pair[1]).count() > 900);
    }
}
