//! Reading files: looked up and pinned in one step, then piece by piece.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use filegrid_tree::{BlobId, Extent, FileRow};

use super::StoreError;
use super::blob::blob_path;
use super::blob_row::Whereabouts;
use super::log::{Place, RecordKind, segment_name, verify_record};
use super::pins::PinSet;
use super::record::BLOB_ID_BYTES;
use crate::disk::{Access, Disk, DiskFile, OpenHow};
use crate::limits;
use crate::ring::AlignedBuf;

/// Length of a record's header in the log.
const RECORD_HEADER_BYTES: usize = 32;

/// A file's row and its bytes, which stay readable as long as this lives, whatever happens to the file.
pub struct Opened {
    /// The row, as it was when the file was opened.
    pub row: FileRow,
    /// The bytes.
    pub content: Content,
}

/// A file that is pinned as it was: any shard can read it as long as this lives.
#[derive(Debug)]
pub struct Held {
    /// The row.
    pub row: FileRow,
    pub(crate) located: Vec<Located>,
    pub(crate) pins: PinSet,
}

/// One extent with the place of its blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) extent: Extent,
    pub(crate) place: Whereabouts,
}

/// The bytes of a file.
pub struct Content {
    reader: Rc<Reader>,
    log: u8,
    located: Vec<Located>,
    /// Whether it is read past the page cache.
    direct: bool,
    /// What was read last: pieces of one blob come in a row, and the kernel reads ahead of an open file.
    last: RefCell<Option<(BlobId, Source)>>,
    _pins: Option<PinSet>,
}

/// A blob that is at hand.
#[derive(Clone)]
enum Source {
    /// The record of a small one.
    Record(Rc<InlineRecord>),
    /// The file of a large one.
    File(Rc<dyn DiskFile>),
}

/// The record of a small blob as it was read.
pub struct InlineRecord {
    buffer: AlignedBuf,
    /// Where the blob begins in it.
    from: usize,
}

/// Some bytes of a file.
pub enum Piece {
    /// Of a small blob, verified.
    Bytes {
        /// The record that holds them.
        record: Rc<InlineRecord>,
        /// First byte, from the blob's first.
        from: usize,
        /// Byte behind the last.
        to: usize,
    },
    /// Of a large blob: to be sent from its file.
    File {
        /// The file.
        file: Rc<dyn DiskFile>,
        /// Offset of the first byte in it.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
}

impl Piece {
    /// How many bytes it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes { from, to, .. } => (to - from) as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Reads a piece of a large blob past the page cache, in whole blocks, into a buffer that has room for one block
    /// more than the piece: where it lies in there, or `None` if the file is too short.
    pub(crate) async fn read_blocks(
        &self,
        mut buffer: AlignedBuf,
    ) -> Result<(AlignedBuf, Option<std::ops::Range<usize>>), StoreError> {
        let Self::File { file, offset, length } = self else {
            return Ok((buffer, None));
        };
        let skipped = usize::try_from(offset % limits::BLOCK_BYTES as u64).unwrap_or(0);
        let end = skipped.saturating_add(usize::try_from(*length).unwrap_or(usize::MAX));
        buffer.clear();
        buffer.resize_zeroed(end.next_multiple_of(limits::BLOCK_BYTES));
        let (read, buffer) = file.read_at(buffer, offset - skipped as u64).await;
        let read = read.map_err(|error| StoreError::Disk(format!("cannot read a blob: {error}")))?;
        Ok((buffer, (end <= read).then_some(skipped..end)))
    }

    /// The bytes of a small blob; empty for a file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes { record, from, to } => record
                .buffer
                .get(record.from.saturating_add(*from)..record.from.saturating_add(*to))
                .unwrap_or_default(),
            Self::File { .. } => &[],
        }
    }
}

impl Content {
    pub(crate) fn new(reader: Rc<Reader>, log: u8, located: Vec<Located>, pins: Option<PinSet>) -> Self {
        Self {
            reader,
            log,
            located,
            direct: false,
            last: RefCell::default(),
            _pins: pins,
        }
    }

    /// Reads past the page cache, large blobs in whole blocks of [`limits::BLOCK_BYTES`].
    pub(crate) fn past_cache(mut self) -> Self {
        self.direct = true;
        self
    }

    /// The longest piece that starts at `offset` and has at most `max` bytes, within one extent; `None` behind
    /// the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if a small blob does not match its sum or is not where it should be.
    pub async fn piece(&self, offset: u64, max: u64) -> Result<Option<Piece>, StoreError> {
        let mut start = 0;
        for Located { extent, place } in &self.located {
            if offset >= start + extent.length {
                start += extent.length;
                continue;
            }
            let skip = offset - start;
            let length = (extent.length - skip).min(max);
            let from = extent.offset + skip;
            return Ok(Some(match self.source(extent.blob, place).await? {
                Source::File(file) => Piece::File {
                    file,
                    offset: from,
                    length,
                },
                Source::Record(record) => {
                    let from = usize::try_from(from).unwrap_or(usize::MAX);
                    let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                    Piece::Bytes { record, from, to }
                }
            }));
        }
        Ok(None)
    }

