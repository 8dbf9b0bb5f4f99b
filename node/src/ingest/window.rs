//! The bytes of a body that are at hand.

use super::part::OpenPart;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{BLOCK_BYTES, INLINE_MAX_BYTES, TRANSFER_BUFFER_MAX_BYTES};
use crate::ring::AlignedBuf;

/// First window: a small upload fits.
const SMALL_BYTES: usize = 16 << 10;
/// Window of a transfer that has not shown that it is fast: what stays inline, and a block for what follows.
const MIDDLE_BYTES: usize = INLINE_MAX_BYTES + BLOCK_BYTES;
/// Window of a fast transfer.
const LARGE_BYTES: usize = TRANSFER_BUFFER_MAX_BYTES + BLOCK_BYTES;

/// A buffer that the body is received into. In front of `at` lie the bytes of a large part that are not written
/// yet, from the buffer's start; behind it what has not been looked at.
pub(super) struct Window {
    buffer: AlignedBuf,
    at: usize,
    /// Bytes received in all.
    received: u64,
    /// A written buffer, for reuse: fresh memory costs a page fault every 4 KiB.
    spare: Option<AlignedBuf>,
}

impl Window {
    pub(super) fn new(expected: Option<u64>) -> Self {
        let bytes = match expected {
            Some(length) if length <= SMALL_BYTES as u64 => SMALL_BYTES,
            _ => MIDDLE_BYTES,
        };
        Self {
            buffer: AlignedBuf::with_capacity(bytes),
            at: 0,
            received: 0,
            spare: None,
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

    /// Puts `front` before what has not been looked at, as payload that waits to be written.
    pub(super) fn keep(&mut self, front: &[u8]) {
        let rest = self.rest().to_vec();
        let mut buffer =
            AlignedBuf::with_capacity((front.len() + rest.len()).max(MIDDLE_BYTES) + BLOCK_BYTES);
        buffer.append(front);
        buffer.append(&rest);
        self.at = front.len();
        self.buffer = buffer;
    }

    /// Takes the first `bytes` out as a buffer of their own; what follows moves to the front of a new one.
    pub(super) fn split_off(&mut self, bytes: usize) -> AlignedBuf {
        let wanted = self.capacity_wanted();
        let mut next = match self.spare.take() {
            Some(spare) if spare.capacity() >= wanted => spare,
            _ => AlignedBuf::with_capacity(wanted),
        };
        next.clear();
        next.append(self.buffer.get(bytes..).unwrap_or_default());
        let mut front = std::mem::replace(&mut self.buffer, next);
        front.truncate(bytes);
        self.at -= bytes.min(self.at);
        front
    }

    /// Gives a written buffer back.
    pub(super) fn give_back(&mut self, buffer: AlignedBuf) {
        self.spare = Some(buffer);
    }

    /// Receives more; `false` at the end of the body. Payload of a large part is written first when there is no
    /// room.
    pub(super) async fn receive(
        &mut self,
        exchange: &mut Exchange,
        part: Option<&mut OpenPart>,
    ) -> Result<bool, Error> {
        if let Some(part) = part.filter(|part| part.is_large()) {
            if self.buffer.capacity() - self.buffer.len() < BLOCK_BYTES {
                part.write(self).await?;
            }
        } else if self.at > 0 {
            let rest = self.buffer.len() - self.at;
            self.buffer.copy_within(self.at.., 0);
            self.buffer.truncate(rest);
            self.at = 0;
        }
        if self.buffer.capacity() == self.buffer.len() {
            // Only the head of a part can fill a window that is all unread, and heads are bounded.
            let mut larger = AlignedBuf::with_capacity(2 * self.buffer.capacity());
            larger.append(&self.buffer);
            self.buffer = larger;
        }
        let read = exchange.read_into(self.buffer.spare_mut()).await?;
        self.buffer.advance(read);
        self.received += read as u64;
        Ok(read > 0)
    }

    fn capacity_wanted(&self) -> usize {
        if self.received >= TRANSFER_BUFFER_MAX_BYTES as u64 {
            LARGE_BYTES
        } else {
            MIDDLE_BYTES
        }
    }
}
