//! How often something took how long.

use super::Counter;

/// Buckets by powers of two: the first holds what is below 64, the last what is 2^20 or more.
const BUCKETS: usize = 16;
const FIRST_POWER: u32 = 6;

/// Counts of durations in microseconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&self, micros: u64) {
        let power = u64::BITS - micros.leading_zeros();
        let at = usize::try_from(power.saturating_sub(FIRST_POWER)).unwrap_or(BUCKETS);
        if let Some(bucket) = self.buckets.get(at.min(BUCKETS - 1)) {
            bucket.add(1);
        }
        self.sum.add(micros);
    }

    /// Adds what it holds: the sum, and to each bucket.
    pub(super) fn collect(&self, into: &mut Collected) {
        into.sum = into.sum.wrapping_add(self.sum.get());
        for (all, bucket) in into.buckets.iter_mut().zip(&self.buckets) {
            *all = all.wrapping_add(bucket.get());
        }
    }
}

/// Histograms of all threads together.
#[derive(Debug, Default)]
pub(super) struct Collected {
    sum: u64,
    buckets: [u64; BUCKETS],
}

impl Collected {
    /// The sum, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        seconds(self.sum)
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bounds in seconds, and what is in each bucket alone.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = (0..).map(|at| match at {
            last if last + 1 == BUCKETS => f64::MAX,
            at => seconds(1 << (u32::try_from(at).unwrap_or(0) + FIRST_POWER)),
        });
        bounds.zip(self.buckets.iter().copied()).collect()
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sum of microseconds is exact for 285 years"
)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for micros in [
            0,
            1,
            63,
            64,
            65,
            127,
            128,
            1000,
            1 << 19,
            (1 << 20) - 1,
            1 << 20,
            u64::MAX / 2,
        ] {
            let histogram = Histogram::default();
            histogram.add(micros);
            let mut all = Collected::default();
            histogram.collect(&mut all);
            let buckets = all.buckets();
            let at = buckets.iter().position(|(_, count)| *count == 1).unwrap();
            assert!(seconds(micros) < buckets[at].0, "{micros}");
            assert!(at == 0 || seconds(micros) >= buckets[at - 1].0, "{micros}");
            assert_eq!((all.count(), all.seconds()), (1, seconds(micros)));
        }
    }
}
