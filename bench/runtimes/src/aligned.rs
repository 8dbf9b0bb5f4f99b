//! Aligned memory for the runtimes that bring none of their own.

use std::mem::MaybeUninit;

use crate::limits::BLOCK_BYTES;
use crate::runtime::Buffer;

/// A block, which decides the alignment.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Initialised memory, and the part of it that the next transfer is about.
pub(crate) struct Aligned {
    blocks: Box<[Block]>,
    from: usize,
    to: usize,
}

impl Aligned {
    /// Zeroes, in whole blocks.
    pub(crate) fn new(bytes: usize) -> Self {
        let blocks = vec![Block([0; BLOCK_BYTES]); bytes.div_ceil(BLOCK_BYTES)];
        Self {
            blocks: blocks.into(),
            from: 0,
            to: 0,
        }
    }

    /// Chooses the part for the next transfer.
    pub(crate) fn part(mut self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.blocks.len() * BLOCK_BYTES);
        (self.from, self.to) = (from, to);
        self
    }

    /// That part.
    pub(crate) fn chosen(&self) -> &[u8] {
        let at: *const u8 = self.blocks.as_ptr().cast();
        // SAFETY: `part` keeps it within the blocks, which are initialised bytes without padding.
        unsafe { std::slice::from_raw_parts(at.add(self.from), self.to - self.from) }
    }

    /// That part, to be changed.
    pub(crate) fn chosen_mut(&mut self) -> &mut [u8] {
        let (from, to) = (self.from, self.to);
        &mut self.bytes()[from..to]
    }
}

impl Buffer for Aligned {
    fn bytes(&mut self) -> &mut [u8] {
        let length = self.blocks.len() * BLOCK_BYTES;
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), length) }
    }
}

// SAFETY: the blocks are on the heap and stay where they are; the part is initialised.
unsafe impl monoio::buf::IoBuf for Aligned {
    fn read_ptr(&self) -> *const u8 {
        self.chosen().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.to - self.from
    }
}

// SAFETY: as above; all of the part may be written.
unsafe impl monoio::buf::IoBufMut for Aligned {
    fn write_ptr(&mut self) -> *mut u8 {
        self.chosen_mut().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.to - self.from
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

impl compio::buf::IoBuf for Aligned {
    fn as_init(&self) -> &[u8] {
        self.chosen()
    }
}

impl compio::buf::SetLen for Aligned {
    unsafe fn set_len(&mut self, _: usize) {}
}

impl compio::buf::IoBufMut for Aligned {
    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        let part = self.chosen_mut();
        // SAFETY: the same memory; runtimes only write bytes to it.
        unsafe { std::slice::from_raw_parts_mut(part.as_mut_ptr().cast(), part.len()) }
    }
}
