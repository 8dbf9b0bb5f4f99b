//! Times as FTP writes them: UTC, RFC 3659 §2.3.

const MS_PER_DAY: i64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// From this age on, listings show the year instead of the time of day, as `ls` does.
const RECENT_MS: i64 = 180 * MS_PER_DAY;

/// A point in time, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    ms: u16,
}

/// The proleptic Gregorian calendar, counted from 1 March so that the leap day is a year's last.
fn civil(unix_ms: i64) -> Civil {
    let (days, ms) = (unix_ms.div_euclid(MS_PER_DAY), unix_ms.rem_euclid(MS_PER_DAY));
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let small = |number: i64| u8::try_from(number).unwrap_or(0);
    Civil {
        year: era * 400 + year + i64::from(month >= 10),
        month: small(if month < 10 { month + 3 } else { month - 9 }),
        day: small(day - (153 * month + 2) / 5 + 1),
        hour: small(ms / 3_600_000),
        minute: small(ms / 60_000 % 60),
        second: small(ms / 1000 % 60),
        ms: u16::try_from(ms % 1000).unwrap_or(0),
    }
}

fn unix_ms(civil: Civil) -> i64 {
    let (year, month) = if civil.month > 2 {
        (civil.year, i64::from(civil.month) - 3)
    } else {
        (civil.year - 1, i64::from(civil.month) + 9)
    };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * month + 2) / 5 + i64::from(civil.day) - 1;
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468;
    let seconds = i64::from(civil.hour) * 3600 + i64::from(civil.minute) * 60 + i64::from(civil.second);
    days * MS_PER_DAY + seconds * 1000 + i64::from(civil.ms)
}

/// `YYYYMMDDHHMMSS`, with `.sss` where there are milliseconds. Years are 0 to 9999.
#[must_use]
pub fn format(time_ms: i64) -> String {
    let at = civil(time_ms);
    let year = at.year.clamp(0, 9999);
    let mut text = format!(
        "{year:04}{:02}{:02}{:02}{:02}{:02}",
        at.month, at.day, at.hour, at.minute, at.second
    );
    if at.ms > 0 {
        text += &format!(".{:03}", at.ms);
    }
    text
}

/// Reads `YYYYMMDDHHMMSS` with or without a fraction; Unix milliseconds.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || fraction.is_some_and(|fraction| !digits(fraction)) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<u8>().ok();
    let ms: String = fraction
        .unwrap_or("")
        .chars()
        .chain("000".chars())
        .take(3)
        .collect();
    let at = Civil {
        year: whole.get(..4)?.parse().ok()?,
        month: number(4, 6)?,
        day: number(6, 8)?,
        hour: number(8, 10)?,
        minute: number(10, 12)?,
        // A leap second is the second before it.
        second: number(12, 14).map(|second| if second == 60 { 59 } else { second })?,
        ms: ms.parse().ok()?,
    };
    // What is not a day is read back as another one.
    let time = unix_ms(at);
    ((1..=12).contains(&at.month) && civil(time) == at).then_some(time)
}

/// As `ls -l` shows it: `Jan  1 12:00` for the last half year, `Jan  1  2020` for the rest.
#[must_use]
pub fn listed(time_ms: i64, now_ms: i64) -> String {
    let at = civil(time_ms);
    let month = MONTHS
        .get(usize::from(at.month).saturating_sub(1))
        .unwrap_or(&"Jan");
    let recent = (now_ms - RECENT_MS..=now_ms + MS_PER_DAY).contains(&time_ms);
    if recent {
        format!("{month} {:2} {:02}:{:02}", at.day, at.hour, at.minute)
    } else {
        format!("{month} {:2} {:5}", at.day, at.year.clamp(0, 9999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        assert_eq!(format(0), "19700101000000");
        assert_eq!(format(951_782_400_000), "20000229000000");
        assert_eq!(format(1_700_000_000_123), "20231114221320.123");
        assert_eq!(parse("20000229000000"), Some(951_782_400_000));
        assert_eq!(parse("20231114221320.1239"), Some(1_700_000_000_123));
        assert_eq!(parse("19691231235959"), Some(-1000));
        for bad in [
            "",
            "2000",
            "20010229000000",
            "20001301000000",
            "20000001000000",
            "20000101240000",
            "20000101000000.",
            "2000010100000+",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let now = 1_700_000_000_000;
        assert_eq!(listed(now, now), "Nov 14 22:13");
        assert_eq!(listed(0, now), "Jan  1  1970");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time in 0..253_402_300_799_999_i64) {
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn no_text_upsets_the_parser(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
