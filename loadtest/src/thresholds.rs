//! What a run must have reached to be a success.

use std::str::FromStr;
use std::time::Duration;

use crate::figures::Figures;
use crate::units::{parse_time, show_count, show_microseconds, show_rate};

/// How many errors are let pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErrorLimit {
    /// So many.
    Count(u64),
    /// Such a part of all requests, 0 to 1: `0.1%`.
    Part(f64),
}

impl FromStr for ErrorLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no number of errors, such as 10, and no part, such as 0.1%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(part) => match part.trim().parse::<f64>() {
                Ok(part) if (0.0..=100.0).contains(&part) => Ok(Self::Part(part / 100.0)),
                _ => Err(wrong()),
            },
        }
    }
}

/// The limits of a run.
#[derive(Clone, Debug)]
pub struct Thresholds {
    /// Percentile, 0 to 100, and its limit.
    pub latencies: Vec<(f64, Duration)>,
    /// Requests a second, of those that succeeded.
    pub min_rate: Option<f64>,
    /// MiB a second, of those that succeeded.
    pub min_throughput_mib: Option<f64>,
    /// Errors. What came back wrong is never let pass.
    pub max_errors: ErrorLimit,
}

/// Nothing but that no request fails.
impl Default for Thresholds {
    fn default() -> Self {
        Self {
            latencies: Vec::new(),
            min_rate: None,
            min_throughput_mib: None,
            max_errors: ErrorLimit::Count(0),
        }
    }
}

impl Thresholds {
    /// What was missed, a text each.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "compared with limits of a few digits")]
    pub fn missed(&self, figures: &Figures) -> Vec<String> {
        let mut missed = Vec::new();
        for (percentile, limit) in &self.latencies {
            let reached = figures.all.latency.percentile_us(*percentile);
            let limit_us = limit.as_secs_f64() * 1e6;
            if figures.all.requests > 0 && reached > limit_us {
                let (reached, limit) = (show_microseconds(reached), show_microseconds(limit_us));
                missed.push(format!("p{percentile} is {reached}, over {limit}"));
            }
        }
        if let Some(limit) = self.min_rate
            && figures.all.per_second < limit
        {
            let (reached, limit) = (show_rate(figures.all.per_second), show_rate(limit));
            missed.push(format!("the rate is {reached}, below {limit}"));
        }
        if let Some(limit) = self.min_throughput_mib
            && figures.all.mib_per_second < limit
        {
            let reached = figures.all.mib_per_second;
            missed.push(format!(
                "the throughput is {reached:.1} MiB/s, below {limit:.1} MiB/s"
            ));
        }
        let errors = figures.errors_count();
        let all = figures.all.requests + errors;
        let is_over = match self.max_errors {
            ErrorLimit::Count(limit) => errors > limit,
            ErrorLimit::Part(limit) => errors as f64 > limit * all as f64,
        };
        if is_over {
            missed.push(format!(
                "{} of {} requests failed",
                show_count(errors),
                show_count(all)
            ));
        }
        if figures.wrong_count() > 0 {
            missed.push(format!("{} came back wrong", show_count(figures.wrong_count())));
        }
        if figures.all.requests == 0 {
            missed.push("no request succeeded".to_owned());
        }
        missed
    }
}

/// Reads `99.9=50ms`: a percentile and its limit.
///
/// # Errors
///
/// A text that says what is wrong with it.
pub fn parse_latency(text: &str) -> Result<(f64, Duration), String> {
    let (percentile, limit) = text.split_once('=').ok_or("a limit is written as 99.9=50ms")?;
    let percentile = percentile.trim().trim_start_matches('p').parse::<f64>().ok();
    let percentile = percentile.filter(|percentile| (0.0..=100.0).contains(percentile));
    Ok((
        percentile.ok_or("a percentile is from 0 to 100")?,
        parse_time(limit)?,
    ))
}
