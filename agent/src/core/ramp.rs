//! Slow start: a backend that comes back gets its weight in steps, so that a cold server is not buried at once.

use super::Timestamp;
use ipvs::Weight;
use std::time::Duration;

/// Steps to the full weight. Each is a change of the kernel's table, and with mh or sh moves some flows.
const STEPS: u32 = 10;

/// Where a ramp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ramp {
    /// On its way.
    Rising {
        /// The weight now; at least 1 unless the full weight is 0.
        weight: Weight,
        /// When it is more.
        next: Timestamp,
    },
    /// At its end.
    Done,
}

/// The ramp that began at `since` and takes `duration` to `full`.
pub fn ramp(full: Weight, since: Timestamp, duration: Duration, now: Timestamp) -> Ramp {
    let elapsed = now.since(since);
    if elapsed >= duration {
        return Ramp::Done;
    }
    // Below STEPS, because elapsed is below duration, which is therefore not zero.
    let done = elapsed.as_micros() * u128::from(STEPS) / duration.as_micros().max(1);
    let step = u32::try_from(done).unwrap_or(STEPS - 1) + 1;
    let share = u64::from(full.get()) * u64::from(step);
    let weight = u32::try_from(share.div_ceil(STEPS.into())).ok().and_then(|weight| Weight::new(weight).ok());
    // Rounded up to whole microseconds: a tick at that time must find the next step.
    let next = (duration.as_micros() * u128::from(step)).div_ceil(STEPS.into());
    let next = since + Duration::from_micros(u64::try_from(next).unwrap_or(u64::MAX));
    Ramp::Rising { weight: weight.unwrap_or(full), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_ramp_begins_with_a_tenth_and_ends_with_the_whole() {
        let full = Weight::new(25).unwrap();
        let second = Duration::from_secs(1);
        let weight_at = |micros| match ramp(full, at(0), second, at(micros)) {
            Ramp::Rising { weight, .. } => weight.get(),
            Ramp::Done => 1000,
        };
        assert_eq!([0, 99_999, 100_000, 899_999, 900_000, 1_000_000].map(weight_at), [3, 3, 5, 23, 25, 1000]);
    }

    proptest! {
        #[test]
        fn each_step_is_reached_at_its_time_and_none_is_lower(full in 0..70_000u32, micros in 1..10_000_000u64) {
            let (full, duration) = (Weight::new(full).unwrap(), Duration::from_micros(micros));
            let (mut now, mut last, mut steps) = (at(7), Weight::ZERO, 0);
            while let Ramp::Rising { weight, next } = ramp(full, at(7), duration, now) {
                prop_assert!(weight >= last && weight <= full && next > now);
                prop_assert!(full == Weight::ZERO || weight > Weight::ZERO);
                (last, now, steps) = (weight, next, steps + 1);
            }
            prop_assert!(steps <= STEPS && now >= at(7) + duration);
        }
    }
}
