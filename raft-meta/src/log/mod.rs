//! The Raft log: entries and the vote, durable.
//!
//! Records are gathered into batches; a batch is one write past the page cache into a segment that was written before,
//! so it costs one flush of the device. What queues while a batch is being written goes out in the next: no timer
//! delays a lone writer. Entries can be read as soon as they are appended, durable or not.
//!
//! The log is fenced by the first write that fails, and the write is not tried again.

pub mod disk;
mod index;
pub mod record;
mod recover;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filegrid_journal::BLOCK_BYTES;
use filegrid_journal::codec::{Place, RECORD_HEADER_BYTES, verify_record};
use tokio::sync::mpsc::UnboundedSender;

use self::index::{Found, Index};
use self::record::{Entry, EntryId, RecordKind, State, Vote};
use self::segments::Segment;
use self::writer::Job;

pub use self::writer::{Done, LogWriter};

/// What the log can fail with. None of it is worth another try in the same process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An entry is longer than a segment; its length in bytes.
    #[error("an entry of {0} bytes is longer than a segment of the metadata log")]
    TooLong(usize),
    /// Entries do not follow the last one.
    #[error("entry {found} does not follow: {expected} is next")]
    Gap {
        /// The index that comes next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// Durable bytes are gone; names the place.
    #[error("{0}")]
    Damaged(String),
    /// The log cannot be used as it is; says why.
    #[error("{0}")]
    Refused(String),
    /// The disk refused; names the operation and the reason.
    #[error("{0}")]
    Disk(String),
    /// The writer has ended.
    #[error("the metadata log is closed")]
    Closed,
}

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// The member that it belongs to.
    pub member: u64,
    /// Length of segments made from now on, a multiple of [`BLOCK_BYTES`].
    pub segment_bytes: u32,
    /// A batch takes no further record beyond this length.
    pub batch_max_bytes: usize,
    /// Payloads kept in memory.
    pub cache_max_bytes: usize,
}

/// What those who read the log and the one who writes it share.
struct Shared {
    index: Mutex<Index>,
    segments: Mutex<BTreeMap<u32, Segment>>,
    segment_bytes: u32,
}

impl Shared {
    fn new(index: Index, segment_bytes: u32) -> Self {
        Self {
            index: Mutex::new(index),
            segments: Mutex::new(BTreeMap::new()),
            segment_bytes,
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u32, Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_segment(&self, segment: &Segment) {
        self.segments().insert(segment.number, segment.clone());
    }

    fn drop_segment(&self, number: u32) {
        self.segments().remove(&number);
    }
}

/// A handle on the log. Clones share it; the writer ends when all are dropped.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    jobs: UnboundedSender<Job>,
}

impl Log {
    /// Appends entries. They can be read when this returns and are durable when `done` is called. Those up to the purged
    /// one were given up and stay so.
    ///
    /// # Errors
    ///
    /// [`LogError::Gap`] if they do not follow the last one; [`LogError::Closed`]. `done` is not called then.
    pub fn append(&self, mut entries: Vec<Entry>, done: Done) -> Result<(), LogError> {
        let mut index = self.shared.index();
        if let Some(purged) = index.state.purged {
            entries.retain(|entry| entry.id.index > purged.index);
        }
        for entry in &entries {
            let expected = index.next();
            if !index.push(entry) {
                let found = entry.id.index;
                return Err(LogError::Gap { expected, found });
            }
        }
        self.send(&index, Job::Append(entries, done))
    }

    /// Drops the entries from an index on. That is durable when anything later is.
    ///
    /// # Errors
    ///
    /// [`LogError::Closed`].
    pub fn cut(&self, from: u64) -> Result<(), LogError> {
        let mut index = self.shared.index();
        index.cut(from);
        self.send(&index, Job::Cut(from))
    }

