//! Sending the bytes of files, over any protocol.

use std::future::Future;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::limits::{COLD_READ_BYTES, SEND_SLICE_BYTES};
use crate::metrics::{self, Via};
use crate::read::read_whole;
use crate::ring::{self, AlignedBuf};
use crate::store::{Content, Piece};

/// Where bytes of a file go.
pub trait Sink {
    /// What it is counted as; `None`: nothing is sent to a client.
    fn via(&self) -> Option<Via> {
        None
    }

    /// Whether [`Sink::send_file`] can be used: not where bytes have to be sealed.
    fn takes_files(&self) -> bool;

    /// Sends bytes.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>>;

    /// Sends `length` bytes of a file from `offset`, without passing them through a buffer of ours.
    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), Error>>;
}

/// Sends bytes of a file. What the page cache has goes out by the shortest way; what it has not is read through the
/// ring, so that the disk never holds up the shard.
///
/// # Errors
///
/// The peer is gone or too slow, the disk fails, or the file is damaged.
pub async fn send(sink: &mut impl Sink, content: &Content, range: Range<u64>) -> Result<(), Error> {
    let mut at = range.start;
    let mut buffer = None;
    while at < range.end {
        let piece = content.piece(at, (range.end - at).min(SEND_SLICE_BYTES)).await?;
        let piece = piece.ok_or_else(|| Error::Damaged("a file is shorter than its row says".to_owned()))?;
        at += piece.length();
        if let Some(via) = sink.via() {
            metrics::mine().via(via).sent.add(piece.length());
        }
        match &piece {
            Piece::Bytes { .. } => sink.write(piece.bytes()).await?,
            Piece::File { file, offset, length } => match file.descriptor().filter(|_| sink.takes_files()) {
                Some(fd) if ring::resident(fd, *offset, *length) => {
                    sink.send_file(fd, *offset, *length).await?;
                }
                _ => send_read(sink, file.as_ref(), *offset, *length, &mut buffer).await?,
            },
        }
    }
    Ok(())
}

/// Sends through a buffer, which serves the next piece as well.
async fn send_read(
    sink: &mut impl Sink,
    file: &dyn DiskFile,
    offset: u64,
    length: u64,
    buffer: &mut Option<AlignedBuf>,
) -> Result<(), Error> {
    let mut sent = 0;
    while sent < length {
        let wanted = usize::try_from(length - sent)
            .unwrap_or(usize::MAX)
            .min(COLD_READ_BYTES);
        let mut piece = buffer
            .take()
            .unwrap_or_else(|| AlignedBuf::with_capacity(COLD_READ_BYTES));
        piece.resize_to_fill(wanted);
        if file.try_read_cached(&mut piece, offset + sent) != Some(wanted) {
            piece = read_whole(file, piece, offset + sent).await?;
        }
        sink.write(&piece).await?;
        *buffer = Some(piece);
        sent += wanted as u64;
    }
    Ok(())
}
