//! What a run came to.

use serde::Serialize;

use crate::failure::Failure;
use crate::profile::Operation;
use crate::tally::{Done, Latencies, Tally, latencies};
use crate::usage::Usage;

/// Percentiles of a curve; what lies between them cannot be told apart in a plot.
const CURVE: [f64; 21] = [
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95,
    99.99, 99.995, 99.999, 100.0,
];

/// Latencies of some requests, in microseconds.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "each is what its name says, in microseconds")]
pub struct Latency {
    pub min_us: f64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub p99_99_us: f64,
    pub max_us: f64,
    /// Percentile and latency.
    pub curve: Vec<(f64, f64)>,
    #[serde(skip)]
    histogram: Latencies,
}

impl Latency {
    /// Of a histogram.
    #[must_use]
    pub fn new(histogram: &Latencies) -> Self {
        let at = |percentile| us(histogram.value_at_percentile(percentile));
        Self {
            min_us: us(if histogram.is_empty() { 0 } else { histogram.min() }),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p95_us: at(95.0),
            p99_us: at(99.0),
            p99_9_us: at(99.9),
            p99_99_us: at(99.99),
            max_us: us(histogram.max()),
            curve: CURVE
                .iter()
                .map(|percentile| (*percentile, at(*percentile)))
                .collect(),
            histogram: histogram.clone(),
        }
    }

    /// The latency that a part of the requests, 0 to 100, did not exceed.
    #[must_use]
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        us(self.histogram.value_at_percentile(percentile))
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "an hour in nanoseconds is less than 2^53"
)]
fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// Requests that succeeded: all, or those of a kind or to a target.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Kind or target.
    pub name: String,
    /// How many.
    pub requests: u64,
    /// How many a second.
    pub per_second: f64,
    /// Bytes of files that were moved.
    pub bytes: u64,
    /// The same, in MiB a second.
    pub mib_per_second: f64,
    /// Requests that failed, where that is known.
    pub errors: Option<u64>,
    /// From when each was due.
    pub latency: Latency,
    /// From when each was begun. In a closed loop that is the same.
    pub service: Latency,
}

impl Line {
    #[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
    fn new(name: &str, done: &Done, errors: Option<u64>, elapsed_s: f64) -> Self {
        Self {
            name: name.to_owned(),
            requests: done.count(),
            per_second: done.count() as f64 / elapsed_s,
            bytes: done.bytes,
            mib_per_second: done.bytes as f64 / f64::from(1 << 20) / elapsed_s,
            errors,
            latency: Latency::new(&done.latency),
            service: Latency::new(&done.service),
        }
    }
}

/// Errors of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorLine {
    /// The kind.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// What the first of them said.
    pub example: String,
}

/// What was done in a piece of the time.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Point {
    /// Seconds from when counting began to the end of this piece.
    pub at_s: f64,
    pub per_second: f64,
    pub mib_per_second: f64,
    pub errors: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Point {
    /// Of what was counted in a piece that long.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
    pub fn new(at_s: f64, length_s: f64, tally: &Tally) -> Self {
        let done = tally.total(|_, _| true);
        let at = |percentile| us(done.latency.value_at_percentile(percentile));
        Self {
            at_s,
            per_second: done.count() as f64 / length_s,
            mib_per_second: done.bytes as f64 / f64::from(1 << 20) / length_s,
            errors: tally.errors_count(),
            p50_us: at(50.0),
            p99_us: at(99.0),
            max_us: us(done.latency.max()),
        }
    }
}

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Seconds from when counting began to the last answer that counts.
    pub elapsed_s: f64,
    /// All requests that succeeded.
    pub all: Line,
    /// By their kind.
    pub operations: Vec<Line>,
    /// By target.
    pub targets: Vec<Line>,
    /// All that failed.
    pub errors: Vec<ErrorLine>,
    /// Over time.
    pub points: Vec<Point>,
    /// What it cost.
    pub usage: Usage,
}

impl Figures {
    /// Of what was counted.
    #[must_use]
    pub fn new(tally: &Tally, targets: &[String], elapsed_s: f64, points: Vec<Point>, usage: Usage) -> Self {
        let elapsed_s = elapsed_s.max(1e-9);
        let errors = tally.errors.iter().map(|(kind, error)| ErrorLine {
            kind: kind.clone(),
            count: error.count,
            example: error.example.clone(),
        });
        let operations = Operation::ALL.into_iter().filter_map(|operation| {
            let done = tally.total(|_, of| of == operation);
            (done.count() > 0).then(|| Line::new(operation.name(), &done, None, elapsed_s))
        });
        let by_target = targets.iter().enumerate().map(|(number, name)| {
            let done = tally.total(|of, _| of == number);
            let errors = tally.errors_at.get(&number).copied().unwrap_or(0);
            Line::new(name, &done, Some(errors), elapsed_s)
        });
        let all = tally.total(|_, _| true);
        Self {
            elapsed_s,
            all: Line::new("all", &all, Some(tally.errors_count()), elapsed_s),
            operations: operations.collect(),
            targets: by_target.collect(),
            errors: errors.collect(),
            points,
            usage,
        }
    }

