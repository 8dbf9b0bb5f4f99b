//! Opening a log: finds its end and goes on in a new generation.
//!
//! Segments are used again, so old batches with good sums lie behind the tail, and whole segments that were given up
//! lie before the head. The chain decides: see [`BatchHeader::follows`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use filegrid_journal::BLOCK_BYTES;
use filegrid_journal::codec::{BatchHeader, Place, Position, records};

use super::disk::{Aligned, Disk};
use super::index::Index;
use super::record::{Entry, RecordKind, State};
use super::segments::{self, Segment, failed, read, read_batch};
use super::writer::{LogWriter, Sealed, Tail};
use super::{Log, LogError, LogOptions, Shared};

impl Log {
    /// Recovers the log in a directory, making it if it is not there; the one above must be.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] if an entry that was durable cannot be read and others that came later can;
    /// [`LogError::Refused`] if the log is another member's.
    ///
    /// # Crash
    ///
    /// Recovering again finds the same.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
    ) -> Result<(Self, LogWriter), LogError> {
        disk.create_dir(&directory)
            .map_err(failed("create", &directory))?;
        if let Some(parent) = directory.parent() {
            disk.sync_dir(parent).map_err(failed("sync", parent))?;
        }
        let mut recovery = Recovery {
            index: Index::new(State::default(), options.cache_max_bytes),
            end: Position::default(),
            sealed: VecDeque::new(),
            blank: Vec::new(),
            broken: None,
        };
        let mut used = recovery.find(&*disk, &directory)?;
        used.sort_by_key(|(generation, _)| *generation);
        for (generation, segment) in used {
            recovery.follow(generation, segment)?;
        }
        recovery.check(options.member)?;
        recovery.into_log(disk, directory, options)
    }
}

/// Read at a time in search of later batches.
const SCAN_BYTES: usize = 1 << 20;

struct Recovery {
    index: Index,
    end: Position,
    sealed: VecDeque<Sealed>,
    /// Segments that hold nothing that is needed.
    blank: Vec<Segment>,
    /// Where the chain of a segment ended to which the next one does not belong.
    broken: Option<Position>,
}

impl Recovery {
    /// Opens the segments and returns those that begin with a good batch, with their generations.
    fn find(&mut self, disk: &dyn Disk, directory: &Path) -> Result<Vec<(u64, Segment)>, LogError> {
        let entries = disk.list(directory).map_err(failed("list", directory))?;
        let mut numbers: Vec<_> = entries
            .iter()
            .filter_map(|(name, ..)| segments::number_of(name))
            .collect();
        numbers.sort_unstable();
        let mut used = Vec::new();
        for number in numbers {
            let segment = segments::open(disk, directory, number)?;
            match good_batch(&segment, 0)? {
                Some((header, _)) => used.push((header.generation, segment)),
                None => self.blank.push(segment),
            }
        }
        Ok(used)
    }

    /// Follows the chain through a segment.
    fn follow(&mut self, generation: u64, segment: Segment) -> Result<(), LogError> {
        let mut last = None;
        let mut at = 0;
        while let Some((header, batch)) = good_batch(&segment, at)? {
            if !header.follows(&self.end, generation, at) {
                if at > 0 {
                    break;
                }
                // The segments before it were given up, or cannot be read: what they said and is still needed is
                // missing then, see `check`.
                if !self.sealed.is_empty() {
                    self.broken = Some(self.end);
                }
                self.blank
                    .extend(self.sealed.drain(..).map(|sealed| sealed.segment));
                self.index.forget();
                self.end = Position {
                    sequence: header.base,
                    crc: header.previous,
                    ..Position::default()
                };
            }
            last = last.max(self.replay(&segment, &header, &batch)?);
            at = header.offset + header.padded();
            self.end = Position {
                generation,
                segment: segment.number,
                offset: at,
                sequence: header.base + u64::from(header.records),
                crc: header.crc,
            };
        }
        self.sealed.push_back(Sealed { segment, last });
        Ok(())
    }

