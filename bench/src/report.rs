//! What was measured, as medians with minimum and maximum.

use filegrid_bench::figures::{number, spread};

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

    pub(crate) fn row(&self, name: &str, connections: usize) -> String {
        format!(
            "| {name} | {connections} | {} | {} | {} | {} | {} |",
            spread(&self.rate, 0),
            spread(&self.mib, 0),
            spread(&self.cpu_us, 1),
            spread(&self.cpu_gib, 2),
            spread(&self.after_gib, 2)
        )
    }
}
