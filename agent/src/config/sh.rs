//! The source hashing scheduler's limit on weights.

use ipvs::Weight;
use std::num::NonZeroU32;
use thiserror::Error;

/// Buckets of the table that sh fills with each destination as many times as its weight says
/// (`IP_VS_SH_TAB_SIZE`, net/netfilter/ipvs/ip_vs_sh.c with its default of 8 bits).
const BUCKETS: u64 = 256;

/// Weights that sh cannot serve in their proportions: whoever comes last gets too few buckets, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
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

/// What the weights of a pool under scheduler sh must be divided by before the kernel gets them.
///
/// # Errors
/// [`ShWeights`] when even the divided weights are more than sh has buckets.
pub fn sh_divisor(weights: impl IntoIterator<Item = Weight>) -> Result<NonZeroU32, ShWeights> {
    let (mut divisor, mut sum) = (0u32, 0u64);
    for weight in weights {
        divisor = greatest_common_divisor(divisor, weight.get());
        sum += u64::from(weight.get());
    }
    // Nothing but zeros, or nothing at all, is left as it is.
    let divisor = NonZeroU32::new(divisor).unwrap_or(NonZeroU32::MIN);
    let sum = sum / u64::from(divisor.get());
    if sum > BUCKETS { Err(ShWeights { sum, divisor }) } else { Ok(divisor) }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divisor(weights: &[u32]) -> Result<u32, u64> {
        let weights = weights.iter().map(|&w| Weight::new(w).expect("a test's weight is valid"));
        sh_divisor(weights).map(NonZeroU32::get).map_err(|error| error.sum)
    }

    #[test]
    fn equal_weights_are_one_bucket_each() {
        assert_eq!(divisor(&[100; 5]), Ok(100));
        assert_eq!(divisor(&[65_535; 256]), Ok(65_535));
        assert_eq!(divisor(&[65_535; 257]), Err(257));
    }

    #[test]
    fn more_than_256_divided_is_refused() {
        assert_eq!(divisor(&[255, 1]), Ok(1));
        assert_eq!(divisor(&[256, 1]), Err(257));
        assert_eq!(divisor(&[512, 2]), Err(257));
    }

    #[test]
    fn backends_of_weight_zero_take_no_bucket() {
        assert_eq!(divisor(&[0, 10, 20]), Ok(10));
        assert_eq!(divisor(&[0, 0]), Ok(1));
        assert_eq!(divisor(&[]), Ok(1));
    }
}
