//! The table.

use std::fmt::{Display, Formatter, Result};
use std::path::Path;

use crate::contender::Contender;
use crate::row::{Row, Sample};

/// Ahead of the table in a page.
const FROM: &str = "<!-- runtimes -->\n";
/// Behind it.
const TO: &str = "<!-- /runtimes -->";

/// What was measured, in the order of the first round.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    skipped: Vec<(Contender, String)>,
}

/// One row with one contender.
struct Line {
    row: String,
    connections: usize,
    contender: Contender,
    bodies: f64,
    gib: f64,
    small: bool,
    samples: Vec<Sample>,
}

impl Report {
    /// Adds what a run has taken.
    pub(crate) fn add(&mut self, row: &Row, contender: Contender, sample: Sample) {
        let same = |line: &&mut Line| {
            line.contender == contender && line.row == row.name && line.connections == row.connections
        };
        if let Some(line) = self.lines.iter_mut().find(same) {
            return line.samples.push(sample);
        }
        self.lines.push(Line {
            row: row.name.clone(),
            connections: row.connections,
            contender,
            bodies: row.bodies as f64,
            gib: (row.bodies * row.bytes) as f64 / f64::from(1 << 30),
            small: row.small(),
            samples: vec![sample],
        });
    }

    /// Leaves a contender out from here on.
    pub(crate) fn skip(&mut self, contender: Contender, reason: String) {
        self.skipped.push((contender, reason));
    }

    /// Whether it is left out.
    pub(crate) fn skipped(&self, contender: Contender) -> bool {
        self.skipped.iter().any(|(skipped, _)| *skipped == contender)
    }

    /// Replaces what is between the markers of a page.
    ///
    /// # Errors
    ///
    /// The page has no markers, or cannot be read or written.
    pub(crate) fn write(&self, page: &Path) -> std::io::Result<()> {
        let text = std::fs::read_to_string(page)?;
        let parts = text
            .split_once(FROM)
            .and_then(|(front, rest)| Some((front, rest.split_once(TO)?.1)));
        let missing = || std::io::Error::other(format!("{} has no {FROM}… {TO}", page.display()));
        let (front, back) = parts.ok_or_else(missing)?;
        std::fs::write(page, format!("{front}{FROM}{self}{TO}{back}"))
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(
            out,
            "| row | connections | runtime | GiB/s | CPU s/GiB | requests/s | CPU a request, µs |"
        )?;
        writeln!(out, "|---|---:|---|---|---|---|---|")?;
        for line in &self.lines {
            let over = |figure: &dyn Fn(&Sample) -> f64, digits| {
                let mut values: Vec<f64> = line.samples.iter().map(figure).collect();
                values.sort_by(f64::total_cmp);
                match values.as_slice() {
                    [least, .., most] => {
                        let median = values[values.len() / 2];
                        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
                    }
                    _ => values.iter().map(|value| format!("{value:.digits$}")).collect(),
                }
            };
            let (rate, cost) = (
                over(&|sample| line.gib / sample.seconds, 2),
                over(&|sample| sample.cpu / line.gib, 2),
            );
            let (requests, each) = match line.small {
                true => (
                    over(&|sample| line.bodies / sample.seconds, 0),
                    over(&|sample| sample.cpu / line.bodies * 1e6, 1),
                ),
                false => Default::default(),
            };
            let (row, connections, name) = (&line.row, line.connections, line.contender.name());
            writeln!(
                out,
                "| {row} | {connections} | {name} | {rate} | {cost} | {requests} | {each} |"
            )?;
        }
        for (contender, reason) in &self.skipped {
            writeln!(out, "\nSkipped: {}, {reason}.", contender.name())?;
        }
        Ok(())
    }
}
