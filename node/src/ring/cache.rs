//! Whether a piece of a file is in the page cache, so that `sendfile` will not wait for the disk.
#![allow(unsafe_code, reason = "cachestat(2) has no safe wrapper")]

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{ReadWriteFlags, preadv2};

/// The same on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;
const PAGE_BYTES: u64 = 4096;

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// As in `linux/mman.h`: counts of pages.
#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all of `len` bytes from `offset` are in the page cache.
///
/// On kernels before 6.5 only the first and the last byte are looked at.
#[must_use]
pub fn resident(fd: BorrowedFd<'_>, offset: u64, len: u64) -> bool {
    if len == 0 {
        return true;
    }
    let pages = (offset + len).div_ceil(PAGE_BYTES) - offset / PAGE_BYTES;
    match cached_pages(fd, offset, len) {
        Some(cached) => cached >= pages,
        None => byte_is_cached(fd, offset) && byte_is_cached(fd, offset + len - 1),
    }
}

fn cached_pages(fd: BorrowedFd<'_>, offset: u64, len: u64) -> Option<u64> {
    let range = Range { offset, len };
    let mut counts = Counts::default();
    // SAFETY: both structures have the kernel's layout and outlive the call.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            fd.as_raw_fd(),
            &raw const range,
            &raw mut counts,
            0,
        )
    };
    (result == 0).then_some(counts.cached)
}

fn byte_is_cached(fd: BorrowedFd<'_>, offset: u64) -> bool {
    let mut byte = [0];
    preadv2(
        fd,
        &mut [IoSliceMut::new(&mut byte)],
        offset,
        ReadWriteFlags::NOWAIT,
    )
    .is_ok()
}
