//! Sizes of files: one, or a distribution from which each file has its own.

use std::fmt;
use std::str::FromStr;

use crate::limits::{FILE_MAX_BYTES, LOGNORMAL_MAX_BYTES};
use crate::noise;
use crate::units::{parse_bytes, show_bytes};

/// Draws whose average stands for that of a distribution.
const SAMPLES: u64 = 4096;

/// How large files are.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// All alike: `4KiB`.
    Fixed(u64),
    /// Any size between two as often as another: `uniform:1KiB..1MiB`, both included.
    Uniform(u64, u64),
    /// Many small ones and a long tail: `lognormal:64KiB,2`, the median and the standard deviation of the natural
    /// logarithm. The tail ends at [`LOGNORMAL_MAX_BYTES`].
    Lognormal(u64, f64),
    /// Some sizes, each with its weight: `4KiB=70,64KiB=25,1MiB=5`.
    Weighted(Vec<(u64, f64)>),
}

impl Sizes {
    /// The size of a file, the same each time for its number.
    #[must_use]
    pub fn of(&self, seed: u64, number: u64) -> u64 {
        let bits = noise::hash(seed, number);
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform(least, most) => least + noise::below(bits, most - least + 1),
            Self::Lognormal(median, deviation) => lognormal(*median, *deviation, bits),
            Self::Weighted(list) => {
                let mut left = noise::fraction(bits) * list.iter().map(|(_, weight)| weight).sum::<f64>();
                for (bytes, weight) in list {
                    left -= weight;
                    if left < 0.0 {
                        return *bytes;
                    }
                }
                list.last().map_or(0, |(bytes, _)| *bytes)
            }
        }
    }

    /// About how many bytes a file has on average.
    #[must_use]
    pub fn average(&self, seed: u64) -> u64 {
        let all: u128 = (0..SAMPLES).map(|number| u128::from(self.of(seed, number))).sum();
        u64::try_from(all / u128::from(SAMPLES))
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

/// By the transform of Box and Muller, from a second hash of the first.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it is cut to the range first"
)]
fn lognormal(median: u64, deviation: f64, bits: u64) -> u64 {
    let radius = (-2.0 * (1.0 - noise::fraction(bits)).ln()).sqrt();
    let angle = std::f64::consts::TAU * noise::fraction(noise::hash(bits, 0));
    let bytes = median as f64 * (deviation * radius * angle.cos()).exp();
    bytes.round().clamp(0.0, LOGNORMAL_MAX_BYTES as f64) as u64
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(range) = text.strip_prefix("uniform:") {
            let (least, most) = range
                .split_once("..")
                .ok_or("a uniform size is written as uniform:1KiB..1MiB")?;
            let (least, most) = (size(least)?, size(most)?);
            if least > most {
                return Err(format!("{} is more than {}", show(least), show(most)));
            }
            return Ok(Self::Uniform(least, most));
        }
        if let Some(shape) = text.strip_prefix("lognormal:") {
            let (median, deviation) = shape
                .split_once(',')
                .ok_or("a lognormal size is written as lognormal:64KiB,2 (median, deviation)")?;
            let deviation: f64 = deviation
                .parse()
                .ok()
                .filter(|deviation| (0.0..=10.0).contains(deviation))
                .ok_or_else(|| format!("{deviation} is no deviation between 0 and 10"))?;
            return Ok(Self::Lognormal(size(median)?.min(LOGNORMAL_MAX_BYTES), deviation));
        }
        if text.contains('=') {
            let list = text.split(',').map(weighted).collect::<Result<Vec<_>, _>>()?;
            return Ok(Self::Weighted(list));
        }
        size(text).map(Self::Fixed)
    }
}

fn weighted(text: &str) -> Result<(u64, f64), String> {
    let (bytes, weight) = text
        .split_once('=')
        .ok_or("sizes with weights are written as 4KiB=70,64KiB=25,1MiB=5")?;
    let weight = weight.trim_end_matches('%').parse().ok();
    let weight = weight.filter(|weight: &f64| weight.is_finite() && *weight > 0.0);
    Ok((
        size(bytes)?,
        weight.ok_or_else(|| format!("{text} has no weight above 0"))?,
    ))
}

