//! The one that writes: gathers what waits into batches, each one write that is durable when it returns.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use filegrid_journal::BLOCK_BYTES;
use filegrid_journal::codec::{BATCH_HEADER_BYTES, BatchHeader, Place, footprint, record_header};
use tokio::sync::mpsc::UnboundedReceiver;

use super::disk::{Aligned, Disk};
use super::record::{Entry, EntryId, RecordKind, State};
use super::segments::{self, Segment};
use super::{LogError, LogOptions, Shared};

/// Called when it is durable, or will never be.
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Segments kept for use beyond those that hold entries.
const READY_MAX_COUNT: usize = 2;

pub(super) enum Job {
    /// Entries, contiguous.
    Append(Vec<Entry>, Done),
    /// Entries are void from an index on. Written with what comes next.
    Cut(u64),
    /// A state that must be durable.
    Save(State, Done),
}

/// A segment that is full.
pub(super) struct Sealed {
    pub(super) segment: Segment,
    /// Highest index of an entry in it.
    pub(super) last: Option<u64>,
}

/// Writes the log. There is one; run it on a thread of its own.
pub struct LogWriter {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) options: LogOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) jobs: UnboundedReceiver<Job>,
    pub(super) tail: Tail,
}

/// Where the log ends and what is being put there.
pub(super) struct Tail {
    pub(super) active: Segment,
    pub(super) generation: u64,
    /// Offset behind the last batch.
    pub(super) offset: u32,
    /// Highest sequence that is durable.
    pub(super) sequence: u64,
    /// Sum of the last batch.
    pub(super) crc: u32,
    /// Highest index of an entry in the active segment.
    pub(super) last: Option<u64>,
    /// The state as it was last put into a batch.
    pub(super) state: State,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) ready: Vec<Segment>,
    pub(super) highest_segment: u32,
    /// The batch that is being gathered, with room for its header.
    pub(super) batch: Aligned,
    pub(super) records: u32,
    pub(super) places: Vec<(EntryId, Place)>,
    pub(super) fenced: Option<LogError>,
}

impl LogWriter {
    /// Writes until the log is dropped, then what is left.
    pub fn run(mut self) {
        let mut group = Vec::new();
        while let Some(first) = self.jobs.blocking_recv() {
            group.push(first);
            self.take(&mut group);
        }
        self.close();
    }

    /// The same as a task, which lets others run for the time of `pause` before each batch: for a simulation, whose
    /// disk never blocks.
    pub async fn run_in_task<P: Future<Output = ()>>(mut self, mut pause: impl FnMut() -> P) {
        let mut group = Vec::new();
        while let Some(first) = self.jobs.recv().await {
            group.push(first);
            pause().await;
            self.take(&mut group);
        }
        self.close();
    }

    /// Does the jobs in `group` and all that wait.
    fn take(&mut self, group: &mut Vec<Job>) {
        while let Ok(next) = self.jobs.try_recv() {
            group.push(next);
        }
        let mut waiting = Vec::new();
        let mut result = self.tail.fenced.clone().map_or(Ok(()), Err);
        for job in group.drain(..) {
            let gathered = match job {
                Job::Append(entries, done) => {
                    waiting.push(done);
                    result.and_then(|()| self.add_entries(&entries))
                }
                Job::Cut(from) => {
                    result.and_then(|()| self.add(RecordKind::Cut, &[&from.to_le_bytes()]).map(drop))
                }
                Job::Save(state, done) => {
                    waiting.push(done);
                    result.and_then(|()| self.add_state(state))
                }
            };
            result = gathered;
        }
        if !waiting.is_empty() {
            result = result.and_then(|()| self.add_committed());
            result = result.and_then(|()| self.write_batch());
        }
        if let Err(error) = &result {
            // What a disk says after a failed write cannot be trusted: nothing is tried again.
            self.tail.fenced.get_or_insert_with(|| error.clone());
        }
        for done in waiting {
            done(result.clone());
        }
        if result.is_ok() {
            self.give_up_segments();
        }
    }

    /// Writes what did not have to be durable, so that the next start knows it.
    fn close(&mut self) {
        if self.tail.fenced.is_none() {
            // Nothing depends on it: a start without it only applies more again.
            let _ = self.add_committed().and_then(|()| self.write_batch());
        }
    }

    /// Notes what is committed by now: nothing wakes the writer for that alone.
    fn add_committed(&mut self) -> Result<(), LogError> {
        let committed = self.shared.index().state.committed;
        self.add_state(State {
            committed,
            ..self.tail.state
        })
    }

    fn add_entries(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        for entry in entries {
            let place = self.add(RecordKind::Entry, &[&entry.head(), &entry.payload])?;
            self.tail.places.push((entry.id, place));
            self.tail.last = self.tail.last.max(Some(entry.id.index));
        }
        Ok(())
    }

