//! One connection: its buffer, and one request after the other.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

use crate::options::Options;
use crate::path::resolve;
use crate::request::Request;
use crate::{get, put};

/// Bytes that are received and written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes of a head; those of clients that measure have some hundreds.
const HEAD_BYTES: usize = 16 << 10;

/// What came and has not been used: `bytes[start..end]`.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Passes on the next `length` bytes as they come, in pieces of at most the buffer.
    pub(crate) fn body(
        &mut self,
        mut stream: &TcpStream,
        length: u64,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut left = length;
        while left > 0 {
            if self.start == self.end {
                let most = self.bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.start = 0;
                self.end = stream.read(&mut self.bytes[..most])?;
                if self.end == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            let here = self.end - self.start;
            let taken = here.min(usize::try_from(left).unwrap_or(here));
            take(&self.bytes[self.start..self.start + taken])?;
            self.start += taken;
            left -= taken as u64;
        }
        Ok(())
    }

    /// The part that holds nothing.
    fn free(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Waits for a whole head. Returns where it ends without its empty line, or `None` when the client has gone.
    fn head(&mut self, mut stream: &TcpStream) -> Result<Option<usize>> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            let arrived = &self.bytes[..self.end.min(HEAD_BYTES)];
            if let Some(end) = arrived.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(end));
            }
            if self.end >= HEAD_BYTES {
                return Err(Error::new(ErrorKind::InvalidData, "a head without an end"));
            }
            let come = stream.read(&mut self.bytes[self.end..])?;
            if come == 0 {
                return Ok(None);
            }
            self.end += come;
        }
    }
}

/// Answers requests until the client goes away or sends what is no request.
pub(crate) fn serve(stream: &TcpStream, options: &Options) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Buffer {
        bytes: vec![0; BUFFER_BYTES],
        start: 0,
        end: 0,
    };
    while let Some(end) = buffer.head(stream)? {
        // The buffer is used again while the request is served.
        let head = buffer.bytes[..end].to_vec();
        buffer.start = end + 4;
        let Some(request) = Request::parse(&head) else {
            return respond(stream, "400 Bad Request");
        };
        answer(stream, &mut buffer, &request, options)?;
        if request.close {
            break;
        }
    }
    Ok(())
}

/// Answers one request, whose body is used up after it.
fn answer(mut stream: &TcpStream, buffer: &mut Buffer, request: &Request, options: &Options) -> Result<()> {
    if request.expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let path = resolve(&options.directory, request.target);
    let status = match (request.method, path) {
        ("PUT", Some(path)) => return put::serve(stream, buffer, request.length, &path, options.durable),
        ("GET", Some(path)) if request.length == 0 => return get::serve(stream, buffer.free(), &path),
        ("MKCOL", Some(path)) => status_of(std::fs::create_dir(path)),
        ("PUT" | "GET" | "MKCOL", _) => "403 Forbidden",
        _ => "405 Method Not Allowed",
    };
    buffer.body(stream, request.length, |_| Ok(()))?;
    respond(stream, status)
}

/// The status line for what the filesystem said.
pub(crate) fn status_of(result: Result<()>) -> &'static str {
    match result.map_err(|error| error.kind()) {
        Ok(()) => "201 Created",
        Err(ErrorKind::AlreadyExists) => "405 Method Not Allowed",
        Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => "409 Conflict",
        Err(_) => "500 Internal Server Error",
    }
}

/// Sends an answer without a body.
pub(crate) fn respond(mut stream: &TcpStream, status: &str) -> Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
}
