//! Opening a log: finds its end, hands over what the tree has not applied, and goes on in a new generation.
//!
//! Segments are used again, so old batches with good sums lie behind the tail. The chain decides: each batch
//! names its segment's generation, its own offset, the sum of the batch before it and the highest sequence
//! before it. The log ends at the first link that does not hold.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_journal::codec::records;

use super::notify::Notify;
use super::segments::{self, Segment, failed, read, read_batch, segment_number};
use super::{BatchHeader, Log, LogError, LogOptions, Place, Position, RecordKind, State};
use crate::disk::Disk;
use crate::limits::BLOCK_BYTES;
use crate::ring::AlignedBuf;

/// A record found in recovery.
pub struct Replayed<'a> {
    /// Where it is.
    pub place: Place,
    /// What it holds.
    pub kind: RecordKind,
    /// Its sequence.
    pub sequence: u64,
    /// The payload.
    pub payload: &'a [u8],
    /// Position behind its batch.
    pub after: Position,
    /// Whether it is the first of its batch: all earlier batches are complete.
    pub first_of_batch: bool,
}

/// Takes records in order; an error ends the recovery.
pub(super) type Replay<'a> = dyn FnMut(Replayed<'_>) -> Result<(), LogError> + 'a;

impl Log {
    /// Recovers the log in a directory, making it if it is not there, and hands every record behind `from` (all
    /// of them without it) to `replay`.
    ///
    /// `starts` must be higher than in every earlier start, durably. `closed` is where the log ended when it was
    /// closed cleanly.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] if records that were acknowledged cannot be read: a later batch knows them durable, or
    /// the log was closed behind them.
    ///
    /// # Crash
    ///
    /// Recovering again finds the same.
    pub async fn open(
        disk: Rc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
        starts: u32,
        closed: Option<Position>,
        from: Option<Position>,
        replay: &mut Replay<'_>,
    ) -> Result<Self, LogError> {
        disk.create_dir(&directory)
            .await
            .map_err(failed("create", &directory))?;
        if let Some(parent) = directory.parent() {
            disk.sync_dir(parent).await.map_err(failed("sync", parent))?;
        }
        let found = Found::read(&disk, &directory, &options).await?;
        let end = found.follow(from, replay).await?;
        found.check(&end, closed.as_ref()).await?;
        found.into_log(disk, directory, options, starts, end).await
    }
}

/// The segments of a log.
struct Found {
    /// Segments by the generation in their first header.
    used: BTreeMap<u64, Segment>,
    /// Segments that hold nothing.
    blank: Vec<Segment>,
}

/// One link of the chain.
enum Link {
    Batch(BatchHeader, AlignedBuf),
    Broken,
}