    /// Takes the records of a batch and returns the highest index of its entries.
    fn replay(
        &mut self,
        segment: &Segment,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Option<u64>, LogError> {
        let damaged = |offset: u32, why: &str| {
            LogError::Damaged(format!(
                "metadata log, segment {} at byte {}: {why}",
                segment.number,
                header.offset + offset
            ))
        };
        let mut highest = None;
        for record in records::<RecordKind>(batch) {
            let (at, record) = record.map_err(|damage| damaged(0, &damage.to_string()))?;
            let unknown = || damaged(at, "the record is not readable");
            match record.kind {
                RecordKind::State => {
                    let state = State::read(record.payload).ok_or_else(unknown)?;
                    self.index.set_state(state);
                }
                RecordKind::Cut => {
                    let from = record.payload.first_chunk().ok_or_else(unknown)?;
                    self.index.cut(u64::from_le_bytes(*from));
                }
                RecordKind::Entry => {
                    let payload = Bytes::copy_from_slice(record.payload);
                    let entry = Entry::read(payload).ok_or_else(unknown)?;
                    let place = Place {
                        segment: segment.number,
                        generation: header.generation,
                        offset: header.offset + at,
                        length: u32::try_from(record.payload.len()).unwrap_or(u32::MAX),
                    };
                    if !self.index.push_found(&entry, place) {
                        return Err(damaged(at, &format!("entry {} does not follow", entry.id.index)));
                    }
                    highest = highest.max(Some(entry.id.index));
                }
            }
        }
        Ok(highest)
    }

    /// Tells a torn tail from damage.
    fn check(&self, member: u64) -> Result<(), LogError> {
        let place = |end: &Position| format!("metadata log, segment {} at byte {}", end.segment, end.offset);
        if !self.sealed.is_empty() && self.index.state.member != member {
            return Err(LogError::Refused(format!(
                "the metadata log belongs to member {}, this is member {member}",
                self.index.state.member
            )));
        }
        if let Some((expected, found)) = self.index.hole() {
            let place = self
                .broken
                .as_ref()
                .map_or_else(|| "metadata log, oldest segment".to_owned(), place);
            return Err(LogError::Damaged(format!(
                "{place}: cannot be read, entries {expected} to {} are missing",
                found - 1
            )));
        }
        // A batch is written when all before it are durable.
        let active = self
            .sealed
            .back()
            .map(|sealed| (&sealed.segment, self.end.offset));
        for (segment, from) in active
            .into_iter()
            .chain(self.blank.iter().map(|segment| (segment, 0)))
        {
            if let Some(at) = later_batch(segment, from, &self.end)? {
                return Err(LogError::Damaged(format!(
                    "{}: cannot be read, but segment {} at byte {at} was written later",
                    place(&self.end),
                    segment.number
                )));
            }
        }
        Ok(())
    }

    fn into_log(
        mut self,
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
    ) -> Result<(Log, LogWriter), LogError> {
        self.index.state.member = options.member;
        let segments = self
            .sealed
            .iter()
            .map(|sealed| &sealed.segment)
            .chain(&self.blank);
        let mut highest_segment = segments.map(|segment| segment.number).max().unwrap_or(0);
        // One made under another configuration is of no use.
        self.blank
            .retain(|segment| segment.bytes == options.segment_bytes);
        let active = match self.blank.pop() {
            Some(segment) => segment,
            None => {
                highest_segment += 1;
                segments::make(&*disk, &directory, highest_segment, options.segment_bytes)?
            }
        };
        let mut tail = Tail {
            // Higher than any that can be read; of one that cannot there is only a first batch, which this overwrites.
            generation: ((self.end.generation >> 32) + 1) << 32,
            active,
            offset: 0,
            sequence: self.end.sequence,
            crc: self.end.crc,
            last: None,
            state: self.index.state,
            sealed: self.sealed,
            ready: self.blank,
            highest_segment,
            batch: Aligned::default(),
            records: 0,
            places: Vec::new(),
            fenced: None,
        };
        tail.begin_batch();
        let shared = Arc::new(Shared::new(self.index, options.segment_bytes));
        tail.sealed
            .iter()
            .map(|sealed| &sealed.segment)
            .chain([&tail.active])
            .for_each(|segment| shared.add_segment(segment));
        let (sender, jobs) = tokio::sync::mpsc::unbounded_channel();
        let writer = LogWriter {
            disk,
            directory,
            options,
            shared: Arc::clone(&shared),
            jobs,
            tail,
        };
        Ok((Log { shared, jobs: sender }, writer))
    }
}

/// The batch at an offset, if there is one and its sum is right.
fn good_batch(segment: &Segment, at: u32) -> Result<Option<(BatchHeader, Aligned)>, LogError> {
    if at >= segment.bytes {
        return Ok(None);
    }
    let Some((header, mut batch)) = read_batch(segment, at)? else {
        return Ok(None);
    };
    batch.truncate(header.length as usize);
    Ok((header.offset == at && header.matches(&batch)).then_some((header, batch)))
}

/// A batch at an offset or behind it that knows more to be durable than lies before `end`.
fn later_batch(segment: &Segment, from: u32, end: &Position) -> Result<Option<u32>, LogError> {
    for start in (from..segment.bytes).step_by(SCAN_BYTES) {
        let bytes = SCAN_BYTES.min((segment.bytes - start) as usize);
        let chunk = read(segment, start, bytes)?;
        for (at, block) in (start..).step_by(BLOCK_BYTES).zip(chunk.chunks(BLOCK_BYTES)) {
            let later = BatchHeader::decode(block)
                .is_some_and(|header| header.generation >= end.generation && header.mark > end.sequence);
            if later && good_batch(segment, at)?.is_some() {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}
