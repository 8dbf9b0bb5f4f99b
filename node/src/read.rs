//! Reading bytes of files into memory, for any protocol.

use crate::disk::DiskFile;
use crate::error::Error;
use crate::limits::COLD_READ_BYTES;
use crate::ring::AlignedBuf;
use crate::store::{Content, Piece};

/// The bytes of a file that were read last, ahead of what was asked for: the disk is asked for large pieces.
#[derive(Default)]
pub struct Ahead(Option<(u64, AlignedBuf)>);

impl Ahead {
    /// Reads some bytes from `at` on, at most as many as `out` takes; 0 at the end.
    ///
    /// # Errors
    ///
    /// The disk fails, or the file is damaged.
    pub async fn read(&mut self, content: &Content, at: u64, out: &mut [u8]) -> Result<usize, Error> {
        if out.is_empty() {
            return Ok(0);
        }
        if let Some((start, buffer)) = &self.0
            && let Some(bytes) = at
                .checked_sub(*start)
                .and_then(|skip| buffer.get(usize::try_from(skip).ok()?..))
            && !bytes.is_empty()
        {
            return Ok(copy(bytes, out));
        }
        let most = (out.len() as u64).max(COLD_READ_BYTES as u64);
        let Some(piece) = content.piece(at, most).await? else {
            return Ok(0);
        };
        let (file, offset, length) = match &piece {
            Piece::Bytes { .. } => return Ok(copy(piece.bytes(), out)),
            Piece::File { file, offset, length } => (file, *offset, *length),
        };
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        if let Some(wanted) = out.get_mut(..most.min(out.len()))
            && file.try_read_cached(wanted, offset) == Some(wanted.len())
        {
            return Ok(wanted.len());
        }
        let most = most.min(COLD_READ_BYTES);
        let mut buffer = AlignedBuf::with_capacity(COLD_READ_BYTES);
        buffer.resize_to_fill(most);
        let buffer = read_whole(file.as_ref(), buffer, offset).await?;
        let copied = copy(&buffer, out);
        self.0 = Some((at, buffer));
        Ok(copied)
    }

    /// Fills `out` from `at` on; fewer bytes only at the end.
    ///
    /// # Errors
    ///
    /// As for [`Ahead::read`].
    pub async fn fill(&mut self, content: &Content, at: u64, out: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..)
            && !rest.is_empty()
        {
            let read = self.read(content, at + filled as u64, rest).await?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }
}

/// Fills a buffer, as long as it is, with the bytes of a blob's file from `offset` on.
///
/// # Errors
///
/// The disk fails, or the file is shorter.
pub async fn read_whole(file: &dyn DiskFile, buffer: AlignedBuf, offset: u64) -> Result<AlignedBuf, Error> {
    let wanted = buffer.len();
    let (read, buffer) = file.read_at(buffer, offset).await;
    let read = read.map_err(|error| Error::Disk(format!("cannot read a blob: {error}")))?;
    if read < wanted {
        return Err(Error::Damaged("a blob is shorter than its extent".to_owned()));
    }
    Ok(buffer)
}

/// Copies what fits; says how many bytes that are.
#[must_use]
pub fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}
