//! GET.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::path::Path;

use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};

use crate::connection::respond;

/// Files of at most this many bytes leave together with the head, in one call.
const SMALL_BYTES: u64 = 64 << 10;
/// Bytes that one call of sendfile(2) is asked for; the kernel sends no more than 2 GiB less a page.
const SEND_BYTES: u64 = 1 << 30;

/// Sends a file. `scratch` is memory for small ones.
pub(crate) fn serve(stream: &TcpStream, scratch: &mut [u8], path: &Path) -> Result<()> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (length, mut file) = match opened {
        Ok((metadata, file)) if metadata.is_file() => (metadata.len(), file),
        _ => return respond(stream, "404 Not Found"),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let head = head.as_bytes();
    let whole = head.len() + usize::try_from(length.min(SMALL_BYTES)).unwrap_or(0);
    if length <= SMALL_BYTES && whole <= scratch.len() {
        let (front, rest) = scratch[..whole].split_at_mut(head.len());
        front.copy_from_slice(head);
        file.read_exact(rest)?;
        let mut stream = stream;
        return stream.write_all(&scratch[..whole]);
    }
    // A head is less than a send buffer: it goes in one piece, and waits for the first bytes of the file.
    if send(stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)? != head.len() {
        return Err(Error::new(ErrorKind::WriteZero, "the client takes nothing"));
    }
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left.min(SEND_BYTES)).unwrap_or(usize::MAX);
        match sendfile(stream, &file, None, most)? {
            0 => {
                return Err(Error::new(
                    ErrorKind::UnexpectedEof,
                    "the file has become shorter",
                ));
            }
            sent => left -= sent as u64,
        }
    }
    Ok(())
}
