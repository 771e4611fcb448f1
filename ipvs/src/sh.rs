//! What the source hashing scheduler can do with weights.
//!
//! sh gives each destination as many of its 256 buckets as its weight says, in their order, until there are none left:
//! five destinations of weight 100 get 100, 100, 56, 0 and 0. So weights are divided by their greatest common divisor, and
//! what is too much even then is refused.

use std::num::NonZeroU32;

use crate::model::Weight;

/// Buckets of the table (`IP_VS_SH_TAB_SIZE`, `net/netfilter/ipvs/ip_vs_sh.c` with its default of 8 bits).
pub const BUCKETS: u64 = 256;

/// Weights that sh cannot serve in their proportions: whoever comes last gets too few buckets, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the weights sum up to {sum} after division by their greatest common divisor {divisor}, but sh has {BUCKETS} \
     buckets to share out: use smaller weights or scheduler mh"
)]
pub struct ShWeights {
    /// The sum of the divided weights.
    pub sum: u64,
    /// What they were divided by.
    pub divisor: NonZeroU32,
}

/// What the weights of a pool must be divided by before sh gets them; 1 where there is nothing but zeros.
///
/// Give it the weights that destinations have when they serve. One that leaves for a while goes to weight 0 after the
/// division, so that the others keep their buckets.
///
/// # Errors
/// [`ShWeights`] when even the divided weights are more than sh has buckets.
pub fn divisor(weights: impl IntoIterator<Item = Weight>) -> Result<NonZeroU32, ShWeights> {
    let (mut divisor, mut sum) = (0u32, 0u64);
    for weight in weights {
        divisor = greatest_common_divisor(divisor, weight.get());
        sum += u64::from(weight.get());
    }
    let divisor = NonZeroU32::new(divisor).unwrap_or(NonZeroU32::MIN);
    let sum = sum / u64::from(divisor.get());
    if sum > BUCKETS { Err(ShWeights { sum, divisor }) } else { Ok(divisor) }
}

/// The weights divided so that sh can serve them, in the order in which they came.
///
/// # Errors
/// As [`divisor`].
pub fn scaled_weights(weights: &[Weight]) -> Result<Vec<Weight>, ShWeights> {
    let divisor = divisor(weights.iter().copied())?;
    Ok(weights.iter().map(|weight| weight.divided_by(divisor)).collect())
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn weights(numbers: &[u32]) -> Vec<Weight> {
        numbers.iter().map(|&number| Weight::new(number).unwrap()).collect()
    }

    fn scaled(numbers: &[u32]) -> Result<Vec<u32>, u64> {
        scaled_weights(&weights(numbers))
            .map(|scaled| scaled.into_iter().map(Weight::get).collect())
            .map_err(|error| error.sum)
    }

    #[test]
    fn equal_weights_are_one_bucket_each() {
        assert_eq!(scaled(&[100; 5]), Ok(vec![1; 5]));
        assert_eq!(scaled(&[65_535; 256]), Ok(vec![1; 256]));
        assert_eq!(scaled(&[65_535; 257]), Err(257));
    }

    #[test]
    fn a_sum_of_256_is_taken_and_one_more_is_refused() {
        assert_eq!(scaled(&[255, 1]), Ok(vec![255, 1]));
        assert_eq!(scaled(&[510, 2]), Ok(vec![255, 1]));
        assert_eq!(scaled(&[256, 1]), Err(257));
        let error = divisor(weights(&[512, 2])).unwrap_err().to_string();
        assert_eq!(
            error,
            "the weights sum up to 257 after division by their greatest common divisor 2, but sh has 256 buckets to \
             share out: use smaller weights or scheduler mh"
        );
    }

    #[test]
    fn destinations_at_weight_0_take_no_bucket() {
        assert_eq!(scaled(&[0, 10, 20]), Ok(vec![0, 1, 2]));
        assert_eq!(scaled(&[0, 0]), Ok(vec![0, 0]));
        assert_eq!(scaled(&[]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn scaled_weights_keep_their_proportions_and_fit(numbers in vec(0..50u32, 0..12), by in 1..1000u32) {
            let numbers: Vec<u32> = numbers.iter().map(|number| number * by).collect();
            match scaled(&numbers) {
                Ok(scaled) => {
                    prop_assert!(scaled.iter().map(|weight| u64::from(*weight)).sum::<u64>() <= BUCKETS);
                    for (a, b) in numbers.iter().zip(&scaled).zip(numbers.iter().zip(&scaled).skip(1)) {
                        prop_assert_eq!(u64::from(*a.0) * u64::from(*b.1), u64::from(*b.0) * u64::from(*a.1));
                    }
                }
                Err(sum) => prop_assert!(sum > BUCKETS),
            }
        }
    }
}
