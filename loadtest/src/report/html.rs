//! As a page that needs nothing else: no scripts, no fonts, nothing from the network. In the reader's colours, light or dark.

use std::fmt::Write as _;

use super::Report;
use super::plot::{Curve, Plot, Scale};
use super::text::{latencies, lines, title, usage};
use crate::figures::{Figures, Line};
use crate::units::{show_count, show_microseconds, show_rate};

const STYLE: &str = "
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --faint: #6a737d; --rule: #d8dee4;
  --one: #0969da; --two: #bc4c00; --three: #8250df; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --text: #e6edf3; --faint: #8d96a0; --rule: #30363d;
  --one: #58a6ff; --two: #f0883e; --three: #bc8cff; --bad: #ff7b72; } }
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td.said { text-align: left; } .wide { overflow-x: auto; }
.bad { color: var(--bad); } .faint { color: var(--faint); }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); stroke-width: 1; } .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.one { stroke: var(--one); } .two { stroke: var(--two); } .three { stroke: var(--three); } .four { stroke: var(--bad); }
svg text.one { fill: var(--one); stroke: none; } svg text.two { fill: var(--two); stroke: none; }
svg text.three { fill: var(--three); stroke: none; } svg text.four { fill: var(--bad); stroke: none; }
";

/// The report, as a page.
#[must_use]
pub fn write(report: &Report) -> String {
    let figures = &report.figures;
    let heading = escape(&title(&report.settings));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n"
    );
    let targets = report.settings.targets.join(", ");
    let _ = writeln!(
        page,
        "<p class=\"faint\">{}, {}. Seed {}, loadtest {}.</p>",
        escape(&targets),
        date(report.began_unix_s),
        report.settings.seed,
        report.version
    );
    verdict(&mut page, report);
    requests(&mut page, figures, report.settings.rate.is_some());
    errors(&mut page, figures);
    for plot in plots(figures) {
        let _ = writeln!(page, "<h2>{}</h2>\n{}", escape(&plot.title), plot.draw());
    }
    let _ = writeln!(
        page,
        "<h2>What it cost</h2>\n<p>{}.</p>\n</body>\n</html>",
        escape(&usage(figures))
    );
    page
}

fn verdict(page: &mut String, report: &Report) {
    if report.missed.is_empty() && report.notes.is_empty() {
        return;
    }
    page.push_str("<ul>\n");
    for missed in &report.missed {
        let _ = writeln!(page, "<li class=\"bad\">Missed: {}</li>", escape(missed));
    }
    for note in &report.notes {
        let _ = writeln!(page, "<li>{}</li>", escape(note));
    }
    page.push_str("</ul>\n");
}

fn requests(page: &mut String, figures: &Figures, is_open: bool) {
    page.push_str("<h2>Requests</h2>\n<div class=\"wide\"><table>\n<tr><th></th>");
    for column in ["requests", "rate", "MiB/s", "p50", "p90", "p99", "p99.9", "max"] {
        let _ = write!(page, "<th>{column}</th>");
    }
    page.push_str("</tr>\n");
    for line in lines(figures) {
        let cells = [
            show_count(line.requests),
            show_rate(line.per_second),
            format!("{:.1}", line.mib_per_second),
        ];
        row(page, &line.name, &cells, &latencies(&line.latency));
    }
    if is_open {
        let empty = [const { String::new() }; 3];
        row(page, "once begun", &empty, &latencies(&figures.all.service));
    }
    page.push_str("</table></div>\n");
    if is_open {
        page.push_str(
            "<p class=\"faint\">Latencies count from when a request was due. Once begun: what they would be if the time \
             in which it waited for a connection were left out.</p>\n",
        );
    }
}

fn row(page: &mut String, name: &str, cells: &[String], latencies: &[String]) {
    let _ = write!(page, "<tr><td>{}</td>", escape(name));
    for cell in cells.iter().chain(latencies) {
        let _ = write!(page, "<td>{}</td>", escape(cell));
    }
    page.push_str("</tr>\n");
}

fn errors(page: &mut String, figures: &Figures) {
    page.push_str("<h2>Errors</h2>\n");
    if figures.errors.is_empty() {
        page.push_str("<p>None.</p>\n");
        return;
    }
    page.push_str("<div class=\"wide\"><table>\n<tr><th>kind</th><th>count</th><th>the first</th></tr>\n");
    for error in &figures.errors {
        let _ = writeln!(
            page,
            "<tr><td class=\"bad\">{}</td><td>{}</td><td class=\"said\">{}</td></tr>",
            escape(&error.kind),
            show_count(error.count),
            escape(&error.example)
        );
    }
    page.push_str("</table></div>\n");
}

/// The plots that there are points for.
fn plots(figures: &Figures) -> Vec<Plot> {
    let mut plots = Vec::new();
    let over_time = |of: fn(&crate::figures::Point) -> f64| -> Vec<(f64, f64)> {
        figures
            .points
            .iter()
            .map(|point| (point.at_s, of(point)))
            .collect()
    };
    if figures.points.len() > 1 {
        plots.push(Plot {
            title: "Requests a second".to_owned(),
            across: Scale::Seconds,
            up: Scale::Rate,
            curves: vec![Curve::new("succeeded", over_time(|point| point.per_second))],
        });
        let errors = over_time(|point| point.errors as f64);
        if errors.iter().any(|(_, count)| *count > 0.0) {
            plots.push(Plot {
                title: "Errors".to_owned(),
                across: Scale::Seconds,
                up: Scale::Count,
                curves: vec![Curve::new("errors", errors)],
            });
        }
        plots.push(Plot {
            title: "Latency over time".to_owned(),
            across: Scale::Seconds,
            up: Scale::Microseconds,
            curves: vec![
                Curve::new("p50", over_time(|point| point.p50_us)),
                Curve::new("p99", over_time(|point| point.p99_us)),
                Curve::new("max", over_time(|point| point.max_us)),
            ],
        });
    }
    if figures.all.requests > 0 {
        let lines: Vec<&Line> = match figures.operations.as_slice() {
            [_] => vec![&figures.all],
            several => several.iter().collect(),
        };
        let curves = lines.into_iter().map(|line| {
            let points = line
                .latency
                .curve
                .iter()
                .copied()
                .filter(|(percentile, _)| *percentile < 100.0);
            Curve::new(&line.name, points.collect())
        });
        plots.push(Plot {
            title: "Latency by percentile".to_owned(),
            across: Scale::Percentile,
            up: Scale::Microseconds,
            curves: curves.collect(),
        });
    }
    plots
}

/// Text that may stand anywhere in a page.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A time in UTC, by the algorithm of days and eras (proleptic Gregorian calendar).
fn date(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_era_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_years + of_era_years / 4 - of_era_years / 100);
    // Years begin in March here, so that the leap day is their last.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = of_era_years + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60
    )
}

/// What a scale says at a value.
pub(super) fn label(scale: Scale, value: f64) -> String {
    match scale {
        Scale::Seconds => format!("{value} s"),
        Scale::Rate => show_rate(value),
        Scale::Count => format!("{value}"),
        Scale::Microseconds => show_microseconds(value),
        Scale::Percentile => format!("p{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_stays_text(text: String) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            let back = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let back = back.replace("&#39;", "'").replace("&amp;", "&");
            let shown: String = text.chars().map(|of| if of.is_control() { ' ' } else { of }).collect();
            prop_assert_eq!(back, shown);
        }
    }

    #[test]
    fn dates_are_read_by_people() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59 UTC");
    }
}
