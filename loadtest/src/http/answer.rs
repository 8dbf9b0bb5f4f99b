//! An answer of HTTP/1.1 as its bytes arrive (RFC 9112): head, framing, body. No I/O.

use std::mem::MaybeUninit;

use httparse::ParserConfig;

use crate::limits::{HEAD_MAX_BYTES, HEADERS_MAX_COUNT, LINE_MAX_BYTES};

/// Where in the answer the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Head,
    /// So much of the body is still to come.
    Body(u64),
    /// Until the connection ends.
    Rest,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

/// An answer that is being received.
#[derive(Debug)]
pub(super) struct Answer {
    state: State,
    /// What has come of the head, of a chunk's size, or of a trailer line.
    gathered: Vec<u8>,
    status: u16,
    closes: bool,
    /// Whether the server wants the body that was announced.
    goes_on: bool,
    /// Where a client is sent that should ask elsewhere.
    location: Option<String>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            state: State::Head,
            gathered: Vec::new(),
            status: 0,
            closes: false,
            goes_on: false,
            location: None,
        }
    }
}

impl Answer {
    /// Begins again, for the next answer of a connection.
    pub(super) fn reset(&mut self) {
        self.state = State::Head;
        self.gathered.clear();
        self.status = 0;
        self.goes_on = false;
        self.location = None;
    }

    /// Whether the server has said that it wants the body which was announced.
    #[must_use]
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Takes where a 307 or a 308 sends the client.
    pub(super) fn take_location(&mut self) -> Option<String> {
        self.location.take()
    }

    /// The status; 0 before the head is there.
    #[must_use]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether all is there.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the server ends the connection after this answer.
    #[must_use]
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// Bytes of the body that come next, in one run.
    #[must_use]
    pub(super) fn body_ahead(&self) -> u64 {
        match self.state {
            State::Body(left) | State::Chunk(left) => left,
            _ => 0,
        }
    }

    /// So many bytes of the body came that [`Answer::body_ahead`] announced, and nobody looked at them.
    pub(super) fn skipped(&mut self, bytes: u64) {
        match self.state {
            State::Body(left) => self.state = body(left.saturating_sub(bytes)),
            State::Chunk(left) => self.state = chunk(left.saturating_sub(bytes)),
            _ => {}
        }
    }

    /// Takes the next bytes, and shows those of the body with the status.
    ///
    /// # Errors
    ///
    /// A text that says why this is no answer.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(u16, &[u8])) -> Result<(), String> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Body(left) | State::Chunk(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, rest) = bytes.split_at(here);
                    take(self.status, now);
                    self.skipped(here as u64);
                    rest
                }
                State::Rest => {
                    take(self.status, bytes);
                    &[]
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.line(bytes)?,
                State::Done => return Err("more bytes than the answer has".to_owned()),
            };
        }
        Ok(())
    }

    /// The connection has ended.
    ///
    /// # Errors
    ///
    /// If something was still to come.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.state == State::Rest {
            self.state = State::Done;
        }
        match self.state {
            State::Done => Ok(()),
            State::Head if self.gathered.is_empty() => Err("the server has closed the connection".to_owned()),
            _ => Err("the server has closed the connection in the middle of an answer".to_owned()),
        }
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        // A head that comes whole is not copied.
        let before = self.gathered.len();
        let head = if before == 0 {
            bytes
        } else {
            self.gathered.extend_from_slice(bytes);
            &self.gathered
        };
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX_COUNT];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut headers);
        let length = match parsed.map_err(|error| format!("no HTTP: {error}"))? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if head.len() > HEAD_MAX_BYTES => {
                return Err("the head of the answer is too long".to_owned());
            }
            httparse::Status::Partial => {
                if before == 0 {
                    self.gathered.extend_from_slice(bytes);
                }
                return Ok(&[]);
            }
        };
        let status = response.code.unwrap_or(0);
        let (state, closes) = framing(status, response.version, response.headers)?;
        if matches!(status, 307 | 308) {
            let mut headers = response.headers.iter();
            let location = headers.find(|header| header.name.eq_ignore_ascii_case("location"));
            self.location = location.map(|header| String::from_utf8_lossy(header.value).into_owned());
        }
        self.goes_on |= status == 100;
        if status >= 200 {
            (self.state, self.closes, self.status) = (state, closes, status);
        }
        self.gathered.clear();
        Ok(bytes.get(length - before..).unwrap_or_default())
    }

    /// A line of the chunked coding, to its end.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.gathered.extend_from_slice(bytes);
            if self.gathered.len() > LINE_MAX_BYTES {
                return Err("a line of the chunked coding is too long".to_owned());
            }
            return Ok(&[]);
        };
        let (line, rest) = bytes.split_at(end + 1);
        self.gathered.extend_from_slice(line);
        let line = self.gathered.trim_ascii();
        self.state = match self.state {
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailer,
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err("a chunk is longer than its size says".to_owned()),
            _ if line.is_empty() => State::Done,
            other => other,
        };
        self.gathered.clear();
        Ok(rest)
    }
}

fn body(left: u64) -> State {
    if left == 0 { State::Done } else { State::Body(left) }
}

