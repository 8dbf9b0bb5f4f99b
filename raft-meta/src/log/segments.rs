//! Segment files: written ahead, used again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use filegrid_journal::BLOCK_BYTES;
use filegrid_journal::codec::BatchHeader;

use super::LogError;
use super::disk::{Aligned, Disk, DiskFile};

/// Zeros written at a time while a segment is made.
const ZEROS_BYTES: usize = 1 << 20;

/// A segment file that is open.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) bytes: u32,
    pub(super) file: Arc<dyn DiskFile>,
}

pub(super) fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> LogError {
    let text = format!("cannot {what} {}", path.display());
    move |error| LogError::Disk(format!("{text}: {error}"))
}

fn name(number: u32) -> String {
    format!("{number:016}.seg")
}

/// The number in a segment's name.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 16).then(|| digits.parse().ok()).flatten()
}

pub(super) fn open(disk: &dyn Disk, directory: &Path, number: u32) -> Result<Segment, LogError> {
    let path = directory.join(name(number));
    let file = disk.open(&path, false).map_err(failed("open", &path))?;
    let bytes = file.size().map_err(failed("ask for the length of", &path))?;
    Ok(Segment {
        number,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        file,
    })
}

/// Makes a segment: every block of it is written and durable before it gets its name.
pub(super) fn make(disk: &dyn Disk, directory: &Path, number: u32, bytes: u32) -> Result<Segment, LogError> {
    let (path, fresh) = (directory.join(name(number)), fresh_name(directory, number));
    // What a crash has left of an earlier attempt.
    let _ = disk.remove(&fresh);
    let file = disk.open(&fresh, true).map_err(failed("create", &fresh))?;
    let zeros = Aligned::zeroed(ZEROS_BYTES.min(bytes as usize));
    let mut at = 0;
    while at < bytes as usize {
        let some = zeros
            .get(..zeros.len().min(bytes as usize - at))
            .unwrap_or_default();
        if let Err(error) = file.write_durably(some, at as u64) {
            // Half a segment would keep the space that others need.
            let _ = disk.remove(&fresh);
            return Err(failed("fill", &fresh)(error));
        }
        at += some.len();
    }
    disk.rename(&fresh, &path).map_err(failed("rename", &fresh))?;
    disk.sync_dir(directory).map_err(failed("sync", directory))?;
    Ok(Segment { number, bytes, file })
}

/// Removes a segment that is needed no more. One that comes back after a crash is used or removed later.
pub(super) fn remove(disk: &dyn Disk, directory: &Path, number: u32) -> Result<(), LogError> {
    let path = directory.join(name(number));
    disk.remove(&path).map_err(failed("remove", &path))
}

fn fresh_name(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:016}.new"))
}

/// Reads the batch whose header stands at an offset, without its padding and without checking its sum; `None` if no
/// header is there.
pub(super) fn read_batch(segment: &Segment, offset: u32) -> Result<Option<(BatchHeader, Aligned)>, LogError> {
    let head = read(segment, offset, BLOCK_BYTES)?;
    let Some(header) = BatchHeader::decode(&head) else {
        return Ok(None);
    };
    if u64::from(offset) + u64::from(header.padded()) > u64::from(segment.bytes) {
        return Ok(None);
    }
    let batch = if header.length as usize <= BLOCK_BYTES {
        head
    } else {
        read(segment, offset, header.padded() as usize)?
    };
    Ok(Some((header, batch)))
}

/// Reads whole blocks, zeros behind the end.
pub(super) fn read(segment: &Segment, offset: u32, bytes: usize) -> Result<Aligned, LogError> {
    let mut buffer = Aligned::zeroed(bytes);
    segment
        .file
        .read_at(&mut buffer, u64::from(offset))
        .map_err(|error| LogError::Disk(format!("cannot read segment {}: {error}", segment.number)))?;
    Ok(buffer)
}
