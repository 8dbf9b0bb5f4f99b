use std::ops::Range;

use filegrid::http::range::{Ranges, byte_ranges, parse};
use filegrid::limits::RANGES_MAX_COUNT;

use super::{find, first_line};

/// Longest file whose bytes are laid out to check a body of several ranges.
const FILE_MAX_BYTES: u64 = 4096;

/// The first line is the length of a file, the rest a `Range` field. Every range that is sent lies in the file and
/// is one that was asked for, and the body that several make holds exactly their bytes.
pub fn range(data: &[u8]) {
    let (line, field) = first_line(data);
    let length = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
    let length: u64 = length.unwrap_or(1000);
    let found = parse(field, length);
    assert_eq!(found, model(field, length));
    let Ranges::Some(ranges) = found else { return };
    assert!((1..=RANGES_MAX_COUNT).contains(&ranges.len()));
    assert!(
        ranges
            .iter()
            .all(|range| range.start < range.end && range.end <= length)
    );
    let total: u128 = ranges
        .iter()
        .map(|range| u128::from(range.end - range.start))
        .sum();
    assert!(total <= u128::from(length), "more is sent than the file has");

    let again: Vec<_> = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    let again = format!("bytes={}", again.join(", "));
    assert_eq!(parse(again.as_bytes(), length), Ranges::Some(ranges.clone()));
    if length <= FILE_MAX_BYTES {
        laid_out(&ranges, length);
    }
}

/// The same by RFC 9110 §14.1.2, in numbers that do not overflow.
fn model(field: &[u8], length: u64) -> Ranges {
    let field = trim(field);
    let unit = field.get(..6).unwrap_or_default();
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Whole;
    }
    let specs: Vec<&[u8]> = field[6..].split(|byte| *byte == b',').map(trim).collect();
    let specs: Vec<&[u8]> = specs.into_iter().filter(|spec| !spec.is_empty()).collect();
    if specs.is_empty() || specs.len() > RANGES_MAX_COUNT {
        return Ranges::Whole;
    }
    let mut ranges = Vec::new();
    for spec in specs {
        let Some((first, last)) = model_one(spec, u128::from(length)) else {
            return Ranges::Whole;
        };
        if first < last {
            ranges.push(u64::try_from(first).unwrap()..u64::try_from(last).unwrap());
        }
    }
    let total: u128 = ranges
        .iter()
        .map(|range| u128::from(range.end - range.start))
        .sum();
    match ranges.len() {
        0 => Ranges::Unsatisfiable,
        2.. if total > u128::from(length) => Ranges::Whole,
        _ => Ranges::Some(ranges),
    }
}

/// First byte and the one behind the last; both equal if nothing of it exists.
fn model_one(spec: &[u8], length: u128) -> Option<(u128, u128)> {
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if !first.iter().chain(last).all(u8::is_ascii_digit) {
        return None;
    }
    match (first, last) {
        (b"", b"") => None,
        (b"", suffix) => Some((length - number(suffix).min(length), length)),
        (first, b"") => Some((number(first).min(length), length)),
        (first, last) if number(first) > number(last) => None,
        (first, last) => Some((number(first).min(length), (number(last) + 1).min(length))),
    }
}

/// No file is longer than what a number that is too long comes to.
fn number(digits: &[u8]) -> u128 {
    digits.iter().fold(0_u128, |number, digit| {
        (number * 10 + u128::from(digit - b'0')).min(u128::from(u64::MAX))
    })
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Puts a body of several ranges together, and takes it apart again.
#[allow(clippy::cast_possible_truncation, reason = "files of a few KiB")]
fn laid_out(ranges: &[Range<u64>], length: u64) {
    let file: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let bytes = |range: &Range<u64>| &file[range.start as usize..range.end as usize];
    let layout = byte_ranges(ranges, length, "text/plain", "-=boundary=-");
    assert!(layout.content_type.ends_with("boundary=-=boundary=-"));
    assert_eq!(layout.heads.len(), ranges.len());
    let mut body = Vec::new();
    for (head, range) in layout.heads.iter().zip(ranges) {
        body.extend_from_slice(head);
        body.extend_from_slice(bytes(range));
    }
    body.extend_from_slice(&layout.tail);
    assert_eq!(layout.length, body.len() as u64);

    let mut rest = [b"\r\n", body.as_slice()].concat();
    for range in ranges {
        let part = rest.strip_prefix(b"\r\n---=boundary=-\r\n").unwrap();
        let end = find(part, b"\r\n\r\n").unwrap();
        let head = String::from_utf8(part[..end].to_vec()).unwrap();
        let says = format!("Content-Range: bytes {}-{}/{length}", range.start, range.end - 1);
        assert!(head.lines().any(|line| line == says), "{head}");
        rest = part[end + 4..].strip_prefix(bytes(range)).unwrap().to_vec();
    }
    assert_eq!(rest, b"\r\n---=boundary=---\r\n");
}
