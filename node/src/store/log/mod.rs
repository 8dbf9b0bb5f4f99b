//! The shard log: where a change becomes durable.
//!
//! Records are gathered into batches; a batch is one write past the page cache into a segment that was
//! written before, so it costs one flush of the device and nothing of the filesystem's journal. What queues
//! while a batch is being written goes out in the next: no timer delays a lone writer.
//!
//! The log is fenced by the first write that fails. Nothing is acknowledged after that, and the write is not
//! tried again: what a disk says after a failed flush cannot be trusted.

mod chain;
mod changes;
mod kind;
mod notify;
mod recover;
mod segments;
mod write;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use self::segments::Segment;
use self::write::Building;
use crate::disk::Disk;
use crate::limits::BACKLOG_MAX_BATCHES;

pub use self::chain::Replayed;
pub use self::changes::{ChangeCursor, LoggedChange};
pub use self::kind::{Record, RecordKind};
pub(crate) use self::notify::Notify;
pub use self::recover::Recovered;
pub use self::segments::{SegmentInfo, SegmentReader, segment_name};
pub use filegrid_journal::codec::{
    BATCH_HEADER_BYTES, BatchHeader, Damage, Place, Position, RECORD_HEADER_BYTES, footprint, read_record,
    verify_record,
};

/// What the log can fail with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// No segment is ready for this kind of write, and none can be made.
    #[error("no segment is ready")]
    Full,
    /// No segment is ready for this kind of write, but one is being made: [`Log::made`] waits for it.
    #[error("the next segment is being made")]
    NotReady,
    /// Longer than a segment.
    #[error("a record is longer than a segment")]
    TooLarge,
    /// A write failed earlier.
    #[error("the log is fenced")]
    Fenced,
    /// Durable bytes are gone; names the place.
    #[error("{0}")]
    Damaged(String),
    /// The log cannot be used as it is; says why.
    #[error("{0}")]
    Refused(String),
    /// The disk refused; names the operation and the reason.
    #[error("{0}")]
    Disk(String),
}

/// When a change counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the device has flushed it.
    #[default]
    Commit,
    /// When the operating system has it: a power cut may take acknowledged changes.
    Relaxed,
}

/// Options of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// Length of a segment, a multiple of 4 KiB. Segments made under another length are kept as they are.
    pub segment_bytes: u32,
    /// A batch that has gathered this much is closed.
    pub batch_bytes: usize,
    /// Segments that only deletes, compaction and recovery may use, deletes half of them: at least 2, or a full disk
    /// cannot be emptied.
    pub reserve_segments: usize,
    /// Segments kept written ahead, the reserve included.
    pub ready_segments: usize,
    /// Batches being written at a time; twice as many if they are full.
    pub in_flight: usize,
    /// When a batch counts as durable.
    pub durability: Durability,
}

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Uploads: refused below the low-water mark of the disk, and may not use the reserve.
    Upload,
    /// Other changes, which take no space but the log's: may not use the reserve either.
    Change,
    /// Deletes: may use half of the reserve, so that what they take away can be purged.
    Delete,
    /// What frees space, and what a start needs: may use all of it.
    Cure,
}

/// A record to be appended. Its payload is the parts one after the other.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// Sequence of a change, one more than the last; 0 for blobs.
    pub sequence: u64,
    /// The payload.
    pub parts: &'a [&'a [u8]],
}

/// Where records went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Number of the batch, which rises from 1 in each start.
    pub batch: u64,
    /// The place of each record, final.
    pub places: Vec<Place>,
}

/// A log that is open for writing. Belongs to one shard.
pub struct Log {
    disk: Rc<dyn Disk>,
    directory: PathBuf,
    options: LogOptions,
    state: RefCell<State>,
    fenced: Cell<bool>,
    /// Something is there to be written, or segments are lacking.
    work: Notify,
    lacking: Notify,
    /// Whether segments that are lacking are being made, as far as is known.
    making: Cell<bool>,
    /// A segment has become ready, or will not.
    made: Notify,
    /// The durable front has moved, or the log is fenced.
    moved: Notify,
}