impl Found {
    async fn read(disk: &Rc<dyn Disk>, directory: &Path, options: &LogOptions) -> Result<Self, LogError> {
        let mut found = Self {
            used: BTreeMap::new(),
            blank: Vec::new(),
        };
        let entries = disk.list(directory).await.map_err(failed("list", directory))?;
        let mut numbers: Vec<_> = entries
            .iter()
            .filter_map(|(name, ..)| segment_number(name))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let segment = segments::open(disk, directory, number, options).await?;
            let head = read(&segment.file, 0, BLOCK_BYTES).await?;
            match BatchHeader::decode(&head).filter(|header| header.offset == 0) {
                Some(header) => {
                    // Two segments of one generation cannot be: the later one is blank by its sum.
                    if let Some(other) = found.used.insert(header.generation, segment) {
                        found.blank.push(other);
                    }
                }
                None => found.blank.push(segment),
            }
        }
        Ok(found)
    }

    /// Follows the chain and says where it ends.
    async fn follow(&self, from: Option<Position>, replay: &mut Replay<'_>) -> Result<Position, LogError> {
        let mut end = from.unwrap_or_default();
        loop {
            let mut link = self.link(&end, end.generation, end.offset).await?;
            if matches!(link, Link::Broken) {
                for generation in self
                    .used
                    .range(end.generation + 1..)
                    .map(|(generation, _)| *generation)
                {
                    link = self.link(&end, generation, 0).await?;
                    if matches!(link, Link::Batch(..)) {
                        break;
                    }
                }
            }
            let Link::Batch(header, batch) = link else {
                return Ok(end);
            };
            end = self.hand_over(&header, &batch, &end, replay)?;
        }
    }

    /// The batch at an offset, if it follows `end`.
    async fn link(&self, end: &Position, generation: u64, offset: u32) -> Result<Link, LogError> {
        let Some(segment) = self
            .used
            .get(&generation)
            .filter(|segment| offset < segment.bytes)
        else {
            return Ok(Link::Broken);
        };
        let Some((header, batch)) = read_batch(&segment.file, offset, segment.bytes).await? else {
            return Ok(Link::Broken);
        };
        Ok(
            if header.follows(end, generation, offset) && header.matches(&batch) {
                Link::Batch(header, batch)
            } else {
                Link::Broken
            },
        )
    }

    fn hand_over(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        before: &Position,
        replay: &mut Replay<'_>,
    ) -> Result<Position, LogError> {
        let segment = self
            .used
            .get(&header.generation)
            .map_or(0, |segment| segment.number);
        let damaged =
            |why: &str| LogError::Damaged(format!("segment {segment} at byte {}: {why}", header.offset));
        let mut found = Vec::with_capacity(header.records as usize);
        for record in records::<RecordKind>(batch) {
            found.push(record.map_err(|damage| damaged(&damage.to_string()))?);
        }
        let changes = found
            .iter()
            .filter(|(_, record)| record.kind == RecordKind::Change)
            .count() as u64;
        let after = Position {
            generation: header.generation,
            segment,
            offset: header.offset + header.padded(),
            sequence: before.sequence + changes,
            crc: header.crc,
        };
        for (index, (at, record)) in found.iter().enumerate() {
            let length = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
            replay(Replayed {
                place: Place {
                    segment,
                    generation: header.generation,
                    offset: header.offset + at,
                    length,
                },
                kind: record.kind,
                sequence: record.sequence,
                payload: record.payload,
                after,
                first_of_batch: index == 0,
            })?;
        }
        Ok(after)
    }

    /// Tells a torn tail from damage: looks for a later batch that knows a missing change durable.
    async fn check(&self, end: &Position, closed: Option<&Position>) -> Result<(), LogError> {
        if let Some(closed) = closed.filter(|closed| *closed != end) {
            return Err(LogError::Damaged(format!(
                "the log was closed at change {} (segment {} at byte {}), but only changes up to {} (segment {} at \
                 byte {}) can be read",
                closed.sequence, closed.segment, closed.offset, end.sequence, end.segment, end.offset
            )));
        }
        for (generation, segment) in self.used.range(end.generation..) {
            let mut at = if *generation == end.generation {
                end.offset
            } else {
                0
            };
            while at < segment.bytes {
                let found = read_batch(&segment.file, at, segment.bytes).await?;
                if let Some((header, batch)) = found
                    && header.generation == *generation
                    && header.offset == at
                    && header.mark > end.sequence
                    && header.matches(&batch)
                {
                    return Err(LogError::Damaged(format!(
                        "segment {} at byte {} cannot be read, but segment {} at byte {at} knows changes up to {} \
                         durable",
                        end.segment, end.offset, segment.number, header.mark
                    )));
                }
                at += u32::try_from(BLOCK_BYTES).unwrap_or(1);
            }
        }
        Ok(())
    }

    async fn into_log(
        self,
        disk: Rc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
        starts: u32,
        end: Position,
    ) -> Result<Log, LogError> {
        let Self { used, mut blank } = self;
        let highest = used
            .values()
            .chain(&blank)
            .map(|segment| segment.number)
            .max()
            .unwrap_or(0);
        // A segment that only holds batches behind the end holds nothing.
        let mut sealed = used;
        let behind = sealed.split_off(&(end.generation + 1));
        blank.extend(behind.into_values());
        let mut highest = highest;
        let active = match blank.pop() {
            Some(segment) => segment,
            None => {
                highest += 1;
                segments::make(&disk, &directory, highest, &options).await?
            }
        };
        let state = State {
            active,
            generation: u64::from(starts) << 32,
            end: 0,
            building: None,
            closed: VecDeque::new(),
            sequence: end.sequence,
            crc: end.crc,
            next_batch: 1,
            front: 0,
            told: 0,
            positions: BTreeMap::from([(0, end)]),
            early: Vec::new(),
            ready: blank,
            sealed,
            highest_segment: highest,
        };
        Ok(Log {
            disk,
            directory,
            options,
            state: RefCell::new(state),
            fenced: Cell::new(false),
            work: Notify::default(),
            lacking: Notify::default(),
            moved: Notify::default(),
        })
    }
}
