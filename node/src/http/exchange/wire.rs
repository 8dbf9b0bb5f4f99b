//! What the connection itself has to know of HTTP/1.1: framing of requests and of replies (RFC 9112).

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

use super::target;
use crate::clock;
use crate::error::Error;
use crate::limits::{HEAD_MAX_BYTES, HEADER_MAX_COUNT, TARGET_MAX_BYTES};

/// Longest line of a chunk size with its extensions, and longest line of trailers.
const CHUNK_LINE_MAX_BYTES: usize = 1024;
/// Most bytes of trailers; they are dropped.
const TRAILERS_MAX_BYTES: usize = 8192;

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Where something stands in a head, which is at most [`HEAD_MAX_BYTES`] long.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u16,
    to: u16,
}

const _: () = assert!(HEAD_MAX_BYTES <= u16::MAX as usize);

impl Span {
    /// Of a part of `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let from = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        let at = |offset: usize| u16::try_from(offset).unwrap_or(u16::MAX);
        Self {
            from: at(from),
            to: at(from + part.len()),
        }
    }
}

/// A request head: its bytes as they came, and what stands where.
#[derive(Debug)]
pub struct RequestHead {
    bytes: Box<[u8]>,
    method: Span,
    target: Span,
    /// The target in its normal form, where that is not how it came.
    rewritten: Option<String>,
    fields: Vec<(Span, Span)>,
    http11: bool,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
}

impl RequestHead {
    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(self.method)
    }

    /// The path, with only those characters percent-encoded that mean something else when they are not.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The first field of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// All fields of this name, in any case.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(field, _)| self.slice(*field).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| self.slice(*value))
    }

    /// All fields, with names as they came.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (self.slice(*name), self.slice(*value)))
    }

    /// Path and query, as [`RequestHead::path`] has it.
    #[must_use]
    pub fn target(&self) -> &str {
        self.rewritten
            .as_deref()
            .unwrap_or_else(|| self.text(self.target))
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes
            .get(usize::from(span.from)..usize::from(span.to))
            .unwrap_or_default()
    }

    /// Method and target, which the parser has found to be UTF-8.
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    /// How the body is delimited.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.expect_continue
    }

    pub(super) fn is_http11(&self) -> bool {
        self.http11
    }

    pub(super) fn is_head(&self) -> bool {
        self.method() == "HEAD"
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// RFC 9112 §3.2: exactly one, and one that is a host. HTTP/1.0 knows none.
    fn check_host(&self) -> Result<(), Error> {
        let mut hosts = self.headers("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if target::is_authority(host) => Ok(()),
            (Some(_), None) => Err(bad("the Host field is malformed")),
            (None, _) if !self.http11 => Ok(()),
            _ => Err(bad("one Host field is needed")),
        }
    }

    /// RFC 9112 §6: two ways to read a length are none, since a proxy may have chosen the other.
    fn read_framing(&self) -> Result<Framing, Error> {
        let coding = self.headers("transfer-encoding").count();
        let mut lengths = self.headers("content-length");
        let length = lengths.next();
        if lengths.next().is_some() || (coding > 0 && length.is_some()) || coding > 1 {
            return Err(bad("the length of the body is given twice"));
        }
        if let Some(value) = self.header("transfer-encoding") {
            let plain = value.trim_ascii().eq_ignore_ascii_case(b"chunked") && self.http11;
            return if plain {
                Ok(Framing::Chunked)
            } else {
                Err(bad("this transfer coding is not understood"))
            };
        }
        let Some(length) = length else {
            return Ok(Framing::None);
        };
        let digits = std::str::from_utf8(length)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let length = digits
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| bad("bad Content-Length"))?;
        Ok(Framing::Length(length))
    }
}

