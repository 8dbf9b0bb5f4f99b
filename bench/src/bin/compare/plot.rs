//! How many times better than the best peer ours is, as a plot.

use std::fmt::Write as _;

use crate::contest::Measured;

const WIDTH: f64 = 860.0;
const BAR: f64 = 20.0;
const LEFT: f64 = 360.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 44.0;
/// What an axis shows at most, to either side of 1.
const TIMES_MAX: f64 = 32.0;

/// A bar for each row that a peer took part in, by the metric that tells most. The axis is logarithmic: twice as good is as
/// far to the right of the middle as half as good is to the left.
pub(crate) fn svg(all: &[Measured]) -> String {
    let bars: Vec<(&str, f64)> = all
        .iter()
        .filter_map(|measured| {
            let verdict = measured.verdict(*measured.row.by.first()?)?;
            Some((measured.row.title, verdict.times()?))
        })
        .collect();
    let least = bars
        .iter()
        .map(|(_, times)| *times)
        .fold(1.0, f64::min)
        .max(1.0 / TIMES_MAX);
    let most = bars
        .iter()
        .map(|(_, times)| *times)
        .fold(1.0, f64::max)
        .min(TIMES_MAX);
    let (least, most) = ((least.log2() - 0.25).floor(), (most.log2() + 0.25).ceil());
    let at = |times: f64| {
        let part = (times.log2().clamp(least, most) - least) / (most - least);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    };
    let count = u16::try_from(bars.len()).unwrap_or(u16::MAX);
    let height = TOP + f64::from(count) * BAR + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\">filegrid beside the best peer of each row: how many times better</text>\n"
    );
    let mut power = least;
    while power <= most {
        let (x, times) = (at(power.exp2()), power.exp2());
        let colour = if power == 0.0 { "#333333" } else { "#dddddd" };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"{colour}\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666666\">{times}</text>",
            height - 10.0,
            TOP - 6.0
        );
        power += 1.0;
    }
    for (number, (title, times)) in (0_u16..).zip(&bars) {
        let y = TOP + f64::from(number) * BAR;
        let (from, to) = (at(1.0).min(at(*times)), at(1.0).max(at(*times)));
        let colour = if *times < 1.0 { "#c0562f" } else { "#2f7dc0" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{title}</text>\n\
             <rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333333\">{times:.2}</text>",
            LEFT - 8.0,
            y + 14.0,
            y + 3.0,
            (to - from).max(1.0),
            BAR - 6.0,
            at(times.max(1.0)) + 5.0,
            y + 14.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
