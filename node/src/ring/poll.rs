//! A descriptor that is only waited for; data moves by plain system calls.
#![allow(unsafe_code, reason = "the runtime hands out raw descriptors")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use monoio::net::TcpStream;

/// A non-blocking descriptor of any kind that can be polled.
pub(super) struct Pollable(TcpStream);

impl Pollable {
    /// Wraps a descriptor, which has to be non-blocking.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        // The stream is a carrier: of its operations only the polls are used, and they suit any descriptor.
        TcpStream::from_std(fd.into()).map(Self)
    }

    /// Waits until reading makes progress (data, end or error).
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable(false).await
    }

    /// Waits until writing makes progress (room or error).
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.0.writable(false).await
    }
}

impl AsFd for Pollable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and closes it no earlier than its drop; the result borrows `self`.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
