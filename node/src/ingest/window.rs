//! The bytes of a body that are at hand.

use std::time::{Duration, Instant};

use super::part::OpenPart;
use crate::clock;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{BLOCK_BYTES, TRANSFER_BUFFER_MAX_BYTES, TRANSFER_BUFFER_MIN_BYTES};
use crate::ring::AlignedBuf;

/// Window of a body that fits, and of a transfer that is slow.
const TINY_BYTES: usize = 16 << 10;
/// Window of a transfer that has yet to show how fast it is.
const FIRST_BYTES: usize = TRANSFER_BUFFER_MIN_BYTES + BLOCK_BYTES;
/// Window of a transfer that keeps up.
const FAST_BYTES: usize = TRANSFER_BUFFER_MAX_BYTES + BLOCK_BYTES;
/// Bytes after which a transfer can be known to keep up: before, they may have been waiting in the network.
const FAST_AFTER_BYTES: u64 = 1 << 20;
/// All sizes: few, so that memory given up by one window serves the next.
const SIZES: [usize; 3] = [TINY_BYTES, FIRST_BYTES, FAST_BYTES];
/// A window that is full within this time is followed by a larger one.
const GROW_WITHIN: Duration = Duration::from_millis(100);
/// A window that is not full by then gives its memory up: 2 MiB a second keep the largest.
const SHRINK_AFTER: Duration = Duration::from_millis(500);

/// A buffer that the body is received into. In front of `at` lie the bytes of a large part that are not written
/// yet, from the buffer's start; behind it what has not been looked at.
pub(super) struct Window {
    buffer: AlignedBuf,
    at: usize,
    /// Bytes of the body so far.
    received: u64,
    /// Bytes that are still to come, at most.
    remaining: u64,
    /// When it began to fill.
    since: Instant,
    /// The peer has sent nothing for a moment.
    quiet: bool,
}

impl Window {
    pub(super) fn new(expected: Option<u64>) -> Self {
        let remaining = expected.unwrap_or(u64::MAX);
        let bytes = if remaining <= TINY_BYTES as u64 {
            TINY_BYTES
        } else {
            FIRST_BYTES
        };
        Self {
            buffer: AlignedBuf::with_capacity(bytes),
            at: 0,
            received: 0,
            remaining,
            since: clock::monotonic(),
            quiet: false,
        }
    }

    /// What has not been looked at.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.buffer.len());
    }

    /// Passes over payload and hands it out.
    pub(super) fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.at;
        self.skip(bytes);
        self.buffer.get(from..self.at).unwrap_or_default()
    }

    /// Bytes in front of what has not been looked at.
    pub(super) fn kept(&self) -> usize {
        self.at
    }

    /// Takes the first `bytes` out as a buffer of their own; what follows moves to the front of a new one.
    pub(super) fn split_off(&mut self, bytes: usize) -> AlignedBuf {
        let rest = self.buffer.get(bytes..).unwrap_or_default();
        let all = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let needed = rest.len() + BLOCK_BYTES;
        let mut next = buffer_for(self.next_capacity().min(all.saturating_add(needed)).max(needed));
        next.append(rest);
        let mut front = std::mem::replace(&mut self.buffer, next);
        front.truncate(bytes);
        self.at -= bytes.min(self.at);
        self.since = clock::monotonic();
        front
    }

    /// Receives more; `false` at the end of the body. Payload of a large part is written first when there is no
    /// room, or when the transfer is no longer fast: its memory is better used elsewhere.
    pub(super) async fn receive(
        &mut self,
        exchange: &mut Exchange,
        part: Option<&mut OpenPart>,
    ) -> Result<bool, Error> {
        let mut large = part.filter(|part| part.is_large());
        loop {
            match large.as_deref_mut() {
                Some(part) if self.is_full() || self.is_slow() => part.write(self).await?,
                Some(_) => {}
                None => self.drop_seen(),
            }
            if self.is_slow() {
                self.resize(TINY_BYTES);
            } else if self.buffer.capacity() == self.buffer.len() {
                // Only the head of a part can fill a window that is all unread, and heads are bounded.
                self.resize(2 * self.buffer.capacity());
            }
            let read = exchange.read_into(self.buffer.spare_mut()).await?;
            self.quiet = read.is_none();
            if let Some(read) = read {
                self.buffer.advance(read);
                self.received += read as u64;
                self.remaining = self.remaining.saturating_sub(read as u64);
                return Ok(read > 0);
            }
        }
    }

    /// Drops what was looked at, all of which is stored elsewhere.
    pub(super) fn drop_seen(&mut self) {
        if self.at > 0 {
            let rest = self.buffer.len() - self.at;
            self.buffer.copy_within(self.at.., 0);
            self.buffer.truncate(rest);
            self.at = 0;
        }
    }

    /// Moves everything to a buffer of another size.
    fn resize(&mut self, bytes: usize) {
        let mut other = buffer_for(bytes.max(self.buffer.len() + BLOCK_BYTES));
        other.append(&self.buffer);
        self.buffer = other;
        self.since = clock::monotonic();
    }

    fn is_full(&self) -> bool {
        self.buffer.capacity() - self.buffer.len() < BLOCK_BYTES
    }

    /// Whether it holds more memory than the speed of the transfer is worth.
    fn is_slow(&self) -> bool {
        self.buffer.capacity() > TINY_BYTES && self.lags()
    }

    /// Whether it takes too long to fill.
    fn lags(&self) -> bool {
        self.quiet || clock::monotonic() - self.since > SHRINK_AFTER
    }

    /// Size of the window after this one, by how fast this one has filled.
    fn next_capacity(&self) -> usize {
        let capacity = self.buffer.capacity();
        let fast = self.is_full() && clock::monotonic() - self.since < GROW_WITHIN;
        match (self.lags(), fast) {
            (true, _) => TINY_BYTES,
            (false, true) if self.received >= FAST_AFTER_BYTES => FAST_BYTES,
            (false, true) => capacity.max(FIRST_BYTES),
            (false, false) => capacity,
        }
    }
}

/// An empty buffer of the smallest size that holds so much.
fn buffer_for(bytes: usize) -> AlignedBuf {
    let size = SIZES.into_iter().find(|size| *size >= bytes);
    AlignedBuf::with_capacity(size.unwrap_or(bytes))
}
