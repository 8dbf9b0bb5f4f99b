//! Bytes in the order they came, in memory that grows with the transfer and is given back when it rests.

use std::cell::RefCell;

/// Spare buffers kept by a thread: what some transfers at once use.
const SPARE_MAX_COUNT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// `memory[start..end]` are the bytes. All memory is initialised.
#[derive(Default)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// The room was filled the last time: the peer keeps up.
    was_filled: bool,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more behind the bytes. `least`: how much there is at least, unless `most` in all is reached.
    pub(super) fn room(&mut self, least: usize, most: usize) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = take(least);
        }
        if self.memory.len() - self.end < least && self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let grown = if self.was_filled {
            self.memory.len().saturating_mul(4)
        } else {
            0
        };
        let wanted = grown.max(self.end + least).min(most);
        if self.memory.len() < wanted {
            self.memory.resize(wanted, 0);
        }
        self.was_filled = false;
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes `n` bytes that were put into the room.
    pub(super) fn fill(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.memory.len());
        self.was_filled = self.end == self.memory.len();
    }

    /// Gives the memory back, if nothing is in it.
    pub(super) fn release(&mut self) {
        if self.start == self.end {
            give(std::mem::take(&mut self.memory));
            *self = Self::default();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.memory));
    }
}

/// A buffer of at least this length.
fn take(least: usize) -> Vec<u8> {
    let spare = SPARE.with(|spare| spare.borrow_mut().pop());
    match spare {
        Some(spare) if spare.len() >= least => spare,
        _ => vec![0; least],
    }
}

fn give(memory: Vec<u8>) {
    if memory.is_empty() {
        return;
    }
    SPARE.with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX_COUNT {
            spare.push(memory);
        }
    });
}
