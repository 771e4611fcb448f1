//! Durations counted by size.

use std::time::Duration;

/// Durations counted in buckets with fixed bounds: its size does not grow with what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// One more than bounds: the last counts what is beyond them.
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// Nothing counted yet. `bounds` ascend.
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    /// Counts one more.
    pub(super) fn record(&mut self, value: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Each bound, ascending, with the count of durations that were no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The least bound that the given share of them, 0.0 to 1.0, was no longer than; none if that many were beyond
    /// every bound.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = (share * self.count() as f64).ceil() as u64;
        self.cumulative().find(|(_, below)| *below >= wanted).map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [Duration; 3] =
        [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];

    fn of(millis: &[u64]) -> Histogram {
        let mut histogram = Histogram::new(&BOUNDS);
        millis.iter().for_each(|millis| histogram.record(Duration::from_millis(*millis)));
        histogram
    }

    #[test]
    fn a_value_at_a_bound_counts_below_it_and_one_beyond_all_counts_in_none() {
        let histogram = of(&[1, 2, 10, 100, 101]);
        let counts: Vec<_> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 3, 4]);
        assert_eq!((histogram.count(), histogram.sum()), (5, Duration::from_millis(214)));
    }

    #[test]
    fn a_quantile_is_the_bound_that_holds_the_share() {
        let histogram = of(&[1, 1, 5, 50]);
        assert_eq!(histogram.quantile(0.5), Some(BOUNDS[0]));
        assert_eq!(histogram.quantile(0.51), Some(BOUNDS[1]));
        assert_eq!(histogram.quantile(1.0), Some(BOUNDS[2]));
        assert_eq!(of(&[1, 1000]).quantile(0.99), None);
        assert_eq!(of(&[]).quantile(0.99), Some(BOUNDS[0]));
    }
}