fn size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if bytes > FILE_MAX_BYTES {
        return Err(format!("a file has at most {}", show(FILE_MAX_BYTES)));
    }
    Ok(bytes)
}

#[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn show(bytes: u64) -> String {
    show_bytes(bytes as f64)
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{}", show(*bytes)),
            Self::Uniform(least, most) => write!(f, "{} to {}", show(*least), show(*most)),
            Self::Lognormal(median, deviation) => {
                write!(f, "lognormal around {}, deviation {deviation}", show(*median))
            }
            Self::Weighted(list) => {
                let all: f64 = list.iter().map(|(_, weight)| weight).sum();
                let of =
                    |(bytes, weight): &(u64, f64)| format!("{:.0} % {}", weight / all * 100.0, show(*bytes));
                write!(f, "{}", list.iter().map(of).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(text: &str) -> Vec<u64> {
        let sizes: Sizes = text.parse().unwrap();
        let mut drawn: Vec<_> = (0..20_000).map(|number| sizes.of(11, number)).collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn a_fixed_size_is_that_size() {
        assert!(draw("4KiB").iter().all(|bytes| *bytes == 4096));
        assert_eq!("0".parse::<Sizes>().unwrap().of(1, 1), 0);
    }

    #[test]
    fn a_uniform_size_fills_its_range() {
        let drawn = draw("uniform:10..19");
        for bytes in 10..=19 {
            let count = drawn.iter().filter(|one| **one == bytes).count();
            assert!((1800..2200).contains(&count), "{bytes}: {count}");
        }
        assert_eq!((drawn[0], drawn[19_999]), (10, 19));
    }

    #[test]
    fn a_lognormal_size_has_its_median_and_its_deviation() {
        let drawn = draw("lognormal:64KiB,1");
        let of = |part: f64| drawn[(20_000.0 * part) as usize] as f64 / 65_536.0;
        assert!((0.95..1.05).contains(&of(0.5)), "{}", of(0.5));
        // One deviation above the median is where 84.1 % lie below.
        assert!((2.5..2.95).contains(&of(0.8413)), "{}", of(0.8413));
        assert!(*draw("lognormal:1GiB,10").last().unwrap() <= LOGNORMAL_MAX_BYTES);
    }

    #[test]
    fn weights_are_kept() {
        let drawn = draw("1KiB=3,1MiB=1");
        let small = drawn.iter().filter(|bytes| **bytes == 1024).count();
        assert!((14_600..15_400).contains(&small), "{small}");
        assert_eq!(
            drawn.iter().filter(|bytes| **bytes == 1 << 20).count(),
            20_000 - small
        );
        assert_eq!(
            "1KiB=3,1MiB=1".parse::<Sizes>().unwrap().to_string(),
            "75 % 1 KiB, 25 % 1 MiB"
        );
    }

    #[test]
    fn averages_are_near() {
        let average = "uniform:0..1000".parse::<Sizes>().unwrap().average(3);
        assert!((450..550).contains(&average), "{average}");
        assert_eq!(Sizes::Fixed(0).average(1), 1, "it is divided by");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "large",
            "uniform:1KiB",
            "uniform:2..1",
            "lognormal:1KiB",
            "lognormal:1KiB,-1",
            "1KiB=0",
            "1KiB=1,2KiB",
            "1KiB=x",
            "9000TiB",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_are_the_same_each_time(seed: u64, number: u64, deviation in 0.0..10.0) {
            for sizes in [Sizes::Uniform(5, 500), Sizes::Lognormal(4096, deviation)] {
                prop_assert_eq!(sizes.of(seed, number), sizes.of(seed, number));
                prop_assert!(sizes.of(seed, number) <= LOGNORMAL_MAX_BYTES);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Sizes>();
        }
    }
}