fn chunk(left: u64) -> State {
    if left == 0 {
        State::ChunkEnd
    } else {
        State::Chunk(left)
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let digits = std::str::from_utf8(digits).unwrap_or("");
    // `from_str_radix` would take a sign.
    if digits.starts_with('+') {
        return Err("no size of a chunk".to_owned());
    }
    u64::from_str_radix(digits, 16).map_err(|_| "no size of a chunk".to_owned())
}

/// What follows a head, and whether the connection ends with it.
fn framing(
    status: u16,
    version: Option<u8>,
    headers: &[httparse::Header<'_>],
) -> Result<(State, bool), String> {
    // What is not said: HTTP/1.0 ends the connection, HTTP/1.1 keeps it (RFC 9112, 9.3).
    let mut closes = version == Some(0);
    let mut length = None;
    let mut chunked = false;
    for header in headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(value).unwrap_or("");
            let told: u64 = text.parse().map_err(|_| format!("no Content-Length: {text}"))?;
            if length.is_some_and(|length| length != told) {
                return Err("two lengths".to_owned());
            }
            length = Some(told);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(format!("an unknown coding: {}", String::from_utf8_lossy(value)));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                closes = match closes {
                    true => !option.eq_ignore_ascii_case(b"keep-alive"),
                    false => option.eq_ignore_ascii_case(b"close"),
                };
            }
        }
    }
    Ok(match (status, chunked, length) {
        (204 | 304, _, _) => (State::Done, closes),
        (_, true, _) => (State::ChunkSize, closes),
        (_, false, Some(length)) => (body(length), closes),
        (_, false, None) => (State::Rest, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Status, body and whether it is whole, of an answer that comes in pieces.
    fn read(bytes: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool), String> {
        let mut answer = Answer::default();
        let mut body = Vec::new();
        for piece in bytes.chunks(step) {
            answer.feed(piece, |_, bytes| body.extend_from_slice(bytes))?;
        }
        Ok((answer.status(), body, answer.is_done()))
    }

    const LONG: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n";

    proptest! {
        #[test]
        fn answers_are_the_same_however_they_come(step in 1_usize..80) {
            prop_assert_eq!(read(LONG, step), Ok((200, b"hello".to_vec(), true)));
            prop_assert_eq!(read(CHUNKED, step), Ok((503, b"hello".to_vec(), true)));
        }

        #[test]
        fn a_piece_is_not_the_whole(cut in 0_usize..60) {
            for bytes in [LONG, CHUNKED] {
                let mut answer = Answer::default();
                answer.feed(&bytes[..cut], |_, _| {}).unwrap();
                prop_assert!(!answer.is_done());
                prop_assert!(answer.end().is_err());
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, step in 1_usize..50) {
            let _ = read(&bytes, step);
            let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            answer.extend_from_slice(&bytes);
            let _ = read(&answer, step);
        }
    }

    #[test]
    fn connections_that_end_are_noticed() {
        let mut answer = Answer::default();
        answer
            .feed(b"HTTP/1.1 200 OK\r\n\r\nall of it", |_, _| {})
            .unwrap();
        assert!(!answer.is_done() && answer.closes());
        assert_eq!(answer.end(), Ok(()));
        assert!(answer.is_done());
        let mut answer = Answer::default();
        answer
            .feed(
                b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
                |_, _| {},
            )
            .unwrap();
        assert!(answer.is_done() && answer.closes());
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_answer_say() {
        for (version, connection, closes) in [
            ("1.1", "", false),
            ("1.1", "Connection: keep-alive\r\n", false),
            ("1.1", "Connection: TE, close\r\n", true),
            ("1.0", "", true),
            ("1.0", "Connection: Keep-Alive\r\n", false),
        ] {
            let mut answer = Answer::default();
            let head = format!("HTTP/{version} 201 Made\r\n{connection}Content-Length: 0\r\n\r\n");
            answer.feed(head.as_bytes(), |_, _| {}).unwrap();
            assert_eq!((answer.is_done(), answer.closes()), (true, closes), "{head}");
        }
    }

    #[test]
    fn what_comes_before_an_answer_and_where_it_sends_to_is_told() {
        let mut answer = Answer::default();
        answer.feed(b"HTTP/1.1 100 Continue\r\n\r\n", |_, _| {}).unwrap();
        assert!(answer.goes_on() && answer.status() == 0 && !answer.is_done());
        let sent = b"HTTP/1.1 307 There\r\nLocation: http://b/c\r\nContent-Length: 0\r\n\r\n";
        answer.feed(sent, |_, _| {}).unwrap();
        assert!(answer.is_done());
        assert_eq!(answer.take_location().as_deref(), Some("http://b/c"));
        answer.reset();
        assert!(!answer.goes_on());
    }

    #[test]
    fn what_is_skipped_counts() {
        let mut answer = Answer::default();
        answer
            .feed(
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1234567890",
                |_, _| {},
            )
            .unwrap();
        assert_eq!(answer.body_ahead(), 90);
        answer.skipped(90);
        assert!(answer.is_done());
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        ] {
            assert!(read(bytes, 7).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        let long = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; HEAD_MAX_BYTES]].concat();
        assert!(read(&long, 1000).is_err());
    }
}