    async fn source(&self, blob: BlobId, place: &Whereabouts) -> Result<Source, StoreError> {
        if let Some((known, source)) = &*self.last.borrow()
            && *known == blob
        {
            return Ok(source.clone());
        }
        let source = match place {
            Whereabouts::File => Source::File(self.reader.blob(self.log, blob, self.direct).await?),
            Whereabouts::Inline(place) => {
                let record = self.reader.record(self.log, blob, place, self.direct).await?;
                Source::Record(Rc::new(record))
            }
        };
        self.last.replace(Some((blob, source.clone())));
        Ok(source)
    }
}

/// Open files of a shard that content is read from.
pub(crate) struct Reader {
    disk: Rc<dyn Disk>,
    data: PathBuf,
    segments: RefCell<HashMap<SegmentKey, Rc<dyn DiskFile>>>,
}

/// Log, number, and whether it is read past the page cache.
type SegmentKey = (u8, u32, bool);

const READ: OpenHow = OpenHow {
    access: Access::Read,
    create_new: false,
    direct: false,
    dsync: false,
};

impl Reader {
    pub(crate) fn new(disk: Rc<dyn Disk>, data: PathBuf) -> Self {
        Self {
            disk,
            data,
            segments: RefCell::new(HashMap::new()),
        }
    }

    async fn blob(&self, log: u8, blob: BlobId, direct: bool) -> Result<Rc<dyn DiskFile>, StoreError> {
        let path = blob_path(&super::log_directory(&self.data, log).join("blobs"), blob);
        self.disk
            .open(&path, OpenHow { direct, ..READ })
            .await
            .map_err(|error| match error.kind() {
                // Pinned blobs do not go away: the scrub has taken it, or somebody else has.
                std::io::ErrorKind::NotFound => {
                    StoreError::Damaged(format!("{} is not there: found damaged, or lost", path.display()))
                }
                _ => StoreError::disk("open", &path, &error),
            })
    }

    async fn segment(&self, log: u8, segment: u32, direct: bool) -> Result<Rc<dyn DiskFile>, StoreError> {
        if let Some(file) = self.segments.borrow().get(&(log, segment, direct)) {
            return Ok(Rc::clone(file));
        }
        let path = super::log_directory(&self.data, log)
            .join("log")
            .join(segment_name(segment));
        let file = self
            .disk
            .open(&path, OpenHow { direct, ..READ })
            .await
            .map_err(|error| StoreError::disk("open", &path, &error))?;
        let mut segments = self.segments.borrow_mut();
        if segments.len() >= limits::OPEN_SEGMENTS_MAX_COUNT {
            segments.clear();
        }
        segments.insert((log, segment, direct), Rc::clone(&file));
        Ok(file)
    }

    /// The whole record of an inline blob, verified against its id, its generation and its sum.
    async fn record(
        &self,
        log: u8,
        blob: BlobId,
        place: &Place,
        direct: bool,
    ) -> Result<InlineRecord, StoreError> {
        let file = self.segment(log, place.segment, direct).await?;
        let bytes = RECORD_HEADER_BYTES + place.length as usize;
        let block = limits::BLOCK_BYTES as u64;
        // Past the page cache whole blocks are read.
        let start = if direct {
            u64::from(place.offset) % block
        } else {
            0
        };
        let start = usize::try_from(start).unwrap_or(0);
        let wanted = if direct {
            (start + bytes).next_multiple_of(limits::BLOCK_BYTES)
        } else {
            bytes
        };
        let offset = u64::from(place.offset) - start as u64;
        let mut buffer = AlignedBuf::with_capacity(wanted);
        buffer.resize_to_fill(wanted);
        let buffer = if !direct && file.try_read_cached(&mut buffer, offset) == Some(bytes) {
            buffer
        } else {
            let (read, buffer) = file.read_at(buffer, offset).await;
            let read = read.map_err(|error| StoreError::Disk(format!("cannot read a blob: {error}")))?;
            if read < start + bytes {
                return Err(damaged(log, blob, place, "the segment is too short"));
            }
            buffer
        };
        let record = buffer.get(start..).unwrap_or_default();
        // Compaction writes the record anew under the other kind.
        let payload = verify_record(record, place, RecordKind::Blob)
            .or_else(|_| verify_record(record, place, RecordKind::MovedBlob))
            .map_err(|damage| damaged(log, blob, place, &damage.to_string()))?;
        if payload.first_chunk() != Some(&blob.0) {
            return Err(damaged(log, blob, place, "another blob is there"));
        }
        let from = start + RECORD_HEADER_BYTES + BLOB_ID_BYTES;
        Ok(InlineRecord { buffer, from })
    }
}

fn damaged(log: u8, blob: BlobId, place: &Place, why: &str) -> StoreError {
    StoreError::Damaged(format!(
        "blob {blob} in segment {} of log {log} at byte {}: {why}",
        place.segment, place.offset
    ))
}
