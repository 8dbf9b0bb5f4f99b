//! Memory for `O_DIRECT`.
#![allow(
    unsafe_code,
    reason = "aligned memory comes from the raw allocator; the runtime's buffer traits are unsafe"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::limits::{BLOCK_BYTES, SPARE_BUFFERS_MAX_BYTES, SPARE_BUFFERS_MAX_COUNT};

/// Memory of this size and above is mapped by itself: what was not yet touched costs nothing, and what is given up goes
/// back at once, where the allocator would keep it for this size.
const MAPPED_MIN_BYTES: usize = 64 << 10;

/// A byte vector of fixed capacity, aligned to [`BLOCK_BYTES`]. All its memory is initialised, always.
///
/// Memory that is given up serves the next buffer of that capacity on its thread: fresh memory costs zeroing and a
/// page fault every 4 KiB, more than receiving a small file.
pub struct AlignedBuf {
    memory: Memory,
    len: usize,
}

/// Initialised memory of a capacity that is a multiple of [`BLOCK_BYTES`]; none for capacity 0.
struct Memory {
    at: NonNull<u8>,
    capacity: usize,
}

// SAFETY: it owns its memory as a `Vec<u8>` does; nothing is shared.
unsafe impl Send for Memory {}

impl Memory {
    fn fresh(capacity: usize) -> Self {
        let layout = layout(capacity);
        let at = if capacity >= MAPPED_MIN_BYTES {
            // SAFETY: a new mapping, which replaces none.
            let at = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    capacity,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            if at == libc::MAP_FAILED {
                std::ptr::null_mut()
            } else {
                at.cast()
            }
        } else {
            // SAFETY: the size is not zero.
            unsafe { alloc_zeroed(layout) }
        };
        let Some(at) = NonNull::new(at) else {
            handle_alloc_error(layout)
        };
        Self { at, capacity }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let at = self.at.as_ptr();
        if self.capacity >= MAPPED_MIN_BYTES {
            // SAFETY: mapped with this very length.
            unsafe { libc::munmap(at.cast(), self.capacity) };
        } else if self.capacity > 0 {
            // SAFETY: allocated with this very layout.
            unsafe { dealloc(at, layout(self.capacity)) }
        }
    }
}

/// Memory of this thread that waits for its next use.
#[derive(Default)]
struct Spare {
    memory: Vec<Memory>,
    bytes: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

impl Spare {
    fn take(&mut self, capacity: usize) -> Option<Memory> {
        // The one given up last is most likely still in the cache of the core.
        let found = self
            .memory
            .iter()
            .rposition(|memory| memory.capacity == capacity)?;
        self.bytes -= capacity;
        Some(self.memory.remove(found))
    }

    /// Keeps memory; what has waited longest makes room, as sizes that nobody asks for would stay for ever.
    fn give(&mut self, memory: Memory) {
        if memory.capacity > SPARE_BUFFERS_MAX_BYTES {
            return;
        }
        self.bytes += memory.capacity;
        self.memory.push(memory);
        while self.memory.len() > SPARE_BUFFERS_MAX_COUNT || self.bytes > SPARE_BUFFERS_MAX_BYTES {
            self.bytes -= self.memory.remove(0).capacity;
        }
    }
}

impl AlignedBuf {
    /// An empty buffer for `capacity` bytes, rounded up to whole blocks, at least one.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1).next_multiple_of(BLOCK_BYTES);
        let spare = SPARE.try_with(|spare| spare.borrow_mut().take(capacity));
        Self {
            memory: spare.ok().flatten().unwrap_or_else(|| Memory::fresh(capacity)),
            len: 0,
        }
    }

    /// Bytes in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most bytes it can hold, a multiple of [`BLOCK_BYTES`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.capacity
    }

    /// Makes `len` bytes be in use (at most the capacity); new ones are zero.
    pub fn resize_zeroed(&mut self, len: usize) {
        let len = len.min(self.memory.capacity);
        let old = self.len;
        if let Some(new) = self.full_mut().get_mut(old..len) {
            new.fill(0);
        }
        self.len = len;
    }

    /// Makes `len` bytes be in use (at most the capacity), which the caller overwrites: new ones are whatever was there
    /// before.
    pub fn resize_to_fill(&mut self, len: usize) {
        self.len = len.min(self.memory.capacity);
    }

    /// Drops the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// No byte is in use afterwards.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// All memory, in use or not (then with whatever was there before).
    pub fn full_mut(&mut self) -> &mut [u8] {
        // SAFETY: the memory is ours, `capacity` bytes long and initialised since it was allocated.
        unsafe { std::slice::from_raw_parts_mut(self.memory.at.as_ptr(), self.memory.capacity) }
    }

    /// The memory behind the bytes in use; say with [`AlignedBuf::advance`] how much was filled.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.full_mut().get_mut(len..).unwrap_or_default()
    }

    /// Takes `n` more bytes of the spare memory in use, at most all.
    pub fn advance(&mut self, n: usize) {
        self.len = self.len.saturating_add(n).min(self.memory.capacity);
    }

    /// Appends as much of `bytes` as fits; returns how much.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.memory.capacity - self.len);
        let (spare, bytes) = (self.spare_mut().get_mut(..n), bytes.get(..n));
        if let (Some(spare), Some(bytes)) = (spare, bytes) {
            spare.copy_from_slice(bytes);
        }
        self.len += n;
        n
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` never exceeds `capacity`, and all of it is initialised.
        unsafe { std::slice::from_raw_parts(self.memory.at.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.at.as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        let none = Memory {
            at: NonNull::dangling(),
            capacity: 0,
        };
        let memory = std::mem::replace(&mut self.memory, none);
        // A thread that ends has no spare memory any more.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().give(memory));
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} of {})", self.len, self.memory.capacity)
    }
}

// SAFETY: the memory is on the heap and does not move with the value; `len` bytes are initialised.
unsafe impl monoio::buf::IoBuf for AlignedBuf {
    fn read_ptr(&self) -> *const u8 {
        self.memory.at.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; the ring writes into the bytes in use only, and their number stays what it is.
unsafe impl monoio::buf::IoBufMut for AlignedBuf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.memory.at.as_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.len
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

fn layout(capacity: usize) -> Layout {
    // A capacity that overflows when rounded is no request a caller with bounded buffers can make.
    Layout::from_size_align(capacity, BLOCK_BYTES).unwrap_or(Layout::new::<[u8; BLOCK_BYTES]>())
}
