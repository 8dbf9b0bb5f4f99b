//! Numbers that look random and are the same for the same seed.

/// A hash of a seed and a number: the finalizer of `SplitMix64`, in which every bit depends on every other.
#[must_use]
pub fn hash(seed: u64, number: u64) -> u64 {
    let mut bits = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number in `0.0..1.0` from the upper bits of a hash.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
pub fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number in `0..below`, or 0 if there is none.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the upper half of a product of two 64-bit numbers"
)]
pub fn below(hash: u64, below: u64) -> u64 {
    ((u128::from(hash) * u128::from(below)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_kept(seed: u64, number: u64, limit in 1_u64..) {
            let bits = hash(seed, number);
            prop_assert!(below(bits, limit) < limit);
            prop_assert!((0.0..1.0).contains(&fraction(bits)));
        }
    }

    #[test]
    fn all_values_come_about_as_often() {
        let mut counts = [0_u32; 10];
        for number in 0..10_000 {
            counts[usize::try_from(below(hash(7, number), 10)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        assert_ne!(hash(1, 0), hash(2, 0));
    }
}