struct State {
    active: Segment,
    generation: u64,
    /// Offset behind the last batch that was begun in the active segment.
    end: u32,
    building: Option<Building>,
    /// Closed batches that wait for their write, oldest first.
    closed: VecDeque<Building>,
    /// Highest sequence appended.
    sequence: u64,
    /// CRC32 of the last batch that was sealed.
    crc: u32,
    next_batch: u64,
    /// All batches up to this one are durable.
    front: u64,
    /// What [`Log::durable`] has told last.
    told: u64,
    /// Positions behind batches from `front` on.
    positions: BTreeMap<u64, Position>,
    /// Durable batches behind a gap.
    early: Vec<u64>,
    ready: Vec<Segment>,
    sealed: BTreeMap<u64, Segment>,
    /// The highest sequence in each of those.
    lasts: BTreeMap<u64, u64>,
    /// Relaxed only: segments with batches that were written and not synced, by number.
    unsynced: BTreeMap<u32, Segment>,
    highest_segment: u32,
}

impl Log {
    /// Position behind the last batch that is durable.
    #[must_use]
    pub fn end(&self) -> Position {
        let state = self.state.borrow();
        state.positions.get(&state.front).copied().unwrap_or_default()
    }

    /// Position behind a batch that [`Log::durable`] has named.
    #[must_use]
    pub fn position_after(&self, batch: u64) -> Position {
        let state = self.state.borrow();
        state
            .positions
            .range(..=batch)
            .next_back()
            .map(|(_, position)| *position)
            .unwrap_or_default()
    }

    /// Waits until the durable front has moved, and names the last batch before which everything is durable.
    /// For one consumer.
    ///
    /// # Errors
    ///
    /// [`LogError::Fenced`] after a failed write.
    pub async fn durable(&self) -> Result<u64, LogError> {
        self.moved
            .until(|| {
                if self.fenced.get() {
                    return Some(Err(LogError::Fenced));
                }
                let mut state = self.state.borrow_mut();
                if state.front == state.told {
                    return None;
                }
                // Positions before what was told last are of no more use.
                let told = state.told;
                state.positions = state.positions.split_off(&told);
                state.told = state.front;
                Some(Ok(state.front))
            })
            .await
    }

    /// Makes everything that was written survive a power cut, where the durability is relaxed; else it does already.
    ///
    /// # Errors
    ///
    /// [`LogError::Fenced`] if that fails, or after a failed write.
    pub async fn sync(&self) -> Result<(), LogError> {
        if self.options.durability == Durability::Commit {
            return Ok(());
        }
        let segments = std::mem::take(&mut self.state.borrow_mut().unsynced);
        for segment in segments.into_values() {
            if let Err(error) = segment.file.sync_data().await {
                self.fence(&error.to_string());
                return Err(LogError::Fenced);
            }
        }
        Ok(())
    }

    /// Waits until all that was appended is durable; says where the log ends. It survives a power cut then, whatever
    /// the durability is.
    ///
    /// # Errors
    ///
    /// [`LogError::Fenced`] after a failed write.
    pub async fn close(&self) -> Result<Position, LogError> {
        self.moved
            .until(|| {
                if self.fenced.get() {
                    return Some(Err(LogError::Fenced));
                }
                let state = self.state.borrow();
                (state.front + 1 == state.next_batch).then_some(Ok(()))
            })
            .await?;
        self.sync().await?;
        Ok(self.end())
    }

    /// Waits until the disk is no more than [`BACKLOG_MAX_BATCHES`] batches behind.
    ///
    /// # Errors
    ///
    /// [`LogError::Fenced`] after a failed write.
    pub async fn room(&self) -> Result<(), LogError> {
        self.moved
            .until(|| {
                if self.fenced.get() {
                    return Some(Err(LogError::Fenced));
                }
                (self.state.borrow().closed.len() < BACKLOG_MAX_BATCHES).then_some(Ok(()))
            })
            .await
    }

    fn fence(&self, error: &str) {
        tracing::error!(directory = %self.directory.display(), error, "a write of the log failed");
        self.fenced.set(true);
        self.moved.notify();
        self.made.notify();
    }
}
