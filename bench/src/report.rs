//! What was measured, as medians with minimum and maximum.

/// Heading of the table.
pub(crate) const HEADING: &str = "| row | connections | requests/s | MiB/s | server CPU per request, µs | server CPU per \
    GiB, s | server CPU afterwards per GiB, s |\n|---|---|---|---|---|---|---|";

/// The rounds of a row.
#[derive(Default)]
pub(crate) struct Figures {
    rate: Vec<f64>,
    mib: Vec<f64>,
    cpu_us: Vec<f64>,
    cpu_gib: Vec<f64>,
    after_gib: Vec<f64>,
}

impl Figures {
    pub(crate) fn add(&mut self, seconds: f64, cpu: f64, after: f64, requests: usize, bytes: usize) {
        let (requests, bytes) = (number(requests), number(bytes));
        self.rate.push(requests / seconds);
        self.mib.push(bytes / f64::from(1 << 20) / seconds);
        self.cpu_us.push(cpu / requests * 1e6);
        self.cpu_gib.push(cpu / bytes * f64::from(1 << 30));
        self.after_gib.push(after / bytes * f64::from(1 << 30));
    }

    pub(crate) fn row(&mut self, name: &str, connections: usize) -> String {
        format!(
            "| {name} | {connections} | {} | {} | {} | {} | {} |",
            shown(&mut self.rate, 0),
            shown(&mut self.mib, 0),
            shown(&mut self.cpu_us, 1),
            shown(&mut self.cpu_gib, 2),
            shown(&mut self.after_gib, 2)
        )
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Median (minimum to maximum).
fn shown(values: &mut [f64], digits: usize) -> String {
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
