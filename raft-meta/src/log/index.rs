//! Where each entry is, and the newest of them in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use filegrid_journal::codec::Place;

use super::record::{Entry, EntryId, Holds, State};

/// An entry: in memory, on the disk, or both.
struct Slot {
    id: EntryId,
    holds: Holds,
    /// Length of the payload.
    length: u32,
    payload: Option<Bytes>,
    /// `None` until it is written.
    place: Option<Place>,
}

/// An entry, or where to read it.
pub(super) enum Found {
    Here(Entry),
    There(Place),
}

/// All entries, contiguous, and what is known besides.
pub(super) struct Index {
    pub(super) state: State,
    slots: VecDeque<Slot>,
    /// Bytes of payloads in memory.
    cached_bytes: usize,
    cache_max_bytes: usize,
    /// No slot before this one, counted from the front, has its payload in memory.
    evicted: usize,
}

impl Index {
    pub(super) fn new(state: State, cache_max_bytes: usize) -> Self {
        Self {
            state,
            slots: VecDeque::new(),
            cached_bytes: 0,
            cache_max_bytes,
            evicted: 0,
        }
    }

    /// The last entry, or the last that was purged.
    pub(super) fn last(&self) -> Option<EntryId> {
        self.slots.back().map(|slot| slot.id).or(self.state.purged)
    }

    /// Index that the next entry must have.
    pub(super) fn next(&self) -> u64 {
        self.last().map_or(0, |id| id.index + 1)
    }

    /// Index of the first entry that is here.
    pub(super) fn first(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.id.index)
    }

    /// The id of an entry.
    pub(super) fn id(&self, index: u64) -> Option<EntryId> {
        self.slots.get(self.position(index)?).map(|slot| slot.id)
    }

    /// Bytes of payloads of the entries from an index on.
    pub(super) fn bytes_from(&self, index: u64) -> u64 {
        let from = self.position(index).unwrap_or(0);
        self.slots.range(from..).map(|slot| u64::from(slot.length)).sum()
    }

    /// The first entry behind which at most so many entries with at most so many bytes follow.
    pub(super) fn keep_from(&self, entries: u64, bytes: u64) -> Option<u64> {
        let mut left = bytes;
        let mut kept = None;
        for slot in self
            .slots
            .iter()
            .rev()
            .take(usize::try_from(entries).unwrap_or(usize::MAX))
        {
            left = left.checked_sub(u64::from(slot.length))?;
            kept = Some(slot.id.index);
        }
        kept
    }

    /// Appends an entry that is not written yet. `false` if it does not follow the last; the first of all may have any
    /// index.
    #[must_use]
    pub(super) fn push(&mut self, entry: &Entry) -> bool {
        let first = self.slots.is_empty() && self.state.purged.is_none();
        (first || entry.id.index == self.next()) && self.put(entry, None)
    }

    /// Appends an entry that was found at a place. The first one may lie further on: what was before it may have been
    /// purged by a state that comes later, see [`Self::hole`]. `false` if it does not follow the last.
    #[must_use]
    pub(super) fn push_found(&mut self, entry: &Entry, place: Place) -> bool {
        let next = self.next();
        let follows = entry.id.index == next || (self.slots.is_empty() && entry.id.index > next);
        follows && self.put(entry, Some(place))
    }

    /// The entries that are missing: the first, and the one behind the last.
    pub(super) fn hole(&self) -> Option<(u64, u64)> {
        let expected = self.state.purged.map_or(0, |id| id.index + 1);
        let first = self.first()?;
        (first > expected).then_some((expected, first))
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::new(State::default(), self.cache_max_bytes);
    }

    /// Takes over a state that was found.
    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
        if let Some(upto) = state.purged {
            self.purge(upto);
        }
    }

    fn put(&mut self, entry: &Entry, place: Option<Place>) -> bool {
        self.cached_bytes += entry.payload.len();
        self.slots.push_back(Slot {
            id: entry.id,
            holds: entry.holds,
            length: u32::try_from(entry.payload.len()).unwrap_or(u32::MAX),
            payload: Some(entry.payload.clone()),
            place,
        });
        self.evict();
        true
    }

    /// Says where an entry was written, unless another is there by now.
    pub(super) fn written(&mut self, id: EntryId, place: Place) {
        if let Some(slot) = self
            .position(id.index)
            .and_then(|position| self.slots.get_mut(position))
            .filter(|slot| slot.id == id)
        {
            slot.place = Some(place);
        }
    }

    /// Drops entries from an index on.
    pub(super) fn cut(&mut self, from: u64) {
        while self.slots.back().is_some_and(|slot| slot.id.index >= from) {
            if let Some(slot) = self.slots.pop_back() {
                self.cached_bytes -= slot.payload.map_or(0, |payload| payload.len());
            }
        }
        self.evicted = self.evicted.min(self.slots.len());
    }

    /// Drops entries up to one.
    pub(super) fn purge(&mut self, upto: EntryId) {
        while self.slots.front().is_some_and(|slot| slot.id.index <= upto.index) {
            if let Some(slot) = self.slots.pop_front() {
                self.cached_bytes -= slot.payload.map_or(0, |payload| payload.len());
                self.evicted = self.evicted.saturating_sub(1);
            }
        }
        self.state.purged = self.state.purged.max(Some(upto));
    }

    /// The entries from `start` that are before `end`, up to so many bytes of payload but at least one.
    pub(super) fn get(&mut self, start: u64, end: u64, max_bytes: usize) -> Vec<Found> {
        let first = self.first().unwrap_or(u64::MAX);
        let start = start.max(first);
        let (Some(from), true) = (self.position(start), start < end) else {
            return Vec::new();
        };
        let count = usize::try_from(end - start).unwrap_or(usize::MAX);
        let mut left = max_bytes;
        let mut found = Vec::with_capacity(count.min(self.slots.len() - from));
        for slot in self.slots.range(from..).take(count) {
            let length = slot.length as usize;
            if length > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(length);
            match (&slot.payload, slot.place) {
                (Some(payload), _) => found.push(Found::Here(Entry {
                    id: slot.id,
                    holds: slot.holds,
                    payload: payload.clone(),
                })),
                (None, Some(place)) => found.push(Found::There(place)),
                // Only what is written is evicted.
                (None, None) => break,
            }
        }
        found
    }

    fn position(&self, index: u64) -> Option<usize> {
        let position = usize::try_from(index.checked_sub(self.first()?)?).ok()?;
        (position < self.slots.len()).then_some(position)
    }

    /// Gives the oldest payloads up while there are too many bytes of them.
    fn evict(&mut self) {
        while self.cached_bytes > self.cache_max_bytes {
            let Some(slot) = self
                .slots
                .get_mut(self.evicted)
                .filter(|slot| slot.place.is_some())
            else {
                break;
            };
            self.cached_bytes -= slot.payload.take().map_or(0, |payload| payload.len());
            self.evicted += 1;
        }
    }
}
