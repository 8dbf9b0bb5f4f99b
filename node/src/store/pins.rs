//! What readers and unfinished uploads hold on to.
//!
//! A large blob is pinned by its id. An inline blob is pinned by the segment that holds its bytes: compaction
//! may copy it elsewhere meanwhile, but the segment is not reused before the pin is gone.
//!
//! Each shard has a table of its own, so the data path never waits for another shard. Look-up and pinning
//! happen under the table's lock ([`Pins::hold`]), and whoever frees something first removes it from the
//! tree and then asks every table ([`AllPins::pinned`]): a look-up that saw the old row has pinned by then,
//! a later one cannot see it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filegrid_tree::BlobId;

/// What can be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pinned {
    /// A large blob's file.
    Blob(BlobId),
    /// A segment in one of its uses.
    Segment {
        /// The log.
        log: u8,
        /// Number of the segment.
        segment: u32,
        /// Generation of its use.
        generation: u64,
    },
}

type Table = HashMap<Pinned, u32>;

/// The pins of one shard.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Mutex<Table>>);

impl Pins {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a look-up and pins what it names, with nothing freed in between.
    pub fn hold<T>(&self, look_up: impl FnOnce(&mut dyn FnMut(Pinned)) -> T) -> (T, PinSet) {
        let mut table = self.table();
        let mut held = Vec::new();
        let found = look_up(&mut |what| {
            *table.entry(what).or_insert(0) += 1;
            held.push(what);
        });
        drop(table);
        (
            found,
            PinSet {
                pins: self.clone(),
                held,
            },
        )
    }

    /// Pins one thing.
    #[must_use]
    pub fn pin(&self, what: Pinned) -> PinSet {
        self.hold(|pin| pin(what)).1
    }
}

/// Pins that end when this is dropped.
#[derive(Debug)]
pub struct PinSet {
    pins: Pins,
    held: Vec<Pinned>,
}

impl Drop for PinSet {
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut table = self.pins.table();
        for what in &self.held {
            if let Some(count) = table.get_mut(what) {
                *count -= 1;
                if *count == 0 {
                    table.remove(what);
                }
            }
        }
    }
}

/// The pin tables of all shards.
#[derive(Debug, Clone)]
pub struct AllPins(Arc<[Pins]>);

impl AllPins {
    /// One table a shard.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Pins::default()).collect())
    }

    /// The table of a shard; numbers beyond the last wrap round.
    #[must_use]
    pub fn of(&self, shard: usize) -> Pins {
        self.0.get(shard % self.0.len()).cloned().unwrap_or_default()
    }

    /// Whether anybody holds on to it.
    #[must_use]
    pub fn pinned(&self, what: Pinned) -> bool {
        self.0.iter().any(|pins| pins.table().contains_key(&what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filegrid_tree::Id;

    #[test]
    fn a_pin_lasts_as_long_as_its_last_holder() {
        let all = AllPins::new(2);
        let what = Pinned::Blob(Id([7; 16]));
        let first = all.of(0).pin(what);
        let second = all.of(1).pin(what);
        drop(first);
        assert!(all.pinned(what));
        drop(second);
        assert!(!all.pinned(what));
    }
}
