//! What several runs have shown.

/// Median (minimum to maximum), with so many digits behind the point.
#[must_use]
pub fn spread(values: &[f64], digits: usize) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    format!(
        "{:.digits$} ({:.digits$} to {:.digits$})",
        at(values.len() / 2),
        at(0),
        at(last)
    )
}

/// A count as a number to calculate with.
#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
#[must_use]
pub fn number(count: usize) -> f64 {
    count as f64
}
