//! Opening a log: finds its end, hands over what the tree has not applied, and goes on in a new generation.
//!
//! Segments are used again, so old batches with good sums lie behind the tail. The chain decides: each batch
//! names its segment's generation, its own offset, the sum of the batch before it and the highest sequence
//! before it. The log ends at the first link that does not hold.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_journal::codec::records;

use super::notify::Notify;
use super::segments::{self, Segment, failed, read, read_batch, segment_name, segment_number};
use super::{BatchHeader, Log, LogError, LogOptions, Place, Position, RecordKind, State};
use crate::disk::Disk;
use crate::limits::BLOCK_BYTES;
use crate::ring::AlignedBuf;

/// Bytes read at a time in search of damage.
const SCAN_BYTES: u32 = 1 << 20;

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

/// A log whose end is known. Nothing of it has been changed.
pub struct Recovered {
    disk: Rc<dyn Disk>,
    directory: PathBuf,
    options: LogOptions,
    found: Found,
    end: Position,
    /// Changes behind this sequence are kept for who follows.
    keep_after: u64,
}

impl Recovered {
    /// Reads the log in a directory, making that if it is not there, and hands every record behind `from` (all of
    /// them without it) to `replay`.
    ///
    /// `closed` is where the log ended when it was closed cleanly. `live` are the segments that hold live bytes
    /// according to a tree that is at `from`: those cannot have been used again since.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] if records that were acknowledged cannot be read: a later batch knows them durable, or
    /// the log was closed behind them.
    ///
    /// # Crash
    ///
    /// Recovering again finds the same.
    pub async fn read(
        disk: Rc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
        closed: Option<Position>,
        from: Option<Position>,
        live: &HashSet<u32>,
        replay: &mut Replay<'_>,
    ) -> Result<Self, LogError> {
        disk.create_dir(&directory)
            .await
            .map_err(failed("create", &directory))?;
        if let Some(parent) = directory.parent() {
            disk.sync_dir(parent).await.map_err(failed("sync", parent))?;
        }
        // A process that was killed may have left a segment whose name is not durable: it is about to be used.
        disk.sync_dir(&directory)
            .await
            .map_err(failed("sync", &directory))?;
        let found = Found::read(&disk, &directory, &options).await?;
        let end = found.follow(from, replay).await?;
        found.check(&end, closed.as_ref(), live).await?;
        found.sync(from.unwrap_or_default().generation, &end).await?;
        Ok(Self {
            disk,
            directory,
            options,
            found,
            end,
            keep_after: u64::MAX,
        })
    }

    /// Keeps the segments with changes behind a sequence, for a follower that has all before.
    #[must_use]
    pub fn keep_after(self, sequence: u64) -> Self {
        Self {
            keep_after: sequence,
            ..self
        }
    }

