//! Sending the bytes of files.

use std::ops::Range;

use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{COLD_READ_BYTES, SEND_SLICE_BYTES};
use crate::metrics;
use crate::ring::{self, AlignedBuf};
use crate::store::{Content, Piece};

/// Sends bytes of a file as the next bytes of a reply. What the page cache has goes out without passing through
/// a buffer of ours; what it has not is read through the ring, so that the disk never holds up the shard.
pub(super) async fn send(exchange: &mut Exchange, content: &Content, range: Range<u64>) -> Result<(), Error> {
    let mut at = range.start;
    while at < range.end {
        let piece = content.piece(at, (range.end - at).min(SEND_SLICE_BYTES)).await?;
        let piece = piece.ok_or_else(|| Error::Damaged("a file is shorter than its row says".to_owned()))?;
        at += piece.length();
        metrics::PAYLOAD_SENT.add(piece.length());
        match &piece {
            Piece::Bytes { .. } => exchange.write(piece.bytes()).await?,
            Piece::File { file, offset, length } => match file.descriptor() {
                Some(fd) if ring::resident(fd, *offset, *length) => {
                    exchange.send_file(fd, *offset, *length).await?;
                }
                _ => send_cold(exchange, file.as_ref(), *offset, *length).await?,
            },
        }
    }
    Ok(())
}

async fn send_cold(
    exchange: &mut Exchange,
    file: &dyn crate::disk::DiskFile,
    offset: u64,
    length: u64,
) -> Result<(), Error> {
    let mut sent = 0;
    let mut buffer = AlignedBuf::with_capacity(COLD_READ_BYTES);
    while sent < length {
        let wanted = usize::try_from(length - sent)
            .unwrap_or(usize::MAX)
            .min(COLD_READ_BYTES);
        buffer.clear();
        buffer.resize_zeroed(wanted);
        let (read, back) = file.read_at(buffer, offset + sent).await;
        buffer = back;
        let read = read.map_err(|error| Error::Disk(format!("cannot read a blob: {error}")))?;
        if read < wanted {
            return Err(Error::Damaged("a blob is shorter than its extent".to_owned()));
        }
        exchange.write(&buffer).await?;
        sent += wanted as u64;
    }
    Ok(())
}
