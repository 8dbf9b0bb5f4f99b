//! Tables, as the documentation shows them.

use std::fmt::Write as _;

use crate::contest::{Entry, Measured};
use crate::metric::Metric;
use crate::servers::Role;

/// Rows that the front page shows.
const FRONT: [&str; 12] = [
    "http-upload-1g",
    "http-download-1g",
    "http-upload-4k",
    "http-download-4k",
    "https-upload-1g",
    "https-download-1g",
    "archive",
    "ftp-stor-1g",
    "ftps-stor-1g",
    "sftp-put-1g",
    "listing",
    "proposals-64",
];

/// How ours did beside the best other, in one metric.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    /// What they are compared by.
    pub(crate) metric: Metric,
    /// Ours.
    pub(crate) ours: f64,
    /// The best peer.
    pub(crate) peer: Option<(&'a Entry, f64)>,
    /// The best floor.
    pub(crate) floor: Option<f64>,
}

impl Measured {
    /// How ours did, by the metric that tells most of what was measured.
    pub(crate) fn verdict(&self, metric: Metric) -> Option<Verdict<'_>> {
        let best = |role: Role| {
            let entries = self.entries.iter().filter(move |entry| entry.role == role);
            let values = entries.filter_map(|entry| Some((entry, entry.rounds.median(metric)?)));
            values.reduce(|best, next| {
                if metric.times_better(next.1, best.1) > 1.0 {
                    next
                } else {
                    best
                }
            })
        };
        Some(Verdict {
            metric,
            ours: best(Role::Ours)?.1,
            peer: best(Role::Peer),
            floor: best(Role::Floor).map(|(_, value)| value),
        })
    }
}

impl Verdict<'_> {
    /// How many times better than the best peer ours is.
    pub(crate) fn times(&self) -> Option<f64> {
        self.peer
            .map(|(_, value)| self.metric.times_better(self.ours, value))
    }

    fn line(&self, measured: &Measured) -> String {
        let metric = self.metric;
        let peer = self.peer.map_or_else(
            || " | ".to_owned(),
            |(entry, value)| {
                format!(
                    "{} {}{} | {}",
                    metric.show(value),
                    entry.server,
                    if entry.durable { "" } else { "*" },
                    self.times().map(times).unwrap_or_default()
                )
            },
        );
        let floor = self.floor.map(|value| metric.show(value)).unwrap_or_default();
        format!(
            "| {} | {} | {} | {peer} | {floor} | {} |\n",
            measured.row.title,
            metric.title(),
            metric.show(self.ours),
            aim(measured, metric).unwrap_or_default()
        )
    }
}

/// `1.42`, in bold where ours is behind.
fn times(value: f64) -> String {
    if value < 1.0 {
        format!("**{value:.2}**")
    } else {
        format!("{value:.2}")
    }
}

/// What ours is to reach, in bold where it is not.
fn aim(measured: &Measured, metric: Metric) -> Option<String> {
    let verdict = measured.verdict(metric)?;
    let show = |text: String, reached: bool| if reached { text } else { format!("**{text}**") };
    let aims = measured.row.aims.iter().find(|(of, _)| *of == metric);
    if let Some((_, aim)) = aims {
        return Some(show(
            metric.show(*aim),
            metric.times_better(verdict.ours, *aim) >= 1.0,
        ));
    }
    let wanted = measured
        .row
        .times
        .filter(|_| measured.row.by.first() == Some(&metric))?;
    Some(show(format!("{wanted} times"), verdict.times()? >= wanted))
}

const HEADING: &str =
    "| | | filegrid | best peer | times better | floor | aim |\n|---|---|---:|---:|---:|---:|---:|\n";

/// Ours beside the best peer, a line for each row and metric.
pub(crate) fn summary(all: &[Measured]) -> String {
    let mut text = HEADING.to_owned();
    for measured in all {
        for metric in measured.row.by {
            if let Some(verdict) = measured.verdict(*metric) {
                text.push_str(&verdict.line(measured));
            }
        }
    }
    text
}