    /// Drops the entries up to one, and gives the segments up in which nothing else is.
    ///
    /// # Errors
    ///
    /// [`LogError::Closed`]. `done` is not called then.
    pub fn purge(&self, upto: EntryId, done: Done) -> Result<(), LogError> {
        let mut index = self.shared.index();
        index.purge(upto);
        self.send(&index, Job::Save(index.state, done))
    }

    /// Stores a vote.
    ///
    /// # Errors
    ///
    /// [`LogError::Closed`]. `done` is not called then.
    pub fn vote(&self, vote: Vote, done: Done) -> Result<(), LogError> {
        let mut index = self.shared.index();
        index.state.vote = Some(vote);
        self.send(&index, Job::Save(index.state, done))
    }

    /// Notes that an entry is committed. That is written with whatever comes next.
    pub fn note_committed(&self, id: Option<EntryId>) {
        self.shared.index().state.committed = id;
    }

    /// Vote, committed and purged entry.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.index().state
    }

    /// The last entry, or the last that was purged.
    #[must_use]
    pub fn last(&self) -> Option<EntryId> {
        self.shared.index().last()
    }

    /// The id of an entry that is here.
    #[must_use]
    pub fn id(&self, index: u64) -> Option<EntryId> {
        self.shared.index().id(index)
    }

    /// Bytes of payloads of the entries from an index on.
    #[must_use]
    pub fn bytes_from(&self, index: u64) -> u64 {
        self.shared.index().bytes_from(index)
    }

    /// Index of the first of the newest entries that are so many with so many bytes of payload, none over.
    #[must_use]
    pub fn keep_from(&self, entries: u64, bytes: u64) -> Option<u64> {
        self.shared.index().keep_from(entries, bytes)
    }

    /// Bytes of the segments that hold entries.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.shared.segments().len() as u64 * u64::from(self.shared.segment_bytes)
    }

    /// The entries from `start` that are before `end`, up to so many bytes of payload but at least one, if all of them
    /// are in memory. Never blocks.
    #[must_use]
    pub fn read_cached(&self, start: u64, end: u64, max_bytes: usize) -> Option<Vec<Entry>> {
        let found = self.shared.index().get(start, end, max_bytes);
        found
            .into_iter()
            .map(|entry| match entry {
                Found::Here(entry) => Some(entry),
                Found::There(_) => None,
            })
            .collect()
    }

    /// As [`Self::read_cached`], from the disk where they are not in memory. Entries that are not here are left out.
    ///
    /// # Errors
    ///
    /// [`LogError::Disk`], [`LogError::Damaged`].
    pub fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let found = self.shared.index().get(start, end, max_bytes);
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            match entry {
                Found::Here(entry) => entries.push(entry),
                Found::There(place) => entries.push(self.read_at(&place)?),
            }
        }
        Ok(entries)
    }

    fn read_at(&self, place: &Place) -> Result<Entry, LogError> {
        let damaged = |why: String| {
            LogError::Damaged(format!(
                "metadata log, segment {} at byte {}: {why}",
                place.segment, place.offset
            ))
        };
        let segment = self.shared.segments().get(&place.segment).cloned();
        let segment = segment.ok_or_else(|| damaged("the segment was given up".to_owned()))?;
        let before = place.offset as usize % BLOCK_BYTES;
        let bytes = (before + RECORD_HEADER_BYTES + place.length as usize).next_multiple_of(BLOCK_BYTES);
        let offset = place.offset - u32::try_from(before).unwrap_or(0);
        let blocks = segments::read(&segment, offset, bytes)?;
        let payload = verify_record(blocks.get(before..).unwrap_or_default(), place, RecordKind::Entry)
            .map_err(|damage| damaged(damage.to_string()))?;
        Entry::read(Bytes::copy_from_slice(payload))
            .ok_or_else(|| damaged("the record is not readable".to_owned()))
    }

    /// Hands a job to the writer while the index is held, so that jobs are in the order in which the index changed.
    fn send(&self, _held: &MutexGuard<'_, Index>, job: Job) -> Result<(), LogError> {
        self.jobs.send(job).map_err(|_| LogError::Closed)
    }
}
