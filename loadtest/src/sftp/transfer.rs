//! A file there and back, with many requests under way.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::connection::{Connection, expect_ok, refusal};
use super::packet::{EOF, PUT, READ, Reply, Request};
use super::{close, open};
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::files::File;
use crate::limits::{SFTP_REQUESTS_COUNT, SFTP_UNDER_WAY_BYTES};

/// Requests under way at a time.
fn most(connection: &Connection) -> usize {
    (SFTP_UNDER_WAY_BYTES / connection.piece as usize).clamp(1, SFTP_REQUESTS_COUNT)
}

/// Stores a file; its bytes.
///
/// # Errors
///
/// Whatever goes wrong.
pub(super) async fn put(connection: &mut Connection, content: &Content, file: &File) -> Result<u64, Failure> {
    let handle = open(connection, Request::Open, file.path(), Some(PUT)).await?;
    let written = write(connection, &handle, content, file).await;
    if written.as_ref().is_err_and(|failure| failure.broken) {
        return written;
    }
    // It is published, or dropped, when it is closed: what that says counts as well.
    close(connection, &handle).await.and(written)
}

async fn write(
    connection: &mut Connection,
    handle: &[u8],
    content: &Content,
    file: &File,
) -> Result<u64, Failure> {
    let most = most(connection);
    let mut result = Ok(file.size);
    let mut at = 0;
    while at < file.size || connection.waiting() > 0 {
        if at < file.size && connection.waiting() < most && result.is_ok() {
            let piece = content.piece(file.number, at, (file.size - at).min(u64::from(connection.piece)));
            let room = piece.len() + 64 + handle.len();
            connection
                .send(Request::Write, room, |of| of.string(handle).u64(at).string(piece))
                .await?;
            at += piece.len() as u64;
            continue;
        }
        if connection.waiting() == 0 {
            break;
        }
        let (_, reply) = connection.receive().await?;
        if let Err(failure) = expect_ok(reply) {
            result = result.and(Err(failure));
        }
    }
    result
}

/// Fetches a file, and compares it if asked to; its bytes.
///
/// # Errors
///
/// Whatever goes wrong.
pub(super) async fn get(
    connection: &mut Connection,
    content: &std::sync::Arc<Content>,
    file: &File,
    verify: bool,
) -> Result<u64, Failure> {
    let handle = open(connection, Request::Open, file.path(), Some(READ)).await?;
    let mut pieces = Pieces::new(verify.then(|| Check::new(content, file.number, file.size)));
    let read = read(connection, &handle, file.size, &mut pieces).await;
    if let Err(failure) = read {
        if !failure.broken {
            close(connection, &handle).await?;
        }
        return Err(failure);
    }
    close(connection, &handle).await?;
    pieces.finish(file.size)
}

/// Asks for all pieces, and for one behind the end, which must not be there.
async fn read(
    connection: &mut Connection,
    handle: &[u8],
    size: u64,
    pieces: &mut Pieces,
) -> Result<(), Failure> {
    let most = most(connection);
    let mut under_way = HashMap::new();
    let mut again: Vec<(u64, u32)> = Vec::new();
    let mut next = 0;
    let mut result = Ok(());
    loop {
        let wanted = match again.pop() {
            _ if result.is_err() || connection.waiting() >= most => None,
            Some(rest) => Some(rest),
            None if next <= size => {
                let length = u64::from(connection.piece).min((size - next).max(1));
                let asked = (next, u32::try_from(length).unwrap_or(connection.piece));
                next += length;
                Some(asked)
            }
            None => None,
        };
        if let Some((at, length)) = wanted {
            let id = connection
                .send(Request::Read, 64 + handle.len(), |of| {
                    of.string(handle).u64(at).u32(length)
                })
                .await?;
            under_way.insert(id, (at, length));
            continue;
        }
        if connection.waiting() == 0 {
            return result;
        }
        let (id, reply) = connection.receive().await?;
        let (at, length) = under_way.remove(&id).unwrap_or_default();
        match reply {
            Reply::Data(bytes) if !bytes.is_empty() && bytes.len() <= length as usize => {
                let got = u32::try_from(bytes.len()).unwrap_or(length);
                if got < length {
                    again.push((at + u64::from(got), length - got));
                }
                pieces.add(at, bytes);
            }
            Reply::Status { code: EOF, .. } => {}
            other => result = result.and(Err(refusal(other))),
        }
    }
}

/// Pieces of a file as they come, in whatever order.
struct Pieces {
    check: Option<Check>,
    received: u64,
    next: u64,
    early: BTreeMap<u64, Bytes>,
}

impl Pieces {
    fn new(check: Option<Check>) -> Self {
        Self {
            check,
            received: 0,
            next: 0,
            early: BTreeMap::new(),
        }
    }

    fn add(&mut self, at: u64, bytes: Bytes) {
        self.received += bytes.len() as u64;
        let Some(check) = &mut self.check else { return };
        self.early.insert(at, bytes);
        while let Some(bytes) = self.early.remove(&self.next) {
            check.feed(&bytes);
            self.next += bytes.len() as u64;
        }
    }

    fn finish(&self, size: u64) -> Result<u64, Failure> {
        if let Some(check) = &self.check {
            check.finish().map_err(Failure::wrong)?;
        }
        if self.received != size {
            return Err(Failure::wrong(format!(
                "{} bytes came instead of {size}",
                self.received
            )));
        }
        Ok(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_compared_in_whatever_order_they_come() {
        let content = Content::new(4);
        let whole = content.piece(9, 0, 300).to_vec();
        let whole = Bytes::from(whole);
        let mut pieces = Pieces::new(Some(Check::new(&content, 9, 300)));
        for (from, to) in [(200, 300), (0, 50), (120, 200), (50, 120)] {
            pieces.add(from as u64, whole.slice(from..to));
        }
        assert_eq!(pieces.finish(300).unwrap(), 300);
        let mut pieces = Pieces::new(Some(Check::new(&content, 9, 300)));
        pieces.add(0, whole.slice(0..100));
        pieces.add(200, whole.slice(200..300));
        assert!(pieces.finish(300).is_err());
        let mut pieces = Pieces::new(None);
        pieces.add(0, whole);
        assert_eq!(pieces.finish(300).unwrap(), 300);
        assert!(pieces.finish(301).is_err());
    }
}