    /// Where the log ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Opens the log for writing, in a new generation.
    ///
    /// `starts` must be higher than in every earlier start, durably. Segments that `empty` accepts are used again at
    /// once: the tree is persisted at the end of the log, and refers to nothing in them.
    ///
    /// # Errors
    ///
    /// If there is no segment to go on in and none can be made.
    pub async fn open(self, starts: u32, empty: &dyn Fn(u32) -> bool) -> Result<Log, LogError> {
        let Self {
            disk,
            directory,
            options,
            found,
            end,
            keep_after,
        } = self;
        for path in &found.stale {
            // Left by a crash. It only takes space, so trying again at the next start is soon enough.
            if let Err(error) = disk.remove(path).await {
                tracing::debug!(path = %path.display(), %error, "cannot remove half a segment");
            }
        }
        let lasts = found.lasts(&end);
        let Found {
            used, blank, highest, ..
        } = found;
        // What only holds batches behind the end holds nothing.
        let kept = |generation| lasts.get(&generation).is_some_and(|last| *last > keep_after);
        let holds = |generation: u64, segment: &Segment| {
            generation <= end.generation && (kept(generation) || !empty(segment.number))
        };
        let (sealed, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = used
            .into_iter()
            .partition(|(generation, segment)| holds(*generation, segment));
        let (mut ready, damaged): (Vec<_>, Vec<_>) = blank
            .into_iter()
            .chain(rest.into_values())
            .partition(|segment| empty(segment.number));
        for segment in damaged {
            tracing::error!(
                segment = segment.number,
                directory = %directory.display(),
                "a segment of the log is damaged at byte 0: it is left alone, since there are files in it"
            );
        }
        let mut highest = highest;
        let active = match ready.pop() {
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
            ready,
            lasts: lasts
                .into_iter()
                .filter(|(generation, _)| sealed.contains_key(generation))
                .collect(),
            sealed,
            unsynced: BTreeMap::new(),
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

/// The segments of a log.
struct Found {
    /// Segments by the generation in their first header.
    used: BTreeMap<u64, Segment>,
    /// The highest sequence before each of those.
    bases: BTreeMap<u64, u64>,
    /// Segments that show no header at their beginning, or a damaged one.
    blank: Vec<Segment>,
    /// Files of segments that were never finished, or half removed.
    stale: Vec<PathBuf>,
    /// Highest number of a segment.
    highest: u32,
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
            bases: BTreeMap::new(),
            blank: Vec::new(),
            stale: Vec::new(),
            highest: 0,
        };
        let entries = disk.list(directory).await.map_err(failed("list", directory))?;
        let unfinished = entries.iter().filter(|(name, ..)| name.ends_with(".new"));
        found
            .stale
            .extend(unfinished.map(|(name, ..)| directory.join(name)));
        let mut numbers: Vec<_> = entries
            .iter()
            .filter_map(|(name, ..)| segment_number(name))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            found.highest = number;
            let segment = segments::open(disk, directory, number, options).await?;
            if (segment.bytes as usize) < BLOCK_BYTES {
                found.stale.push(directory.join(segment_name(number)));
                continue;
            }
            let head = read(&segment.file, 0, BLOCK_BYTES).await?;
            match BatchHeader::decode(&head).filter(|header| header.offset == 0) {
                Some(header) => found.add(&header, segment).await?,
                None => found.blank.push(segment),
            }
        }
        Ok(found)
    }

    /// Notes a segment under the generation in its first header. Two of one generation cannot be: one of the headers is
    /// damaged, and says so by its sum.
    async fn add(&mut self, header: &BatchHeader, segment: Segment) -> Result<(), LogError> {
        let generation = header.generation;
        let Some(other) = self.used.remove(&generation) else {
            self.used.insert(generation, segment);
            self.bases.insert(generation, header.base);
            return Ok(());
        };
        let first = read_batch(&other.file, 0, other.bytes).await?;
        let (good, damaged) = if first.is_some_and(|(header, batch)| header.matches(&batch)) {
            (other, segment)
        } else {
            self.bases.insert(generation, header.base);
            (segment, other)
        };
        self.used.insert(generation, good);
        self.blank.push(damaged);
        Ok(())
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

    /// The highest sequence in each segment, or a higher one: up to where the next segment that there is begins.
    fn lasts(&self, end: &Position) -> BTreeMap<u64, u64> {
        let last = |generation: u64| {
            let next = self.bases.range(generation + 1..).next();
            let next = next.filter(|(next, _)| **next <= end.generation);
            (generation, next.map_or(end.sequence, |(_, base)| *base))
        };
        let past = self.used.range(..=end.generation);
        past.map(|(generation, _)| last(*generation)).collect()
    }

    /// Makes what was found survive a power cut: of a process that was killed, the last batches may still be on their
    /// way to the disk, and the tree is about to rely on them.
    async fn sync(&self, from: u64, end: &Position) -> Result<(), LogError> {
        for (_, segment) in self.used.range(from..=end.generation) {
            let synced = segment.file.sync_data().await;
            synced.map_err(|error| {
                LogError::Disk(format!("cannot sync segment {}: {error}", segment.number))
            })?;
        }
        Ok(())
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

    /// Tells a torn tail from damage: looks for a batch that knows a missing change durable.
    ///
    /// Sequences never restart, so such a batch is proof wherever it lies: also in a segment whose first block is
    /// gone or still shows an earlier use.
    async fn check(
        &self,
        end: &Position,
        closed: Option<&Position>,
        live: &HashSet<u32>,
    ) -> Result<(), LogError> {
        if let Some(closed) = closed.filter(|closed| *closed != end) {
            return Err(LogError::Damaged(format!(
                "the log was closed at change {} (segment {} at byte {}), but only changes up to {} (segment {} at \
                 byte {}) can be read",
                closed.sequence, closed.segment, closed.offset, end.sequence, end.segment, end.offset
            )));
        }
        // A segment of the past that the tree refers to is in the use that its first block shows.
        let past = |generation: u64, segment: &Segment| {
            generation < end.generation && live.contains(&segment.number)
        };
        let suspects = self
            .used
            .iter()
            .filter(|(generation, segment)| !past(**generation, segment));
        for segment in suspects.map(|(_, segment)| segment).chain(&self.blank) {
            if let Some((at, mark)) = knows_more(segment, end.sequence).await? {
                return Err(LogError::Damaged(format!(
                    "segment {} at byte {} cannot be read, but segment {} at byte {at} knows changes up to {mark} \
                     durable",
                    end.segment, end.offset, segment.number
                )));
            }
        }
        Ok(())
    }
}

/// The first good batch of a segment with a mark beyond a sequence: its offset, and the mark.
async fn knows_more(segment: &Segment, sequence: u64) -> Result<Option<(u32, u64)>, LogError> {
    let mut start = 0;
    while start < segment.bytes {
        let length = (segment.bytes - start).min(SCAN_BYTES);
        let blocks = read(&segment.file, start, length as usize).await?;
        for (block, at) in blocks.chunks(BLOCK_BYTES).zip((start..).step_by(BLOCK_BYTES)) {
            let suspect = BatchHeader::decode(block)
                .is_some_and(|header| header.offset == at && header.mark > sequence);
            if suspect
                && let Some((header, batch)) = read_batch(&segment.file, at, segment.bytes).await?
                && header.matches(&batch)
            {
                return Ok(Some((at, header.mark)));
            }
        }
        start += length;
    }
    Ok(None)
}
