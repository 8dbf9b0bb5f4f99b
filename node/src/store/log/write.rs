//! Gathering records into batches, and writing those.

use std::rc::Rc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use filegrid_journal::codec::record_header;

use super::segments::Segment;
use super::{Appended, Durability, Log, LogError, NewRecord, Space, State};
use super::{BATCH_HEADER_BYTES, BatchHeader, Place, Position, footprint};
use crate::clock;
use crate::limits::BLOCK_BYTES;
use crate::metrics;
use crate::ring::AlignedBuf;

/// A batch that is being gathered or waits for its write.
pub(super) struct Building {
    number: u64,
    segment: Segment,
    generation: u64,
    offset: u32,
    buffer: AlignedBuf,
    records: u32,
    /// Highest sequence before it.
    base: u64,
    /// Highest sequence with it.
    last: u64,
}

/// A batch that is on its way to the disk.
struct Sealed {
    number: u64,
    segment: Segment,
    offset: u32,
    buffer: AlignedBuf,
}

impl Log {
    /// Puts records into the batch that is being gathered, all into the same one.
    ///
    /// # Errors
    ///
    /// Nothing was appended then.
    pub fn append(&self, records: &[NewRecord<'_>], space: Space) -> Result<Appended, LogError> {
        if self.fenced.get() {
            return Err(LogError::Fenced);
        }
        let need: usize = records.iter().map(|record| footprint(length(record))).sum();
        let mut state = self.state.borrow_mut();
        self.make_room(&mut state, need, space)?;
        let State {
            building, sequence, ..
        } = &mut *state;
        let batch = building.as_mut().ok_or(LogError::Full)?;
        let places = records.iter().map(|record| batch.add(record)).collect();
        *sequence = batch.last;
        let number = batch.number;
        drop(state);
        self.work.notify();
        Ok(Appended {
            batch: number,
            places,
        })
    }

    /// Makes sure that a batch is being gathered that `need` bytes fit into.
    fn make_room(&self, state: &mut State, need: usize, space: Space) -> Result<(), LogError> {
        if let Some(batch) = &state.building {
            let after = batch.buffer.len() + need;
            let room = batch.segment.bytes as usize - batch.offset as usize;
            let target = self.options.batch_bytes.min(batch.buffer.capacity());
            if after <= target && after.next_multiple_of(BLOCK_BYTES) <= room {
                return Ok(());
            }
        }
        let whole = (BATCH_HEADER_BYTES + need).next_multiple_of(BLOCK_BYTES);
        let start = state.building.as_ref().map_or(state.end, Building::padded_end);
        if start as usize + whole > state.active.bytes as usize {
            if whole > self.options.segment_bytes as usize {
                return Err(LogError::TooLarge);
            }
            self.rotate(state, whole, space)?;
        } else {
            state.close_building();
        }
        state.begin(whole, self.options.batch_bytes);
        Ok(())
    }

    /// Goes on in the next ready segment, in a new generation.
    fn rotate(&self, state: &mut State, whole: usize, space: Space) -> Result<(), LogError> {
        let kept = match space {
            Space::Upload | Space::Change => self.options.reserve_segments,
            Space::Delete => self.options.reserve_segments / 2,
            Space::Cure => 0,
        };
        if state.ready.len() <= kept {
            self.lacking.notify();
            return Err(if self.making.get() {
                LogError::NotReady
            } else {
                LogError::Full
            });
        }
        let next = state
            .ready
            .iter()
            .position(|segment| segment.bytes as usize >= whole)
            .ok_or(LogError::Full)?;
        let next = state.ready.swap_remove(next);
        state.close_building();
        let full = std::mem::replace(&mut state.active, next);
        state.sealed.insert(state.generation, full);
        state.lasts.insert(state.generation, state.sequence);
        state.generation += 1;
        state.end = 0;
        self.lacking.notify();
        Ok(())
    }

    /// Writes batches, for ever: until a write fails.
    pub async fn run(&self) {
        let mut writes = FuturesUnordered::new();
        loop {
            while self.may_write(writes.len())
                && let Some(batch) = self.seal_next()
            {
                writes.push(write(batch));
            }
            let done = if writes.len() < 2 * self.options.in_flight {
                let in_flight = writes.len();
                let more = self.work.until(|| self.may_write(in_flight).then_some(()));
                futures::pin_mut!(more);
                match futures::future::select(more, writes.next()).await {
                    futures::future::Either::Left(_) => continue,
                    futures::future::Either::Right((Some(done), _)) => done,
                    futures::future::Either::Right((None, more)) => {
                        more.await;
                        continue;
                    }
                }
            } else if let Some(done) = writes.next().await {
                done
            } else {
                continue;
            };
            match done {
                Ok(batch) => self.written(batch),
                Err(error) => return self.fence(&error.to_string()),
            }
        }
    }

    /// Whether there is a batch to be written beside so many that are. A batch that grows waits for company; one that
    /// is full gains nothing by it, and answers that come one batch after another keep network and disk both busy.
    fn may_write(&self, in_flight: usize) -> bool {
        let state = self.state.borrow();
        if state.closed.is_empty() {
            state.building.is_some() && in_flight < self.options.in_flight
        } else {
            in_flight < 2 * self.options.in_flight
        }
    }

    /// Takes the oldest batch and gives it its header.
    fn seal_next(&self) -> Option<Sealed> {
        let mut state = self.state.borrow_mut();
        if state.closed.is_empty() {
            state.close_building();
        }
        let batch = state.closed.pop_front()?;
        // Relaxed, nothing is known to be durable: a later batch may survive without this one.
        let known = state.positions.get(&state.front);
        let mark = known
            .filter(|_| self.options.durability == Durability::Commit)
            .map_or(0, |position| position.sequence);
        let Building {
            number,
            segment,
            generation,
            offset,
            mut buffer,
            records,
            base,
            last,
        } = batch;
        let header = BatchHeader {
            generation,
            offset,
            length: u32::try_from(buffer.len()).unwrap_or(u32::MAX),
            records,
            previous: state.crc,
            mark,
            base,
            crc: 0,
        };
        state.crc = header.seal(&mut buffer);
        buffer.resize_zeroed(buffer.len().next_multiple_of(BLOCK_BYTES));
        let end = offset + u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let position = Position {
            generation,
            segment: segment.number,
            offset: end,
            sequence: last,
            crc: state.crc,
        };
        state.positions.insert(number, position);
        Some(Sealed {
            number,
            segment,
            offset,
            buffer,
        })
    }

    fn written(&self, batch: Sealed) {
        let mut state = self.state.borrow_mut();
        if self.options.durability == Durability::Relaxed {
            state.unsynced.insert(batch.segment.number, batch.segment);
        }
        state.early.push(batch.number);
        while let Some(next) = state.early.iter().position(|number| *number == state.front + 1) {
            state.early.swap_remove(next);
            state.front += 1;
        }
        drop(state);
        self.moved.notify();
    }
}

impl State {
    /// The highest sequence in a full segment.
    pub(super) fn last_of(&self, generation: u64) -> u64 {
        self.lasts.get(&generation).copied().unwrap_or(self.sequence)
    }

