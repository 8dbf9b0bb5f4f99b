//! The receiving half of a connection: one buffer, lent while there is something in it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::pool;
use super::stream::Stream;
use super::watch::{Phase, Watch};
use crate::error::Error;
use crate::limits::{CONNECTION_BUFFER_BYTES, TRANSFER_BUFFER_MAX_BYTES};

/// Wake up for no less than this while a large body streams in.
const LOW_WATER_BYTES: usize = 128 << 10;
/// When to look whether a large body has ended, where its end is a few bytes that nobody has announced.
const END_AFTER: Duration = Duration::from_millis(5);

/// Received bytes `start..end` of a buffer, and the connection they come from.
pub struct Inbound {
    stream: Rc<Stream>,
    watch: Rc<Watch>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all there was: wait before the next one.
    exhausted: bool,
    /// The last wait was given up.
    quiet: bool,
    low_water: usize,
    cut_off: bool,
}

impl Inbound {
    /// `unread`: bytes that were received elsewhere.
    #[must_use]
    pub fn new(stream: Rc<Stream>, watch: Rc<Watch>, unread: Vec<u8>) -> Self {
        let end = unread.len();
        // Behind a handshake there may be records already that the socket will not wake anybody for.
        let exhausted = !stream.is_tls();
        Self {
            stream,
            watch,
            buffer: unread,
            start: 0,
            end,
            exhausted,
            quiet: false,
            low_water: 1,
            cut_off: false,
        }
    }

    /// Whether a TLS peer went without saying so, which nobody can tell from a connection that was cut between two
    /// records.
    #[must_use]
    pub fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// What was received and not consumed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `n` of them.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Gives the buffer back, if there is nothing in it.
    pub fn rest(&mut self) {
        if self.start == self.end {
            self.release();
        }
    }

    /// Waits for the first byte of the next request, holding no buffer. False: the peer is done.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn begin(&mut self) -> Result<bool, Error> {
        if self.start < self.end {
            return Ok(true);
        }
        self.release();
        self.more(0).await.map(|n| n > 0)
    }

    /// Waits for more bytes behind those that are there; 0: the peer has finished sending.
    /// `expected`: bytes that are known to follow, 0 if unknown.
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow.
    pub async fn more(&mut self, expected: u64) -> Result<usize, Error> {
        loop {
            if let Some(n) = self.more_soon(expected).await? {
                return Ok(n);
            }
        }
    }

    /// As [`Inbound::more`]; `None`: the peer has sent nothing for a moment.
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow.
    pub async fn more_soon(&mut self, expected: u64) -> Result<Option<usize>, Error> {
        loop {
            if self.exhausted && !self.wait(1).await? {
                self.shrink();
                return Ok(None);
            }
            self.make_room(expected);
            let Some(room) = self.buffer.get_mut(self.end..) else {
                return Ok(Some(0));
            };
            let room_bytes = room.len();
            let received = match self.stream.try_recv(room) {
                Ok(received) => received,
                Err(error) => return Err(self.broken(&error)),
            };
            self.exhausted = received.is_none_or(|n| n < room_bytes) && !self.stream.is_closed();
            match received {
                Some(0) => return self.ended().map(Some),
                Some(n) => {
                    self.end += n;
                    self.watch.moved(n).await;
                    return Ok(Some(n));
                }
                None if self.start == self.end => self.release(),
                None => {}
            }
        }
    }

    /// Receives straight into `dst`, past the buffer, which has to be empty; 0: the peer has finished sending, `None`:
    /// it has sent nothing for a moment. `remaining`: of the body, or `u64::MAX` if it ends with the connection.
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow.
    pub async fn direct(&mut self, dst: &mut [u8], remaining: u64) -> Result<Option<usize>, Error> {
        let most = usize::try_from(remaining).unwrap_or(usize::MAX).min(dst.len());
        let Some(dst) = dst.get_mut(..most) else {
            return Ok(Some(0));
        };
        self.release();
        loop {
            let large = most >= LOW_WATER_BYTES + self.stream.unopened();
            let worth_waking = if large { LOW_WATER_BYTES } else { 1 };
            // The last word of TLS is too little to wake us.
            let ends_unseen = large && remaining == u64::MAX && self.stream.is_tls();
            if self.exhausted && !self.quiet && ends_unseen {
                self.want(worth_waking);
                let came = self.watch.readable_within(END_AFTER).await;
                if !came.map_err(|_| Error::Disconnected)? {
                    self.be_quiet();
                    continue;
                }
            } else if self.exhausted && !self.wait(worth_waking).await? {
                return Ok(None);
            }
            let received = match self.stream.try_recv(dst) {
                Ok(received) => received,
                Err(error) => return Err(self.broken(&error)),
            };
            self.exhausted = received.is_none_or(|n| n < most) && !self.stream.is_closed();
            match received {
                Some(0) => return self.ended().map(Some),
                Some(n) => {
                    self.watch.moved(n).await;
                    return Ok(Some(n));
                }
                None => {}
            }
        }
    }

    /// Takes the unread bytes out, for the shard the connection moves to.
    #[must_use]
    pub fn take_unread(&mut self) -> Vec<u8> {
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
        self.too_slow().map_or(Ok(0), Err)
    }

    fn broken(&mut self, error: &io::Error) -> Error {
        self.cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
        self.too_slow().unwrap_or(Error::Disconnected)
    }

    /// The error of a peer whose time was up: the sweeper has ended the connection then.
    fn too_slow(&self) -> Option<Error> {
        Some(match self.watch.expired()?.0 {
            Phase::Head | Phase::Body | Phase::Login | Phase::Command => {
                Error::Timeout("the request came in too slowly")
            }
            _ => Error::Disconnected,
        })
    }

    /// Gives a grown buffer back for a small one, if what is in it fits.
    fn shrink(&mut self) {
        let held = self.end - self.start;
        if self.buffer.len() > CONNECTION_BUFFER_BYTES && held < CONNECTION_BUFFER_BYTES {
            let mut small = pool::take();
            if let (Some(to), Some(from)) = (small.get_mut(..held), self.buffer.get(self.start..self.end)) {
                to.copy_from_slice(from);
            }
            self.buffer = small;
            (self.start, self.end) = (0, held);
        }
    }

    /// Waits until so many bytes are there. False: the peer was quiet for a moment; any byte ends the next wait,
    /// which may be a long one.
    async fn wait(&mut self, bytes: usize) -> Result<bool, Error> {
        let came = if self.quiet {
            self.watch.readable().await.map(|()| true)
        } else {
            self.want(bytes);
            self.watch.readable_soon().await
        };
        let came = came.map_err(|_| Error::Disconnected)?;
        self.quiet = false;
        if !came {
            self.be_quiet();
        }
        Ok(came)
    }

    /// The peer is quiet: any byte ends the next wait.
    fn be_quiet(&mut self) {
        self.quiet = true;
        self.want(1);
    }

    fn want(&mut self, bytes: usize) {
        if self.low_water != bytes {
            self.low_water = bytes;
            self.stream.socket().set_low_water(bytes);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.release();
    }
}
