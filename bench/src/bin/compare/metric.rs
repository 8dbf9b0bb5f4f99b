//! What is measured, and what several rounds of it have shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Requests that succeeded, a second.
    RequestsPerSecond,
    /// Content that was moved, MiB a second.
    MibPerSecond,
    /// From the order to the end, seconds.
    Seconds,
    /// CPU seconds of the server and its children until the last answer, for each GiB.
    CpuPerGib,
    /// The same for each request, microseconds.
    CpuPerRequest,
    /// The same for all of it, seconds.
    CpuSeconds,
    /// CPU that the server spent behind its answers, seconds for each GiB.
    CpuAfterPerGib,
    /// The same for each request, microseconds.
    CpuAfterPerRequest,
    /// Median of latencies, microseconds.
    P50,
    /// What 99 % of latencies did not exceed, microseconds.
    P99,
    /// Memory of the server's own, not of files, at its peak, MiB.
    Memory,
}

impl Metric {
    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "a second",
            Self::MibPerSecond => "MiB/s",
            Self::Seconds => "s",
            Self::CpuPerGib => "CPU s/GiB",
            Self::CpuPerRequest => "CPU µs",
            Self::CpuSeconds => "CPU s",
            Self::CpuAfterPerGib => "CPU after, s/GiB",
            Self::CpuAfterPerRequest => "CPU after, µs",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::Memory => "memory, MiB",
        }
    }

    /// Whether more of it is better.
    pub(crate) fn is_more_better(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::MibPerSecond)
    }

    /// How many times better the first value is than the second.
    pub(crate) fn times_better(self, one: f64, other: f64) -> f64 {
        if self.is_more_better() {
            one / other
        } else {
            other / one
        }
    }

    /// A value as it stands in a table.
    pub(crate) fn show(self, value: f64) -> String {
        let digits = match self {
            Self::RequestsPerSecond | Self::MibPerSecond | Self::P50 | Self::P99 => 0,
            Self::CpuPerRequest | Self::CpuAfterPerRequest | Self::Memory => 1,
            Self::Seconds if value < 0.1 => 4,
            Self::Seconds | Self::CpuPerGib | Self::CpuAfterPerGib | Self::CpuSeconds => 2,
        };
        grouped(&format!("{value:.digits$}"))
    }
}

/// A number with commas between its thousands.
fn grouped(number: &str) -> String {
    let (whole, part) = number
        .split_once('.')
        .map_or((number, None), |(whole, part)| (whole, Some(part)));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(part) = part {
        text.push('.');
        text.push_str(part);
    }
    text
}

/// What one round has shown.
pub(crate) type Sample = BTreeMap<Metric, f64>;

/// What all rounds have shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rounds(Vec<Sample>);

impl Rounds {
    /// Takes another round.
    pub(crate) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Median, least and most.
    pub(crate) fn spread(&self, metric: Metric) -> Option<(f64, f64, f64)> {
        let mut values: Vec<f64> = self
            .0
            .iter()
            .filter_map(|sample| sample.get(&metric).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some((*values.get(values.len() / 2)?, least, most))
    }

    /// Median.
    pub(crate) fn median(&self, metric: Metric) -> Option<f64> {
        self.spread(metric).map(|(median, _, _)| median)
    }

    /// Median (least to most), as it stands in a table; nothing if it was not measured.
    pub(crate) fn show(&self, metric: Metric) -> String {
        match self.spread(metric) {
            None => String::new(),
            Some((median, least, most)) if least.total_cmp(&most).is_eq() => metric.show(median),
            Some((median, least, most)) => {
                format!(
                    "{} ({} to {})",
                    metric.show(median),
                    metric.show(least),
                    metric.show(most)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_shown_by_their_median_and_spread() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.show(Metric::RequestsPerSecond), "");
        for value in [33_000.4, 1_200.0, 45_678.6] {
            rounds.add(Sample::from([(Metric::RequestsPerSecond, value)]));
        }
        assert_eq!(rounds.show(Metric::RequestsPerSecond), "33,000 (1,200 to 45,679)");
        assert_eq!(rounds.median(Metric::P50), None);
    }

    #[test]
    fn better_is_more_or_less() {
        assert!(Metric::RequestsPerSecond.times_better(3.0, 2.0) > 1.4);
        assert!(Metric::CpuPerGib.times_better(2.0, 3.0) > 1.4);
    }
}
