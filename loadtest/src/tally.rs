//! What has been counted so far: by one thread, or of all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::Failure;
use crate::limits::ERROR_KINDS_MAX_COUNT;
use crate::profile::Operation;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;
/// Longest latency that is told apart: an hour, in nanoseconds.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds, three digits of each.
pub type Latencies = Histogram<u64>;

/// An empty histogram.
#[must_use]
pub fn latencies() -> Latencies {
    // Bounds and digits are constants in the range that the crate takes.
    let mut histogram = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("three digits are valid"));
    histogram.auto(true);
    histogram
}

/// Requests of one kind to one target that succeeded.
#[derive(Clone, Debug)]
pub struct Done {
    /// From when they were due.
    pub latency: Latencies,
    /// From when they were begun.
    pub service: Latencies,
    /// Payload that was moved.
    pub bytes: u64,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            latency: latencies(),
            service: latencies(),
            bytes: 0,
        }
    }
}

impl Done {
    /// Adds what another has.
    pub fn merge(&mut self, other: &Self) {
        // Both resize themselves, so that adding cannot fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.service.add(&other.service);
        self.bytes += other.bytes;
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.latency.len()
    }
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorCount {
    /// How many.
    pub count: u64,
    /// What the first of them said.
    pub example: String,
}

/// All that is counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By target and kind.
    pub done: BTreeMap<(usize, Operation), Done>,
    /// By their kind.
    pub errors: BTreeMap<String, ErrorCount>,
    /// Errors at each target.
    pub errors_at: BTreeMap<usize, u64>,
    /// When the last request that counts ended.
    pub last: Option<Instant>,
}

impl Tally {
    /// A request that succeeded: how long it took since it was due, and since it was begun.
    pub fn succeed(
        &mut self,
        target: usize,
        operation: Operation,
        latency: Duration,
        service: Duration,
        bytes: u64,
    ) {
        let done = self.done.entry((target, operation)).or_default();
        // They grow as far as the longest, so that recording cannot fail.
        let _ = done.latency.record(nanoseconds(latency));
        let _ = done.service.record(nanoseconds(service));
        done.bytes += bytes;
    }

    /// A request that failed.
    pub fn fail(&mut self, target: usize, failure: &Failure) {
        *self.errors_at.entry(target).or_default() += 1;
        self.add_errors(&failure.kind, 1, &failure.text);
    }

    /// Errors of a kind.
    pub fn add_errors(&mut self, kind: &str, count: u64, example: &str) {
        if let Some(known) = self.errors.get_mut(kind) {
            known.count += count;
            return;
        }
        let is_full = self.errors.len() >= ERROR_KINDS_MAX_COUNT;
        let kind = if is_full { "other kinds" } else { kind };
        let entry = self.errors.entry(kind.to_owned()).or_insert_with(|| ErrorCount {
            count: 0,
            example: example.to_owned(),
        });
        entry.count += count;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.last = self.last.max(other.last);
        for (key, done) in &other.done {
            self.done.entry(*key).or_default().merge(done);
        }
        for (kind, error) in &other.errors {
            self.add_errors(kind, error.count, &error.example);
        }
        for (target, count) in &other.errors_at {
            *self.errors_at.entry(*target).or_default() += count;
        }
    }

    /// All that succeeded and is picked, together.
    pub fn total(&self, pick: impl Fn(usize, Operation) -> bool) -> Done {
        let mut total = Done::default();
        for ((target, operation), done) in &self.done {
            if pick(*target, *operation) {
                total.merge(done);
            }
        }
        total
    }

    /// How many failed.
    #[must_use]
    pub fn errors_count(&self) -> u64 {
        self.errors.values().map(|error| error.count).sum()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos())
        .unwrap_or(u64::MAX)
        .clamp(1, LONGEST_NS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_list(mut times in prop::collection::vec(1_u64..10_000_000_000, 1..300)) {
            let mut tally = Tally::default();
            let mut other = Tally::default();
            for (at, time) in times.iter().enumerate() {
                let to = if at % 2 == 0 { &mut tally } else { &mut other };
                let time = Duration::from_nanos(*time);
                to.succeed(at % 3, Operation::Upload, time, time, 10);
            }
            tally.merge(&other);
            let total = tally.total(|_, _| true);
            prop_assert_eq!(total.count(), times.len() as u64);
            prop_assert_eq!(total.bytes, 10 * times.len() as u64);
            times.sort_unstable();
            for percentile in [1.0, 50.0, 90.0, 99.0, 100.0] {
                let rank = (percentile / 100.0 * times.len() as f64).ceil().max(1.0) as usize;
                let exact = times[rank - 1] as f64;
                let told = total.latency.value_at_percentile(percentile) as f64;
                prop_assert!((told - exact).abs() <= exact / 1000.0 + 1.0, "p{}: {} {}", percentile, told, exact);
            }
        }
    }

    #[test]
    fn errors_are_counted_by_kind_and_never_dropped() {
        let mut tally = Tally::default();
        for number in 0..1000 {
            tally.fail(
                0,
                &Failure::refused(format!("kind {}", number % 100), format!("text {number}")),
            );
        }
        let mut all = Tally::default();
        all.merge(&tally);
        all.merge(&tally);
        assert_eq!(all.errors_count(), 2000);
        assert_eq!(all.errors.len(), ERROR_KINDS_MAX_COUNT + 1);
        assert_eq!(all.errors["kind 7"].example, "text 7");
        assert_eq!(all.errors_at[&0], 2000);
    }
}
