//! What a run is shown as.

pub mod html;
pub mod json;
mod plot;
pub mod text;

use serde::Serialize;

use crate::figures::Figures;
use crate::plan::Plan;
use crate::run::Outcome;
use crate::schedule::{Pace, Until};

/// All that a report says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the generator.
    pub version: &'static str,
    /// When the run began, in seconds since 1970.
    pub began_unix_s: u64,
    /// What was done.
    pub settings: Settings,
    /// Whether all went well: the exit status is 0.
    pub passed: bool,
    /// Thresholds that were missed.
    pub missed: Vec<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// What it came to.
    pub figures: Figures,
}

/// What was done.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "each is what its option is")]
pub struct Settings {
    pub protocol: &'static str,
    pub targets: Vec<String>,
    pub profile: &'static str,
    pub size: String,
    pub prepared_files: u64,
    pub connections: usize,
    pub threads: usize,
    /// Requests a second, if the loop is open.
    pub rate: Option<f64>,
    pub duration_s: Option<f64>,
    pub requests: Option<u64>,
    pub warm_up_s: f64,
    pub verify: bool,
    pub seed: u64,
}

impl Settings {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            protocol: plan.protocol().name(),
            targets: plan.targets.iter().map(|target| target.name.clone()).collect(),
            profile: plan.profile.name(),
            size: plan.files.sizes.to_string(),
            prepared_files: plan.files.prepared,
            connections: plan.connections,
            threads: plan.threads,
            rate: match plan.pace {
                Pace::Closed => None,
                Pace::Open { per_second } => Some(per_second),
            },
            duration_s: match plan.until {
                Until::Time(time) => Some(time.as_secs_f64()),
                Until::Requests(_) => None,
            },
            requests: match plan.until {
                Until::Time(_) => None,
                Until::Requests(requests) => Some(requests),
            },
            warm_up_s: plan.warm_up.as_secs_f64(),
            verify: plan.verify,
            seed: plan.seed,
        }
    }
}

impl Report {
    /// Of an outcome.
    #[must_use]
    pub fn new(plan: &Plan, began_unix_s: u64, outcome: Outcome) -> Self {
        let missed = plan.thresholds.missed(&outcome.figures);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            began_unix_s,
            settings: Settings::of(plan),
            passed: missed.is_empty() && outcome.is_complete,
            missed,
            notes: outcome.notes,
            figures: outcome.figures,
        }
    }
}
