//! Reading changes again, in order, for who follows the log.

use filegrid_journal::codec::records;

use super::segments::{Segment, read_batch};
use super::{Log, LogError, RecordKind, SegmentInfo};

/// Where a follower is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCursor {
    generation: u64,
    offset: u32,
}

/// A change as the log has it: its sequence and the payload of its record.
pub type LoggedChange = (u64, Vec<u8>);

impl Log {
    /// The beginning of the oldest segment that holds a change behind a sequence.
    #[must_use]
    pub fn cursor_after(&self, sequence: u64) -> ChangeCursor {
        let state = self.state.borrow();
        let later = state
            .sealed
            .keys()
            .find(|generation| state.last_of(**generation) > sequence);
        ChangeCursor {
            generation: later.copied().unwrap_or(state.generation),
            offset: 0,
        }
    }

    /// The changes of the next batch that is durable; `None` if there is none yet. What is not readable in a segment of
    /// the past ends that: who reads has to see that no sequence is missing.
    ///
    /// # Errors
    ///
    /// If the disk fails, or what was just written does not match its sum.
    pub async fn changes(&self, cursor: &mut ChangeCursor) -> Result<Option<Vec<LoggedChange>>, LogError> {
        loop {
            let end = self.end();
            let ChangeCursor { generation, offset } = *cursor;
            if (generation, offset) >= (end.generation, end.offset) {
                return Ok(None);
            }
            if let Some(segment) = self.segment_of(generation)
                && offset < segment.bytes
                && let Some((header, batch)) = read_batch(&segment.file, offset, segment.bytes).await?
                && header.generation == generation
                && header.offset == offset
                && header.matches(&batch)
            {
                cursor.offset = offset + header.padded();
                let changes = records::<RecordKind>(&batch)
                    .filter_map(Result::ok)
                    .filter(|(_, record)| record.kind == RecordKind::Change)
                    .map(|(_, record)| (record.sequence, record.payload.to_vec()));
                return Ok(Some(changes.collect()));
            }
            if generation == end.generation {
                return Err(LogError::Damaged(format!(
                    "generation {generation:x} of the log cannot be read at byte {offset}"
                )));
            }
            *cursor = self.after(generation);
        }
    }

    fn segment_of(&self, generation: u64) -> Option<Segment> {
        let state = self.state.borrow();
        if generation == state.generation {
            return Some(state.active.clone());
        }
        state.sealed.get(&generation).cloned()
    }

    /// The beginning of the next segment.
    fn after(&self, generation: u64) -> ChangeCursor {
        let state = self.state.borrow();
        let next = state.sealed.range(generation + 1..).next();
        ChangeCursor {
            generation: next.map_or(state.generation, |(next, _)| *next),
            offset: 0,
        }
    }

    /// The highest sequence in a full segment.
    #[must_use]
    pub fn last_sequence(&self, segment: &SegmentInfo) -> u64 {
        self.state.borrow().last_of(segment.generation)
    }

    /// Bytes that the log keeps for a follower that has all up to a sequence.
    #[must_use]
    pub fn bytes_after(&self, sequence: u64) -> u64 {
        let state = self.state.borrow();
        let sealed = state.sealed.iter();
        let kept = sealed.filter(|(generation, _)| state.last_of(**generation) > sequence);
        let kept: u64 = kept.map(|(_, segment)| u64::from(segment.bytes)).sum();
        if state.sequence > sequence {
            kept + u64::from(state.end)
        } else {
            kept
        }
    }
}
