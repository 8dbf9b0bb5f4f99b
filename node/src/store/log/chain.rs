//! The segments that a start finds, and the chain of batches through them.
//!
//! Segments are used again, so old batches with good sums lie behind the tail. The chain decides: each batch
//! names its segment's generation, its own offset, the sum of the batch before it and the highest sequence
//! before it. The log ends at the first link that does not hold.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_journal::codec::records;

use super::segments::{self, Segment, failed, read, read_batch, segment_name, segment_number};
use super::{BatchHeader, LogError, LogOptions, Place, Position, RecordKind};
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

/// The segments of a log.
pub(super) struct Found {
    /// Segments by the generation in their first header.
    pub(super) used: BTreeMap<u64, Segment>,
    /// The highest sequence before each of those.
    bases: BTreeMap<u64, u64>,
    /// Segments that show no header at their beginning, or a damaged one.
    pub(super) blank: Vec<Segment>,
    /// Files of segments that were never finished, or half removed.
    pub(super) stale: Vec<PathBuf>,
    /// Highest number of a segment.
    pub(super) highest: u32,
    /// Where the tree goes on, whatever the first block there says.
    resumed: Option<(u64, Segment)>,
}

/// One link of the chain.
enum Link {
    Batch(BatchHeader, AlignedBuf),
    Broken,
}

impl Found {
    pub(super) async fn read(
        disk: &Rc<dyn Disk>,
        directory: &Path,
        options: &LogOptions,
    ) -> Result<Self, LogError> {
        let mut found = Self {
            used: BTreeMap::new(),
            bases: BTreeMap::new(),
            blank: Vec::new(),
            stale: Vec::new(),
            highest: 0,
            resumed: None,
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

    /// Finds the segment in which the tree goes on by its number. A damaged first block, which the tree is past, must
    /// not hide the batches behind it: no other batch may know them durable.
    pub(super) fn resume(&mut self, from: Option<&Position>) {
        let Some(from) = from else { return };
        let segments = self.used.values().chain(&self.blank);
        let resumed = segments.filter(|segment| segment.number == from.segment);
        self.resumed = resumed.map(|segment| (from.generation, segment.clone())).next();
    }

    /// The segment that is in use as a generation.
    fn segment(&self, generation: u64) -> Option<&Segment> {
        match &self.resumed {
            Some((resumed, segment)) if *resumed == generation => Some(segment),
            _ => self.used.get(&generation),
        }
    }

    /// Follows the chain and says where it ends.
    pub(super) async fn follow(
        &self,
        from: Option<Position>,
        replay: &mut Replay<'_>,
    ) -> Result<Position, LogError> {
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
    pub(super) fn lasts(&self, end: &Position) -> BTreeMap<u64, u64> {
        let last = |generation: u64| {
            let next = self.bases.range(generation + 1..).next();
            let next = next.filter(|(next, _)| **next <= end.generation);
            (generation, next.map_or(end.sequence, |(_, base)| *base))
        };
        let past = self.used.range(..=end.generation);
        past.map(|(generation, _)| last(*generation)).collect()
    }

    /// Makes what was found survive a power cut: of a process that was killed, the last batches may still be on their
    /// way to the disk, and the tree is about to rely on them; of one that did not sync, any may.
    pub(super) async fn sync(&self) -> Result<(), LogError> {
        for segment in self.used.values().chain(&self.blank) {
            let synced = segment.file.sync_data().await;
            synced.map_err(|error| {
                LogError::Disk(format!("cannot sync segment {}: {error}", segment.number))
            })?;
        }
        Ok(())
    }

    /// The batch at an offset, if it follows `end`.
    async fn link(&self, end: &Position, generation: u64, offset: u32) -> Result<Link, LogError> {
        let segment = self.segment(generation);
        let Some(segment) = segment.filter(|segment| offset < segment.bytes) else {
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
        let segment = self.segment(header.generation);
        let segment = segment.map_or(0, |segment| segment.number);
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
    pub(super) async fn check(
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
            generation < end.generation && segment.number != end.segment && live.contains(&segment.number)
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