    /// How many requests failed.
    #[must_use]
    pub fn errors_count(&self) -> u64 {
        self.errors.iter().map(|error| error.count).sum()
    }

    /// How many came back with other content than was stored.
    #[must_use]
    pub fn wrong_count(&self) -> u64 {
        let wrong = self
            .errors
            .iter()
            .filter(|error| error.kind.contains(Failure::WRONG));
        wrong.map(|error| error.count).sum()
    }
}

/// Nothing was done.
impl Default for Latency {
    fn default() -> Self {
        Self::new(&latencies())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::thresholds::{ErrorLimit, Thresholds, parse_latency};

    /// A thousand requests in two seconds, of 1 to 1000 ms, and two errors.
    fn figures() -> Figures {
        let mut tally = Tally::default();
        for number in 1..=1000 {
            let time = Duration::from_millis(number);
            tally.succeed(0, Operation::Download, time, time, 1 << 20);
        }
        tally.fail(0, &Failure::refused("HTTP 503", "busy"));
        tally.fail(0, &Failure::refused("HTTP 503", "still busy"));
        Figures::new(&tally, &["here".to_owned()], 2.0, Vec::new(), Usage::default())
    }

    fn missed(change: impl FnOnce(&mut Thresholds)) -> Vec<String> {
        let mut thresholds = Thresholds {
            max_errors: ErrorLimit::Count(2),
            ..Thresholds::default()
        };
        change(&mut thresholds);
        thresholds.missed(&figures())
    }

    #[test]
    fn figures_are_those_of_the_requests() {
        let figures = figures();
        assert_eq!((figures.all.requests, figures.errors_count()), (1000, 2));
        assert!((figures.all.per_second - 500.0).abs() < 1e-9);
        assert!((figures.all.mib_per_second - 500.0).abs() < 1e-9);
        let p99 = figures.all.latency.p99_us;
        assert!((989e3..992e3).contains(&p99), "{p99}");
        assert_eq!(figures.errors[0].example, "busy");
        assert_eq!(figures.targets[0].errors, Some(2));
    }

    #[test]
    fn thresholds_are_missed_only_beyond_them() {
        assert!(missed(|_| {}).is_empty());
        let p = |text: &str| vec![parse_latency(text).unwrap()];
        assert!(missed(|of| of.latencies = p("99=993ms")).is_empty());
        assert_eq!(missed(|of| of.latencies = p("99=980ms")).len(), 1);
        assert_eq!(
            missed(|of| of.latencies = p("p50=1ms")),
            ["p50 is 500 ms, over 1.00 ms"]
        );
        assert!(missed(|of| of.min_rate = Some(500.0)).is_empty());
        assert_eq!(missed(|of| of.min_rate = Some(501.0)).len(), 1);
        assert!(missed(|of| of.min_throughput_mib = Some(499.0)).is_empty());
        assert_eq!(missed(|of| of.min_throughput_mib = Some(501.0)).len(), 1);
        let limit = |text: &str| text.parse::<ErrorLimit>().unwrap();
        assert_eq!(
            missed(|of| of.max_errors = limit("1")),
            ["2 of 1,002 requests failed"]
        );
        assert!(missed(|of| of.max_errors = limit("0.2%")).is_empty());
        assert_eq!(missed(|of| of.max_errors = limit("0.1%")).len(), 1);
    }

    #[test]
    fn what_came_back_wrong_is_never_let_pass() {
        let mut tally = Tally::default();
        tally.succeed(0, Operation::Download, Duration::ZERO, Duration::ZERO, 1);
        tally.fail(0, &Failure::wrong("byte 7"));
        let figures = Figures::new(&tally, &[], 1.0, Vec::new(), Usage::default());
        let all = Thresholds {
            max_errors: ErrorLimit::Count(100),
            ..Thresholds::default()
        };
        assert_eq!(all.missed(&figures), ["1 came back wrong"]);
        let none = Figures::new(&Tally::default(), &[], 1.0, Vec::new(), Usage::default());
        assert_eq!(all.missed(&none), ["no request succeeded"]);
    }

    #[test]
    fn what_is_no_threshold_is_refused() {
        for text in ["", "x", "-1", "101%", "x%"] {
            assert!(text.parse::<ErrorLimit>().is_err(), "{text}");
        }
        for text in ["", "99", "101=1s", "x=1s", "99=x"] {
            assert!(parse_latency(text).is_err(), "{text}");
        }
    }
}
