//! The one socket option the safe wrappers lack.
#![allow(unsafe_code, reason = "setsockopt has no safe wrapper for SO_RCVLOWAT")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets `SO_RCVLOWAT`. It only saves wake-ups, so that a refusal is no error.
pub(super) fn set_receive_low_water(fd: BorrowedFd<'_>, bytes: usize) {
    let value = libc::c_int::try_from(bytes.max(1)).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}
