//! Plots, drawn as SVG.

use std::fmt::Write as _;

use super::html::{escape, label};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 280.0;
/// Room for what is written at the left, the right, the top and the bottom.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 28.0;
/// Colours of curves, as the page names them.
const COLOURS: [&str; 4] = ["one", "two", "three", "four"];

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Seconds,
    Rate,
    Count,
    /// Logarithmic: latencies differ by powers of ten.
    Microseconds,
    /// By how few are beyond: 90, 99, 99.9 stand at equal distances.
    Percentile,
}

/// A curve with its name.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
        }
    }
}

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) across: Scale,
    pub(super) up: Scale,
    pub(super) curves: Vec<Curve>,
}

/// An axis: where values lie on it, from 0 to 1, and where something is written.
struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    marks: Vec<f64>,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        let least = values
            .filter(|value| *value > 0.0)
            .fold(f64::MAX, f64::min)
            .min(most);
        match scale {
            Scale::Microseconds => {
                let least = least.max(0.1).log10().floor();
                let most = most.max(1.0).log10().ceil().max(least + 1.0);
                let marks = powers(least, most);
                Self {
                    scale,
                    least,
                    most,
                    marks,
                }
            }
            Scale::Percentile => {
                let marks = vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
                let most = beyond(most);
                Self {
                    scale,
                    least: 0.0,
                    most: most.max(1.0),
                    marks,
                }
            }
            Scale::Seconds | Scale::Rate | Scale::Count => {
                let step = step(most / 5.0);
                let most = if scale == Scale::Seconds {
                    most.max(step)
                } else {
                    (most / step).ceil().max(1.0) * step
                };
                let marks = std::iter::successors(Some(0.0), |mark| Some(mark + step));
                // Sums of fractions have long tails.
                let marks = marks
                    .map(|mark| (mark * 1e6).round() / 1e6)
                    .take_while(|mark| *mark <= most * 1.001);
                Self {
                    scale,
                    least: 0.0,
                    most,
                    marks: marks.take(12).collect(),
                }
            }
        }
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Microseconds => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Percentile => beyond(value),
            Scale::Seconds | Scale::Rate | Scale::Count => value,
        };
        ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0)
    }

    fn marks(&self) -> impl Iterator<Item = f64> + '_ {
        let is_in = |mark: f64| self.scale != Scale::Percentile || beyond(mark) <= self.most + 1e-9;
        self.marks.iter().copied().filter(move |mark| is_in(*mark))
    }
}

/// How many nines a percentile has.
fn beyond(percentile: f64) -> f64 {
    -(1.0 - percentile.min(99.9999) / 100.0).log10()
}

fn powers(least: f64, most: f64) -> Vec<f64> {
    std::iter::successors(Some(least), |power| Some(power + 1.0))
        .take_while(|power| *power <= most)
        .map(|power| 10_f64.powf(power))
        .collect()
}

/// A round number near this one: 1, 2 or 5 times a power of ten.
fn step(about: f64) -> f64 {
    if about <= 0.0 || !about.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(about.log10().floor());
    let digit = about / power;
    let round = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|round| digit <= *round)
        .unwrap_or(10.0);
    round * power
}

impl Plot {
    /// As SVG.
    pub(super) fn draw(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter());
        let across = Axis::new(self.across, points().map(|point| point.0));
        let up = Axis::new(self.up, points().map(|point| point.1));
        let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM);
        let title = escape(&self.title);
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n");
        for mark in up.marks() {
            let (y, text) = (y(mark), escape(&label(self.up, mark)));
            let (right, beside) = (WIDTH - RIGHT, LEFT - 8.0);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{beside}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                y + 4.0
            );
        }
        for mark in across.marks() {
            let text = escape(&label(self.across, mark));
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                x(mark),
                HEIGHT - 8.0
            );
        }
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS.get(number % COLOURS.len()).unwrap_or(&"one");
            let places: Vec<_> = curve
                .points
                .iter()
                .map(|(at, of)| format!("{:.1},{:.1}", x(*at), y(*of)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline class=\"curve {colour}\" points=\"{}\"/>",
                places.join(" ")
            );
            let at = LEFT + 90.0 * f64::from(u16::try_from(number).unwrap_or(0));
            let name = escape(&curve.name);
            let _ = writeln!(svg, "<text class=\"{colour}\" x=\"{at}\" y=\"14\">{name}</text>");
        }
        svg.push_str("</svg>");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn curves_stay_in_the_picture(
            points in prop::collection::vec((0.0_f64..100.0, 0.0_f64..1e9), 1..50),
            up in prop::sample::select(vec![Scale::Rate, Scale::Count, Scale::Microseconds]),
            across in prop::sample::select(vec![Scale::Seconds, Scale::Percentile]),
        ) {
            let curves = vec![Curve::new("a<b", points)];
            let svg = Plot { title: "t".to_owned(), across, up, curves }.draw();
            prop_assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"));
            let (_, list) = svg.split_once("points=\"").unwrap();
            for pair in list.split('"').next().unwrap().split(' ') {
                let (x, y) = pair.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                prop_assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{}", pair);
            }
        }
    }

    #[test]
    fn marks_are_round() {
        let axis = Axis::new(Scale::Rate, [0.0, 4321.0].into_iter());
        assert_eq!(axis.marks, [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0]);
        let axis = Axis::new(Scale::Microseconds, [85.0, 12_000.0].into_iter());
        assert_eq!(axis.marks, [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        let axis = Axis::new(Scale::Percentile, [50.0, 99.9].into_iter());
        assert_eq!(axis.marks().collect::<Vec<_>>(), [0.0, 50.0, 90.0, 99.0, 99.9]);
    }
}