    fn close_building(&mut self) {
        if let Some(batch) = self.building.take() {
            self.end = batch.padded_end();
            self.closed.push_back(batch);
        }
    }

    fn begin(&mut self, whole: usize, target: usize) {
        let mut buffer = AlignedBuf::with_capacity(whole.max(target));
        buffer.resize_zeroed(BATCH_HEADER_BYTES);
        self.building = Some(Building {
            number: self.next_batch,
            segment: self.active.clone(),
            generation: self.generation,
            offset: self.end,
            buffer,
            records: 0,
            base: self.sequence,
            last: self.sequence,
        });
        self.next_batch += 1;
    }
}

impl Building {
    fn padded_end(&self) -> u32 {
        self.offset + u32::try_from(self.buffer.len().next_multiple_of(BLOCK_BYTES)).unwrap_or(u32::MAX)
    }

    /// Room was made before.
    fn add(&mut self, record: &NewRecord<'_>) -> Place {
        let start = self.buffer.len();
        let header = record_header(record.kind, self.generation, record.sequence, record.parts);
        self.buffer.append(&header);
        record.parts.iter().for_each(|part| {
            self.buffer.append(part);
        });
        self.buffer.resize_zeroed(start + footprint(length(record)));
        self.records += 1;
        self.last = self.last.max(record.sequence);
        Place {
            segment: self.segment.number,
            generation: self.generation,
            offset: self.offset + u32::try_from(start).unwrap_or(u32::MAX),
            length: u32::try_from(length(record)).unwrap_or(u32::MAX),
        }
    }
}

fn length(record: &NewRecord<'_>) -> usize {
    record.parts.iter().map(|part| part.len()).sum()
}

async fn write(batch: Sealed) -> std::io::Result<Sealed> {
    let Sealed {
        number,
        segment,
        offset,
        buffer,
    } = batch;
    let file = Rc::clone(&segment.file);
    let begun = clock::monotonic();
    let (written, buffer) = file.write_at(buffer, u64::from(offset)).await;
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    metrics::mine().log_writes.add(micros);
    metrics::mine().log_bytes.add(buffer.len() as u64);
    written.map(|()| Sealed {
        number,
        segment,
        offset,
        buffer,
    })
}
