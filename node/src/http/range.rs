//! `Range` and what is sent for it (RFC 9110 §14).

use std::ops::Range;

use crate::limits::RANGES_MAX_COUNT;

/// Optional white space (RFC 9110 §5.6.3).
const WHITE: [char; 2] = [' ', '\t'];

/// What a `Range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Everything: there is no field, or one that is to be ignored.
    Whole,
    /// These bytes, in the order asked for.
    Some(Vec<Range<u64>>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// Reads a `Range` field for a representation of `length` bytes. More ranges than are useful, or ranges that
/// overlap much, are answered with everything (§14.2 allows it; RFC 9110 §17.15 advises it).
#[must_use]
pub fn parse(field: &[u8], length: u64) -> Ranges {
    let text = std::str::from_utf8(field).unwrap_or_default();
    let specifier = text.trim_matches(WHITE).split_once('=');
    let Some((_, set)) = specifier.filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes")) else {
        return Ranges::Whole;
    };
    let mut ranges = Vec::new();
    let mut asked = 0;
    let specs = set.split(',').map(|one| one.trim_matches(WHITE));
    for one in specs.filter(|one| !one.is_empty()) {
        asked += 1;
        match read(one, length) {
            _ if asked > RANGES_MAX_COUNT => return Ranges::Whole,
            None => return Ranges::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
        }
    }
    if asked == 0 {
        return Ranges::Whole;
    }
    if ranges.is_empty() {
        return Ranges::Unsatisfiable;
    }
    let total: u128 = ranges
        .iter()
        .map(|range| u128::from(range.end - range.start))
        .sum();
    if ranges.len() > 1 && total > u128::from(length) {
        Ranges::Whole
    } else {
        Ranges::Some(ranges)
    }
}

/// One range; empty if nothing of it exists, `None` if it is malformed.
fn read(one: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = one.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too large for us is larger than any file.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    match (digits(first), digits(last)) {
        (true, true) => {
            let (first, last) = (number(first), number(last));
            (first <= last).then(|| first.min(length)..last.saturating_add(1).min(length))
        }
        (true, false) if last.is_empty() => Some(number(first).min(length)..length),
        (false, true) if first.is_empty() => Some(length.saturating_sub(number(last))..length),
        _ => None,
    }
}

/// The parts of a `multipart/byteranges` body: what stands before each range, and the end.
#[derive(Debug)]
pub struct ByteRanges {
    /// Bytes before each range.
    pub heads: Vec<Vec<u8>>,
    /// Bytes behind the last.
    pub tail: Vec<u8>,
    /// Length of the whole body.
    pub length: u64,
    /// Value of `Content-Type`.
    pub content_type: String,
}

/// Lays out a `multipart/byteranges` body. `boundary` must not occur in the file, so it is random.
#[must_use]
pub fn byte_ranges(ranges: &[Range<u64>], length: u64, content_type: &str, boundary: &str) -> ByteRanges {
    let mut total = 0;
    let mut heads = Vec::with_capacity(ranges.len());
    for (at, range) in ranges.iter().enumerate() {
        let line = if at == 0 { "" } else { "\r\n" };
        let head = format!(
            "{line}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {}-{}/{length}\r\n\r\n",
            range.start,
            range.end - 1
        );
        total += head.len() as u64 + (range.end - range.start);
        heads.push(head.into_bytes());
    }
    let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
    total += tail.len() as u64;
    ByteRanges {
        heads,
        tail,
        length: total,
        content_type: format!("multipart/byteranges; boundary={boundary}"),
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_of_the_rfc() {
        let some = |ranges: &[Range<u64>]| Ranges::Some(ranges.to_vec());
        assert_eq!(parse(b"bytes=0-499", 10_000), some(&[0..500]));
        assert_eq!(parse(b"bytes=9500-", 10_000), some(&[9500..10_000]));
        assert_eq!(parse(b"bytes=-500", 10_000), some(&[9500..10_000]));
        assert_eq!(parse(b"bytes=0-0,-1", 10_000), some(&[0..1, 9999..10_000]));
        assert_eq!(
            parse(b" Bytes=0-0 ,\t,-1", 10_000),
            some(&[0..1, 9999..10_000]),
            "units are case-insensitive"
        );
        assert_eq!(
            parse(b"bytes=500-600,601-999", 10_000),
            some(&[500..601, 601..1000])
        );
        assert_eq!(parse(b"bytes=-20000", 10_000), some(&[0..10_000]));
        assert_eq!(
            parse(b"bytes=9999-99999999999999999999999", 10_000),
            some(&[9999..10_000])
        );
        assert_eq!(parse(b"bytes=10000-", 10_000), Ranges::Unsatisfiable);
        assert_eq!(parse(b"bytes=-0", 10_000), Ranges::Unsatisfiable);
        assert_eq!(parse(b"bytes=0-", 0), Ranges::Unsatisfiable);
        for ignored in [
            "",
            "bytes=",
            "bytes=5-4",
            "bytes=a-b",
            "lines=1-2",
            "bytes=1",
            "bytes=+1-2",
            "bytes=0-9,x",
        ] {
            assert_eq!(parse(ignored.as_bytes(), 10_000), Ranges::Whole, "{ignored}");
        }
        assert_eq!(
            parse(b"bytes=0-,0-,0-", 10_000),
            Ranges::Whole,
            "more than the file"
        );
        assert_eq!(
            parse(b"bytes=0-,0-", u64::MAX),
            Ranges::Whole,
            "more than a number holds"
        );
    }

    proptest! {
        #[test]
        fn ranges_lie_in_the_file(field in "bytes=[0-9,-]{0,30}", length in 0_u64..1000) {
            if let Ranges::Some(ranges) = parse(field.as_bytes(), length) {
                for range in ranges {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }
    }
}
