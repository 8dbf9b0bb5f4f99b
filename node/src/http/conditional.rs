//! Conditional requests (RFC 9110 §13).

use std::time::{Duration, UNIX_EPOCH};

use super::exchange::RequestHead;
use super::range::{Ranges, parse};

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as usual.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// The state of a representation.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// Strong entity tag, with its quotes.
    pub etag: &'a str,
    /// Unix seconds; `None` if it has no date, so that conditions on one do not count (§13.1.3).
    pub modified_s: Option<u64>,
}

impl Validators<'_> {
    /// Evaluates the conditions in the order of §13.2.2.
    #[must_use]
    pub fn evaluate(&self, head: &RequestHead) -> Verdict {
        if let Some(tags) = joined(head, "if-match") {
            if !self.matches(&tags, true) {
                return Verdict::Failed;
            }
        } else if self
            .dates(head, "if-unmodified-since")
            .is_some_and(|(modified, since)| modified > since)
        {
            return Verdict::Failed;
        }
        if let Some(tags) = joined(head, "if-none-match") {
            if self.matches(&tags, false) {
                return Verdict::NotModified;
            }
        } else if self
            .dates(head, "if-modified-since")
            .is_some_and(|(modified, since)| modified <= since)
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a `Range` counts: there is no `If-Range`, or it names exactly this representation (§13.1.5).
    fn range_applies(&self, head: &RequestHead) -> bool {
        match head.header("if-range").map(<[u8]>::trim_ascii) {
            None => true,
            Some(value) if value.starts_with(b"\"") => value == self.etag.as_bytes(),
            Some(value) if value.starts_with(b"W/") => false,
            Some(value) => date(value).is_some_and(|since| self.modified_s == Some(since)),
        }
    }

    /// What is asked for of its `length` bytes. A `Range` in anything but a request for content says nothing (§14.2).
    #[must_use]
    pub fn ranges(&self, head: &RequestHead, length: u64) -> Ranges {
        head.header("range")
            .filter(|_| head.method() != "HEAD" && self.range_applies(head))
            .map_or(Ranges::Whole, |field| parse(field, length))
    }

    /// When it was modified, and the date that a field compares that with; `None` if either is missing.
    fn dates(&self, head: &RequestHead, name: &str) -> Option<(u64, u64)> {
        self.modified_s.zip(head.header(name).and_then(date))
    }

    /// Whether a list of tags names this one. Weak tags never match strongly (§8.8.3.2).
    fn matches(&self, tags: &str, strong: bool) -> bool {
        tags.trim() == "*"
            || tags
                .split(',')
                .map(str::trim)
                .any(|tag| match tag.strip_prefix("W/") {
                    Some(weak) => !strong && weak == self.etag,
                    None => tag == self.etag,
                })
    }
}

/// A date as `Last-Modified` shows it.
#[must_use]
pub fn http_date(seconds: u64) -> String {
    // Years beyond 9999 have no form in HTTP.
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

fn date(value: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn joined(head: &RequestHead, name: &str) -> Option<String> {
    let values: Vec<_> = head.headers(name).map(String::from_utf8_lossy).collect();
    (!values.is_empty()).then(|| values.join(","))
}
