//! Growing delays.

use std::time::Duration;

use crate::schedule::mix;

/// Delays that double from a first one to a longest one, each up to a half shorter by chance. The same seed gives the
/// same delays.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    seed: u64,
    /// The delays since the last reset, as far as they double anything.
    doublings: u32,
    /// The delays given.
    given: u64,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first: first.min(longest), longest, seed, doublings: 0, given: 0 }
    }

    /// The next delay.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.doublings).min(self.longest);
        if whole < self.longest {
            self.doublings += 1;
        }
        self.given += 1;
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos - mix(self.seed ^ self.given) % (nanos / 2).max(1))
    }

    /// Begins with the first again.
    pub(crate) fn reset(&mut self) {
        self.doublings = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_to_the_longest_and_are_shortened_by_half_at_most() {
        let mut backoff = Backoff::new(SECOND, SECOND * 5, 7);
        for whole in [1, 2, 4, 5, 5, 5].map(|seconds| SECOND * seconds) {
            let delay = backoff.next();
            assert!(delay > whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= SECOND);
    }

    #[test]
    fn thousands_that_lose_their_connections_at_once_come_back_spread() {
        let mut tenths = [0; 5];
        for seed in 0..5000 {
            let delay = Backoff::new(SECOND, SECOND * 5, mix(seed)).next();
            tenths[(delay.as_nanos() as usize - 500_000_001) / 100_000_000] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_first_delay_beyond_the_longest_is_cut_and_many_delays_overflow_nothing() {
        let mut backoff = Backoff::new(SECOND, Duration::from_millis(1), 0);
        assert!((0..1000).all(|_| backoff.next() <= Duration::from_millis(1)));
    }
}