/// Two ways to the same files, a line for each row and metric.
pub(crate) fn ways(all: &[Measured]) -> String {
    let mut text = "| | | straight | relayed | times |\n|---|---|---:|---:|---:|\n".to_owned();
    for measured in all {
        for metric in measured.row.by {
            let verdict = measured.verdict(*metric);
            let Some((relayed, (_, straight))) =
                verdict.and_then(|verdict| Some((verdict.ours, verdict.peer?)))
            else {
                continue;
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.2} |",
                measured.row.title,
                metric.title(),
                metric.show(straight),
                metric.show(relayed),
                relayed / straight
            );
        }
    }
    text
}

/// The same for the front page: some rows, by the metric that tells most.
pub(crate) fn front(all: &[Measured]) -> String {
    let mut text = "| | | filegrid | best peer | times better |\n|---|---|---:|---:|---:|\n".to_owned();
    for measured in all.iter().filter(|measured| FRONT.contains(&measured.row.id)) {
        let verdict = measured
            .row
            .by
            .first()
            .and_then(|metric| measured.verdict(*metric));
        let Some((verdict, (entry, value))) = verdict
            .as_ref()
            .and_then(|verdict| Some((verdict, verdict.peer?)))
        else {
            continue;
        };
        let metric = verdict.metric;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} {}{} | {} |",
            measured.row.title,
            metric.title(),
            metric.show(verdict.ours),
            metric.show(value),
            entry.server,
            if entry.durable { "" } else { "*" },
            verdict.times().map(times).unwrap_or_default()
        );
    }
    text
}

/// All that was measured, a table for each row.
pub(crate) fn tables(all: &[Measured]) -> String {
    all.iter().map(table).collect::<Vec<_>>().join("\n")
}

fn table(measured: &Measured) -> String {
    let row = &measured.row;
    let shown = |metric: &&Metric| {
        measured
            .entries
            .iter()
            .any(|entry| entry.rounds.median(**metric).is_some())
    };
    let metrics: Vec<Metric> = row.by.iter().chain(row.also).filter(shown).copied().collect();
    let mut text = format!("### {}\n\n| server |", capital(row.title));
    for metric in &metrics {
        let _ = write!(text, " {} |", metric.title());
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(metrics.len()));
    text.push('\n');
    for entry in measured.entries.iter().filter(|entry| !entry.rounds.is_empty()) {
        let mark = if entry.durable { "" } else { "*" };
        let _ = write!(text, "| {}{mark} |", entry.server);
        for metric in &metrics {
            let _ = write!(text, " {} |", entry.rounds.show(*metric));
        }
        text.push('\n');
    }
    for entry in &measured.entries {
        if let Some(why) = &entry.failed {
            let _ = write!(text, "\n{} failed: {}\n", entry.server, why.replace('\n', " "));
        }
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Sample;
    use crate::rows;

    fn measured(ours: f64, peers: &[(&str, f64)]) -> Measured {
        let row = rows::all()
            .into_iter()
            .find(|row| row.id == "http-upload-4k")
            .unwrap();
        let entry = |name: &str, role, value| {
            let mut entry = Entry::new(name, role, role == Role::Ours);
            entry
                .rounds
                .add(Sample::from([(Metric::RequestsPerSecond, value)]));
            entry
        };
        let mut entries = vec![entry("filegrid", Role::Ours, ours)];
        entries.extend(peers.iter().map(|(name, value)| entry(name, Role::Peer, *value)));
        Measured { row, entries }
    }

    #[test]
    fn ours_stands_beside_the_best_peer() {
        let all = [measured(40_000.0, &[("slow", 10_000.0), ("quick", 20_000.0)])];
        let text = summary(&all);
        assert!(
            text.contains("| 40,000 | 20,000 quick* | 2.00 |  | 33,000 |"),
            "{text}"
        );
        assert!(front(&all).contains("quick"));
        assert!(tables(&all).contains("| slow* | 10,000 |"));
    }

    #[test]
    fn what_is_behind_or_missed_is_in_bold() {
        let text = summary(&[measured(10_000.0, &[("quick", 20_000.0)])]);
        assert!(text.contains("**0.50** |  | **33,000** |"), "{text}");
    }

    #[test]
    fn a_server_that_failed_is_named_with_its_reason() {
        let mut measured = measured(1.0, &[]);
        let mut broken = Entry::new("broken", Role::Peer, false);
        broken.failed = Some("wrong\ncontent".to_owned());
        measured.entries.push(broken);
        let text = tables(&[measured]);
        assert!(
            text.contains("broken failed: wrong content") && !text.contains("| broken"),
            "{text}"
        );
    }
}
