//! Amounts as people write and read them: bytes, times, rates, counts.

use std::time::Duration;

/// Reads an amount of bytes: `4096`, `4KiB`, `1.5MiB`, `1GB`.
///
/// # Errors
///
/// A text that says what is wrong with it.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text, "4KiB")?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        other => {
            return Err(format!(
                "{other} is no unit of bytes: B, KiB, MiB, GiB, KB, MB, GB"
            ));
        }
    };
    let bytes = (number * factor).round();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range"
    )]
    if (0.0..9e15).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(format!("{text} is too much"))
    }
}

/// Reads a time: `50ms`, `10s`, `1.5m`, `2h`, or seconds without a unit.
///
/// # Errors
///
/// A text that says what is wrong with it.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text, "10s")?;
    let factor = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("{other} is no unit of time: us, ms, s, m, h")),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|_| format!("{text} is too long"))
}

/// Reads a rate: `5000/s`, `300/m`, or a number for each second. Per second.
///
/// # Errors
///
/// A text that says what is wrong with it.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let (number, unit) = split(text, "5000/s")?;
    let seconds = match unit {
        "" | "/s" => 1.0,
        "/m" | "/min" => 60.0,
        "/h" => 3600.0,
        other => return Err(format!("{other} is no unit of a rate: /s, /m, /h")),
    };
    Ok(number / seconds)
}

fn split<'a>(text: &'a str, example: &str) -> Result<(f64, &'a str), String> {
    let text = text.trim();
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.parse::<f64>() {
        Ok(number) => Ok((number, unit.trim())),
        Err(_) => Err(format!("{text:?} is not an amount such as {example}")),
    }
}

/// Bytes, as `64 KiB` or `1.50 MiB`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub fn show_bytes(bytes: f64) -> String {
    let mut amount = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if amount < 1024.0 || unit == "TiB" {
            return match unit {
                _ if amount.fract() == 0.0 => format!("{amount:.0} {unit}"),
                _ if amount < 10.0 => format!("{amount:.2} {unit}"),
                _ => format!("{amount:.1} {unit}"),
            };
        }
        amount /= 1024.0;
    }
    String::new()
}

/// A time of some microseconds, as `820 µs`, `1.24 ms` or `3.1 s`.
#[must_use]
pub fn show_microseconds(microseconds: f64) -> String {
    match microseconds {
        of if of < 1000.0 => format!("{} µs", three_digits(of)),
        of if of < 1e6 => format!("{} ms", three_digits(of / 1e3)),
        of => format!("{} s", three_digits(of / 1e6)),
    }
}

/// A count with commas between its thousands.
#[must_use]
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A rate, with a fraction only where it is small.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are small and positive"
)]
pub fn show_rate(per_second: f64) -> String {
    if per_second < 100.0 && per_second.fract() != 0.0 {
        format!("{}/s", three_digits(per_second))
    } else {
        format!("{}/s", show_count(per_second.round() as u64))
    }
}

fn three_digits(number: f64) -> String {
    match number {
        of if of < 10.0 => format!("{of:.2}"),
        of if of < 100.0 => format!("{of:.1}"),
        of => format!("{of:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("4KiB"), Ok(4096));
        assert_eq!(parse_bytes("1.5 MiB"), Ok(1_572_864));
        assert_eq!(parse_bytes("2kb"), Ok(2000));
        assert_eq!(parse_time("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse_time("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_rate("5000/s"), Ok(5000.0));
        assert_eq!(parse_rate("300/m"), Ok(5.0));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "KiB", "4 parsecs", "-1", "1.2.3", "99999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for text in ["", "s", "4 parsecs", "-1s", "99999999999999999999999h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        for text in ["", "/s", "5/parsec"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown() {
        assert_eq!(show_bytes(65_536.0), "64 KiB");
        assert_eq!(show_bytes(1_600_000.0), "1.53 MiB");
        assert_eq!(show_bytes(15.0 * 1024.0 * 1024.0 + 700_000.0), "15.7 MiB");
        assert_eq!(show_microseconds(820.4), "820 µs");
        assert_eq!(show_microseconds(1240.0), "1.24 ms");
        assert_eq!(show_microseconds(31_000_000.0), "31.0 s");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_rate(52_345.6), "52,346/s");
        assert_eq!(show_rate(0.5), "0.50/s");
        assert_eq!(show_rate(20.0), "20/s");
    }
}