/// Reads a head from the front of `bytes`, with its length; `None`: it is not complete. Empty lines before it count to
/// it.
///
/// # Errors
///
/// What RFC 9112 forbids, and what it leaves to the recipient but intermediaries read in several ways; over
/// [`HEAD_MAX_BYTES`], [`HEADER_MAX_COUNT`] or [`TARGET_MAX_BYTES`]. More bytes mend none of it.
pub fn parse(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, Error> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_MAX_COUNT];
    let mut request = httparse::Request::new(&mut []);
    let consumed = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) if request.version.is_none() => return Err(uri_too_long()),
        Ok(httparse::Status::Partial) => return Err(head_too_long()),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Error::HeadTooLarge(format!(
                "there are more than {HEADER_MAX_COUNT} fields"
            )));
        }
        Err(error) => return Err(Error::BadRequest(format!("bad request head: {error}"))),
    };
    if has_bare_line_feed(bytes.get(..consumed).unwrap_or_default()) {
        return Err(bad("a line of the head ends without CR"));
    }
    let target = request.path.unwrap_or_default();
    if target.len() > TARGET_MAX_BYTES {
        return Err(uri_too_long());
    }
    if consumed > HEAD_MAX_BYTES {
        return Err(head_too_long());
    }
    let whole = bytes.get(..consumed).unwrap_or_default();
    let span = |part: &[u8]| Span::of(part, whole);
    let method = request.method.unwrap_or_default();
    let mut head = RequestHead {
        method: span(method.as_bytes()),
        target: span(target.as_bytes()),
        rewritten: target::rewritten(method, target)?,
        fields: request
            .headers
            .iter()
            .map(|field| (span(field.name.as_bytes()), span(field.value)))
            .collect(),
        bytes: whole.into(),
        http11: request.version == Some(1),
        framing: Framing::None,
        keep_alive: false,
        expect_continue: false,
    };
    head.check_host()?;
    head.framing = head.read_framing()?;
    let close = head.has_token("connection", "close");
    head.keep_alive = !close && (head.http11 || head.has_token("connection", "keep-alive"));
    head.expect_continue = head.http11 && head.has_token("expect", "100-continue");
    Ok(Some((head, consumed)))
}

/// RFC 9112 §2.2 lets a recipient take a bare LF for a line's end; proxies differ, so it is refused.
fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'))
}

/// The state between two reads of a chunked body (RFC 9112 §7.1).
#[derive(Debug, Default)]
pub struct Chunks {
    place: Place,
    trailer_bytes: usize,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What is at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum ChunkStep {
    /// Framing: drop it.
    Skip(usize),
    /// Payload, at least one byte.
    Data(usize),
    /// The rest of the framing, dropped as well; the body ends behind it.
    End(usize),
    /// Too little to tell.
    Need,
}

impl Chunks {
    /// Says what stands at the front of `input`, which begins behind what was taken before. Not to be asked again
    /// after [`ChunkStep::End`].
    ///
    /// # Errors
    ///
    /// If the framing is malformed; nothing more can be read of the body then.
    pub fn step(&mut self, input: &[u8]) -> Result<ChunkStep, Error> {
        match &mut self.place {
            Place::Data(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= n as u64;
                if *left == 0 {
                    self.place = Place::DataEnd;
                }
                Ok(if n == 0 {
                    ChunkStep::Need
                } else {
                    ChunkStep::Data(n)
                })
            }
            Place::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.place = Place::Size;
                    Ok(ChunkStep::Skip(2))
                }
                [] | [b'\r'] => Ok(ChunkStep::Need),
                _ => Err(bad("a chunk is longer than its size")),
            },
            Place::Size => {
                let Some(line) = line(input)? else {
                    return Ok(ChunkStep::Need);
                };
                self.place = match size(line)? {
                    0 => Place::Trailers,
                    size => Place::Data(size),
                };
                Ok(ChunkStep::Skip(line.len() + 2))
            }
            Place::Trailers => {
                let Some(line) = line(input)? else {
                    return Ok(ChunkStep::Need);
                };
                self.trailer_bytes += line.len() + 2;
                if self.trailer_bytes > TRAILERS_MAX_BYTES {
                    return Err(bad("the trailers are too long"));
                }
                Ok(if line.is_empty() {
                    ChunkStep::End(2)
                } else {
                    ChunkStep::Skip(line.len() + 2)
                })
            }
        }
    }
}

