//! As text, for people.

use std::fmt::Write as _;

use super::{Report, Settings};
use crate::figures::{Figures, Latency, Line};
use crate::units::{show_bytes, show_count, show_microseconds, show_rate};

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
        "{} moved in {:.2} s. Generator: {} of CPU a request, busiest of {} threads {:.0} %",
        show_bytes(bytes(figures)),
        figures.elapsed_s,
        show_microseconds(usage.generator_us_per_request),
        usage.threads,
        usage.busiest_thread * 100.0
    );
    if let Some(server) = usage.server_us_per_request {
        let _ = write!(text, ". Server: {} of CPU a request", show_microseconds(server));
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn bytes(figures: &Figures) -> f64 {
    figures.all.bytes as f64
}
