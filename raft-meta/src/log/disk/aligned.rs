//! Memory for `O_DIRECT`.

use std::ops::{Deref, DerefMut};

use filegrid_journal::BLOCK_BYTES;

/// Bytes that begin on a block boundary in memory.
///
/// # Layout
///
/// A vector with room for one block more than is used; the bytes begin at its first boundary.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// Zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        let mut new = Self::default();
        new.make_room(length);
        new.length = length;
        new
    }

    /// Drops the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Drops the bytes from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.make_room(end);
        let from = self.start + self.length;
        if let Some(to) = self.memory.get_mut(from..from + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.length = end;
    }

    /// Appends zeros up to a multiple of `step`.
    pub fn pad(&mut self, step: usize) {
        const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
        let mut missing = self.length.next_multiple_of(step) - self.length;
        while missing > 0 {
            let some = missing.min(BLOCK_BYTES);
            self.extend(ZEROS.get(..some).unwrap_or_default());
            missing -= some;
        }
    }

    fn make_room(&mut self, length: usize) {
        if self.start + length <= self.memory.len() {
            return;
        }
        let mut memory = vec![0; length.next_power_of_two().max(BLOCK_BYTES) + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        if let Some(to) = memory.get_mut(start..start + self.length) {
            to.copy_from_slice(self);
        }
        self.memory = memory;
        self.start = start;
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory
            .get_mut(self.start..self.start + self.length)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_on_a_boundary_while_they_grow() {
        let mut bytes = Aligned::default();
        let mut expected = Vec::new();
        for step in 0..200_u8 {
            bytes.extend(&[step; 97]);
            expected.extend_from_slice(&[step; 97]);
            assert_eq!(bytes.as_ptr().addr() % BLOCK_BYTES, 0);
        }
        bytes.pad(BLOCK_BYTES);
        expected.resize(expected.len().next_multiple_of(BLOCK_BYTES), 0);
        assert_eq!(&bytes[..], expected);
        bytes.clear();
        bytes.extend(b"new");
        bytes.pad(8);
        assert_eq!(&bytes[..], b"new\0\0\0\0\0");
    }
}