    fn add_state(&mut self, state: State) -> Result<(), LogError> {
        if state == self.tail.state {
            return Ok(());
        }
        self.tail.state = state;
        self.add(RecordKind::State, &[&state.write()]).map(drop)
    }

    /// Puts a record into the batch, beginning another batch or segment where it does not fit.
    fn add(&mut self, kind: RecordKind, parts: &[&[u8]]) -> Result<Place, LogError> {
        let bytes = footprint(parts.iter().map(|part| part.len()).sum());
        if self.tail.room() < bytes || self.tail.batch.len() + bytes > self.options.batch_max_bytes {
            self.write_batch()?;
        }
        if self.tail.room() < bytes {
            self.next_segment()?;
        }
        if self.tail.offset == 0 && self.tail.records == 0 {
            let state = self.tail.state.write();
            self.tail.put(RecordKind::State, &[&state]);
        }
        if self.tail.room() < bytes {
            return Err(LogError::TooLong(bytes));
        }
        Ok(self.tail.put(kind, parts))
    }

    fn write_batch(&mut self) -> Result<(), LogError> {
        let tail = &mut self.tail;
        if tail.records == 0 {
            return Ok(());
        }
        let header = BatchHeader {
            generation: tail.generation,
            offset: tail.offset,
            length: u32::try_from(tail.batch.len()).unwrap_or(u32::MAX),
            records: tail.records,
            previous: tail.crc,
            mark: tail.sequence,
            base: tail.sequence,
            crc: 0,
        };
        tail.crc = header.seal(&mut tail.batch);
        tail.batch.pad(BLOCK_BYTES);
        tail.active
            .file
            .write_durably(&tail.batch, u64::from(tail.offset))
            .map_err(|error| {
                LogError::Disk(format!(
                    "cannot write segment {} at byte {}: {error}",
                    tail.active.number, tail.offset
                ))
            })?;
        tail.offset += header.padded();
        tail.sequence += u64::from(tail.records);
        tail.begin_batch();
        let mut index = self.shared.index();
        for (id, place) in tail.places.drain(..) {
            index.written(id, place);
        }
        Ok(())
    }

    fn next_segment(&mut self) -> Result<(), LogError> {
        let next = match self.tail.ready.pop() {
            Some(segment) => segment,
            None => {
                self.tail.highest_segment += 1;
                let number = self.tail.highest_segment;
                segments::make(&*self.disk, &self.directory, number, self.options.segment_bytes)?
            }
        };
        self.shared.add_segment(&next);
        let tail = &mut self.tail;
        let full = std::mem::replace(&mut tail.active, next);
        tail.sealed.push_back(Sealed {
            segment: full,
            last: tail.last.take(),
        });
        tail.generation += 1;
        tail.offset = 0;
        Ok(())
    }

    /// Frees the oldest segments whose entries are all purged; that they are is durable by now.
    fn give_up_segments(&mut self) {
        let Some(purged) = self.tail.state.purged.filter(|_| self.tail.records == 0) else {
            return;
        };
        while let Some(oldest) = self
            .tail
            .sealed
            .pop_front_if(|oldest| oldest.last.is_none_or(|last| last <= purged.index))
        {
            self.shared.drop_segment(oldest.segment.number);
            if self.tail.ready.len() < READY_MAX_COUNT && oldest.segment.bytes == self.options.segment_bytes {
                self.tail.ready.push(oldest.segment);
            } else if let Err(error) = segments::remove(&*self.disk, &self.directory, oldest.segment.number) {
                tracing::warn!("the metadata log keeps a segment it does not need: {error}");
            }
        }
    }
}

impl Tail {
    pub(super) fn begin_batch(&mut self) {
        self.batch.clear();
        self.batch.extend(&[0; BATCH_HEADER_BYTES]);
        self.records = 0;
    }

    /// Bytes that still fit into this batch in this segment.
    fn room(&self) -> usize {
        (self.active.bytes.saturating_sub(self.offset) as usize).saturating_sub(self.batch.len())
    }

    fn put(&mut self, kind: RecordKind, parts: &[&[u8]]) -> Place {
        self.records += 1;
        let sequence = self.sequence + u64::from(self.records);
        let place = Place {
            segment: self.active.number,
            generation: self.generation,
            offset: self.offset + u32::try_from(self.batch.len()).unwrap_or(u32::MAX),
            length: parts
                .iter()
                .map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX))
                .sum(),
        };
        self.batch
            .extend(&record_header(kind, self.generation, sequence, parts));
        parts.iter().for_each(|part| self.batch.extend(part));
        self.batch.pad(8);
        place
    }
}
