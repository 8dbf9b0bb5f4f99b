//! As JSON, for programs. Names end with their units.

use super::Report;

/// The report, in one object.
///
/// # Errors
///
/// If it has a number that JSON cannot say, which none is.
pub fn write(report: &Report) -> Result<String, String> {
    serde_json::to_string_pretty(report)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}