/// A line without its CR LF. A bare LF ends none, and control characters are refused: for some, a CR ends a line.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Error> {
    match memchr::memchr(b'\n', input) {
        None if input.len() > CHUNK_LINE_MAX_BYTES => Err(bad("a line of chunk framing is too long")),
        None => Ok(None),
        Some(at) if at > CHUNK_LINE_MAX_BYTES => Err(bad("a line of chunk framing is too long")),
        Some(at) => {
            let line = input.get(..at).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.ok_or_else(|| bad("a line of chunk framing ends without CR"))?;
            if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(bad("a line of chunk framing holds a control character"));
            }
            Ok(Some(line))
        }
    }
}

/// A size, and extensions that are passed over. White space may stand before an extension only.
fn size(line: &[u8]) -> Result<u64, Error> {
    let (digits, extended) = match memchr::memchr(b';', line) {
        Some(at) => (line.get(..at).unwrap_or_default(), true),
        None => (line, false),
    };
    let is_blank = |byte: &u8| extended && matches!(byte, b' ' | b'\t');
    let blanks = digits.iter().rev().take_while(|byte| is_blank(byte)).count();
    let digits = digits.get(..digits.len() - blanks).unwrap_or_default();
    let valid = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| valid);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or_else(|| bad("bad chunk size"))
}

/// Writes the size line of a chunk.
pub(super) fn chunk_size(out: &mut Vec<u8>, len: u64) {
    out.extend_from_slice(format!("{len:x}\r\n").as_bytes());
}

/// Status and fields of a reply. Framing, `Date` and `Connection` are added when it is sent.
#[derive(Debug)]
pub struct ReplyHead {
    status: u16,
    fields: Vec<u8>,
}

impl ReplyHead {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A head without fields.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
        }
    }

    /// Adds a field. A value with a line break is left out: it would be another field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        if !value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            for part in [name, ": ", value, "\r\n"] {
                self.fields.extend_from_slice(part.as_bytes());
            }
        }
        self
    }

    /// Whether such a reply never has a body (RFC 9110 §6.4.1).
    pub(super) fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        exact: Option<u64>,
        chunked: bool,
        keep: bool,
        http11: bool,
    ) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(number.format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(crate::http::problem::reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.fields);
        if let Some(len) = exact.filter(|_| !matches!(self.status, 100..=199 | 204)) {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(number.format(len).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if chunked && !self.has_no_body() {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        let connection: &[u8] = match (keep, http11) {
            (true, true) => b"",
            (true, false) => b"Connection: keep-alive\r\n",
            (false, _) => b"Connection: close\r\n",
        };
        out.extend_from_slice(connection);
        write_date(out);
        out.extend_from_slice(b"\r\n");
    }
}

thread_local! {
    /// The second that the `Date` field was last made for, and the field.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Adds the field `Date`, which is made once a second.
fn write_date(out: &mut Vec<u8>) {
    DATE.with_borrow_mut(|(made_s, field)| {
        let now_s = clock::now_s();
        if *made_s != now_s || field.is_empty() {
            *made_s = now_s;
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_s);
            *field = format!("Date: {}\r\n", httpdate::fmt_http_date(now));
        }
        out.extend_from_slice(field.as_bytes());
    });
}

fn uri_too_long() -> Error {
    Error::UriTooLong {
        limit_bytes: TARGET_MAX_BYTES,
    }
}

fn head_too_long() -> Error {
    Error::HeadTooLarge(format!("the head is longer than {HEAD_MAX_BYTES} bytes"))
}

pub(super) fn bad(detail: &str) -> Error {
    Error::BadRequest(detail.to_owned())
}
