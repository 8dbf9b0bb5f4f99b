//! As text, for people.

use std::fmt::Write as _;

use super::{Report, Settings};
use crate::figures::{Figures, Latency, Line};
use crate::units::{show_bytes, show_count, show_microseconds, show_rate};

/// Request from which bytes tell more about the cost than requests do.
const LARGE_BYTES: u64 = 1 << 20;

/// The report, in lines.
#[must_use]
pub fn write(report: &Report) -> String {
    let figures = &report.figures;
    let mut text = format!("{}\n\n", title(&report.settings));
    let columns = [
        "", "requests", "rate", "MiB/s", "p50", "p90", "p99", "p99.9", "max",
    ];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    rows.extend(lines(figures).into_iter().map(row));
    if report.settings.rate.is_some() {
        let from_begin = &figures.all.service;
        let mut row = vec![
            "once begun".to_owned(),
            String::new(),
            String::new(),
            String::new(),
        ];
        row.extend(latencies(from_begin));
        rows.push(row);
    }
    table(&mut text, &rows);
    errors(&mut text, figures);
    let _ = writeln!(text, "\n{}", usage(figures));
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for missed in &report.missed {
        let _ = writeln!(text, "missed: {missed}");
    }
    text
}

/// What was done, in one line.
#[must_use]
pub fn title(settings: &Settings) -> String {
    let mut title = format!(
        "{} {} of {} on {} connections, {}",
        settings.protocol,
        settings.profile,
        settings.size,
        settings.connections,
        match settings.rate {
            Some(rate) => format!("open loop at {}", show_rate(rate)),
            None => "closed loop".to_owned(),
        }
    );
    if let Some(seconds) = settings.duration_s {
        let _ = write!(title, ", {seconds} s");
    }
    if let Some(requests) = settings.requests {
        let _ = write!(title, ", {} requests", show_count(requests));
    }
    if settings.verify {
        title.push_str(", verified");
    }
    title
}

/// The lines of a table: kinds, then targets where there are several, then all.
#[must_use]
pub fn lines(figures: &Figures) -> Vec<&Line> {
    let mut lines: Vec<_> = figures.operations.iter().collect();
    if figures.targets.len() > 1 {
        lines.extend(&figures.targets);
    }
    if lines.len() != 1 {
        lines.push(&figures.all);
    }
    lines
}

fn row(line: &Line) -> Vec<String> {
    let mut row = vec![
        line.name.clone(),
        show_count(line.requests),
        show_rate(line.per_second),
        format!("{:.1}", line.mib_per_second),
    ];
    row.extend(latencies(&line.latency));
    row
}

/// What a table has of latencies.
#[must_use]
pub fn latencies(latency: &Latency) -> [String; 5] {
    [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p99_9_us,
        latency.max_us,
    ]
    .map(show_microseconds)
}

fn table(text: &mut String, rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
}

fn errors(text: &mut String, figures: &Figures) {
    if figures.errors.is_empty() {
        text.push_str("\nno errors\n");
        return;
    }
    let _ = writeln!(text, "\n{} errors:", show_count(figures.errors_count()));
    for error in &figures.errors {
        let _ = writeln!(
            text,
            "{:>9}  {}: {}",
            show_count(error.count),
            error.kind,
            error.example
        );
    }
}

/// What it cost, in a sentence or two.
#[must_use]
pub fn usage(figures: &Figures) -> String {
    let usage = &figures.usage;
    let mut text = format!(
        "{} moved in {:.2} s. Generator: {}, its busiest thread {:.0} % of a core",
        show_bytes(exact(figures.all.bytes)),
        figures.elapsed_s,
        cost(figures, usage.generator_cpu_s),
        usage.busiest_thread * 100.0
    );
    if let Some(server) = usage.server_cpu_s {
        let _ = write!(text, ". Server: {}", cost(figures, server));
    }
    if let Some(after) = usage.server_cpu_after_s {
        let _ = write!(text, ", and {} until it came to rest", cost(figures, after));
    }
    if let Some(bytes) = usage.server_memory_peak_bytes {
        let _ = write!(text, ", at most {} of memory", show_bytes(exact(bytes)));
    }
    text
}

/// CPU of each request, or of each GiB where requests are large.
fn cost(figures: &Figures, cpu_s: f64) -> String {
    let requests = figures.all.requests + figures.errors_count();
    if figures.all.bytes / requests.max(1) < LARGE_BYTES {
        let each = cpu_s * 1e6 / exact(requests.max(1));
        return format!("{} of CPU a request", show_microseconds(each));
    }
    let each = cpu_s * exact(1 << 30) / exact(figures.all.bytes);
    format!("{each:.2} s of CPU a GiB")
}

#[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn exact(count: u64) -> f64 {
    count as f64
}
