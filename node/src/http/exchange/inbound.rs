//! The receiving half of a connection: one buffer, lent while there is something in it.

use std::rc::Rc;

use super::pool;
use crate::error::Error;
use crate::limits::TRANSFER_BUFFER_MAX_BYTES;
use crate::net::{Phase, Watch};
use crate::ring::Socket;

/// Wake up for no less than this while a large body streams in.
const LOW_WATER_BYTES: usize = 128 << 10;

/// Received bytes `start..end` of a buffer, and the socket they come from.
pub(super) struct Inbound {
    socket: Rc<Socket>,
    watch: Rc<Watch>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all there was: wait before the next one.
    exhausted: bool,
    low_water: usize,
}

impl Inbound {
    pub(super) fn new(socket: Rc<Socket>, watch: Rc<Watch>, unread: Vec<u8>) -> Self {
        let end = unread.len();
        Self {
            socket,
            watch,
            buffer: unread,
            start: 0,
            end,
            exhausted: true,
            low_water: 1,
        }
    }

    /// What was received and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Waits for the first byte of the next request, holding no buffer. False: the peer is done.
    pub(super) async fn begin(&mut self) -> Result<bool, Error> {
        if self.start < self.end {
            return Ok(true);
        }
        self.release();
        self.more(0).await.map(|n| n > 0)
    }

    /// Waits for more bytes behind those that are there; 0: the peer has finished sending.
    /// `expected`: bytes that are known to follow, 0 if unknown.
    pub(super) async fn more(&mut self, expected: u64) -> Result<usize, Error> {
        loop {
            if self.exhausted {
                self.want(1);
                self.wait().await?;
            }
            self.make_room(expected);
            let Some(room) = self.buffer.get_mut(self.end..) else {
                return Ok(0);
            };
            let room_bytes = room.len();
            let received = self.socket.try_recv(room).map_err(|_| Error::Disconnected)?;
            self.exhausted = received.is_none_or(|n| n < room_bytes);
            match received {
                Some(0) => return self.ended(),
                Some(n) => {
                    self.end += n;
                    self.watch.moved(n);
                    return Ok(n);
                }
                None if self.start == self.end => self.release(),
                None => {}
            }
        }
    }

    /// Receives straight into `dst`, past the buffer, which has to be empty. `remaining`: of the body.
    pub(super) async fn direct(&mut self, dst: &mut [u8], remaining: u64) -> Result<usize, Error> {
        let most = usize::try_from(remaining).unwrap_or(usize::MAX).min(dst.len());
        let Some(dst) = dst.get_mut(..most) else {
            return Ok(0);
        };
        self.release();
        loop {
            if self.exhausted {
                self.want(if most >= LOW_WATER_BYTES {
                    LOW_WATER_BYTES
                } else {
                    1
                });
                self.wait().await?;
            }
            let received = self.socket.try_recv(dst).map_err(|_| Error::Disconnected)?;
            self.exhausted = received.is_none_or(|n| n < most);
            match received {
                Some(0) => return self.ended(),
                Some(n) => {
                    self.watch.moved(n);
                    return Ok(n);
                }
                None => {}
            }
        }
    }

    /// Takes the unread bytes out, for the shard the connection moves to.
    pub(super) fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.bytes().to_vec();
        self.start = self.end;
        self.want(1);
        unread
    }

    /// Gives the buffer back; what is in it is gone.
    fn release(&mut self) {
        if !self.buffer.is_empty() {
            pool::give(std::mem::take(&mut self.buffer));
        }
        (self.start, self.end) = (0, 0);
    }

    fn make_room(&mut self, expected: u64) {
        if self.buffer.is_empty() {
            self.buffer = pool::take();
        } else if self.start == self.end {
            let was_full = self.end == self.buffer.len();
            (self.start, self.end) = (0, 0);
            if was_full && expected > self.buffer.len() as u64 {
                // The peer keeps up: fewer, larger reads.
                self.grow(TRANSFER_BUFFER_MAX_BYTES);
            }
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.grow(usize::MAX);
            }
        }
    }

    fn grow(&mut self, most: usize) {
        let len = self
            .buffer
            .len()
            .saturating_mul(4)
            .min(most)
            .max(self.buffer.len());
        self.buffer.resize(len, 0);
    }

    fn ended(&self) -> Result<usize, Error> {
        match self.watch.expired() {
            Some(expired) if matches!(expired.0, Phase::Head | Phase::Body) => {
                Err(Error::Timeout("the request came in too slowly"))
            }
            Some(_) => Err(Error::Disconnected),
            None => Ok(0),
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        self.watch.readable().await.map_err(|_| Error::Disconnected)
    }

    fn want(&mut self, bytes: usize) {
        if self.low_water != bytes {
            self.low_water = bytes;
            self.socket.set_low_water(bytes);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.release();
    }
}
