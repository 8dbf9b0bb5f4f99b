//! One request being answered on one connection.

mod body;
mod response;
mod serve;
mod target;
mod wire;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

pub use response::ResponseHead;
pub use serve::{Service, Shard, TOO_MANY, next_preamble, resume, serve_plain, serve_relayed, serve_tls};
pub use wire::{ChunkStep, Chunks, Framing, ReplyHead, RequestHead, parse as parse_head};

use crate::error::Error;
use crate::limits::UNREAD_BODY_MAX_BYTES;
use crate::metrics::Via;
use crate::net::{Inbound, Outbound, Phase, Stream, Watch};
use crate::send::Sink;
use body::Body;
use serve::Origin;

/// Length of a reply's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly this many bytes follow.
    Exact(u64),
    /// Unknown beforehand: chunked for HTTP/1.1, up to the close of the connection for HTTP/1.0.
    Chunked,
}

/// A reply that is at hand as a whole.
pub struct Reply {
    /// Status and fields; `Content-Length` is added.
    pub head: ReplyHead,
    /// The body, left away for `HEAD`.
    pub body: Cow<'static, [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unstarted,
    /// Bytes of the body still owed.
    Exact(u64),
    Chunked,
    UntilClose,
    Done,
}

/// One request being answered on one connection.
pub struct Exchange {
    stream: Rc<Stream>,
    watch: Rc<Watch>,
    inbound: Inbound,
    outbound: Outbound,
    head: RequestHead,
    body: Body,
    state: State,
    keep: bool,
    preferred: Option<usize>,
    status: Option<u16>,
    /// Where the client came to, if that was another node.
    origin: Option<Origin>,
}

impl Exchange {
    /// The request.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Address of the client.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.origin
            .as_ref()
            .map_or_else(|| self.stream.peer(), |origin| origin.peer)
    }

    /// How the client came in.
    #[must_use]
    pub fn via(&self) -> Via {
        match &self.origin {
            Some(origin) => origin.via,
            None if self.stream.is_tls() => Via::Https,
            None => Via::Http,
        }
    }

    /// Whether another node has passed the request on.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.origin.is_some()
    }

    /// Status of the reply; `None` before it has begun.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether a reply has begun, so that an error can no longer be told.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.state != State::Unstarted
    }

    /// Bytes of the body not yet read; `None`: chunked, so unknown.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// Whether the client waits to be told that its body will be taken.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.head.expects_continue() && !self.body.is_touched()
    }

    /// Closes the connection after this reply.
    pub fn close_after(&mut self) {
        self.keep = false;
    }

    /// Says that this request would have been cheaper on another shard.
    pub fn prefer_shard(&mut self, shard: usize) {
        self.preferred = Some(shard);
    }

    /// The whole body.
    ///
    /// # Errors
    /// It is longer than `max` bytes, malformed, too slow, or the peer is gone.
    pub async fn body_bytes(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        let too_large = || Error::TooLarge(format!("the body is longer than {max} bytes"));
        if self.body.remaining().is_some_and(|len| len > max as u64) {
            return Err(too_large());
        }
        let mut all = Vec::new();
        loop {
            let bytes = self.fill().await?;
            let n = bytes.len();
            if n == 0 {
                return Ok(all);
            }
            if n > max - all.len() {
                return Err(too_large());
            }
            all.extend_from_slice(bytes);
            self.consume(n);
        }
    }

    /// Body bytes at hand, decoded; empty at the end of the body. `100 Continue` goes out first if expected.
    ///
    /// # Errors
    /// The body is malformed, too slow, or the peer is gone.
    pub async fn fill(&mut self) -> Result<&[u8], Error> {
        self.touch().await?;
        let n = self.body.fill(&mut self.inbound).await?;
        Ok(self.inbound.bytes().get(..n).unwrap_or_default())
    }

    /// Drops the first `n` of the bytes [`Exchange::fill`] gave.
    pub fn consume(&mut self, n: usize) {
        self.body.consume(&mut self.inbound, n);
    }

    /// Reads body bytes into `dst`, straight from the socket where possible; 0 at the end of the body. `None`: the
    /// client has sent nothing for a moment, so that memory held for it is better given back meanwhile.
    ///
    /// # Errors
    /// As for [`Exchange::fill`].
    pub async fn read_into(&mut self, dst: &mut [u8]) -> Result<Option<usize>, Error> {
        self.touch().await?;
        self.body.read_into(&mut self.inbound, dst).await
    }

    /// Answers with a reply that is at hand as a whole, in one write.
    ///
    /// # Errors
    /// The peer is gone or too slow, or a reply has begun before.
    pub async fn reply(&mut self, reply: Reply) -> Result<(), Error> {
        let Reply { head, body } = reply;
        self.start(head, BodyLength::Exact(body.len() as u64)).await?;
        if self.state != State::Done {
            self.write(&body).await?;
        }
        self.finish().await
    }

    /// Begins a reply whose body follows piece by piece. The head is held back for the first piece.
    ///
    /// # Errors
    /// A reply has begun before.
    pub async fn start(&mut self, head: ReplyHead, length: BodyLength) -> Result<(), Error> {
        if self.is_started() {
            return Err(Error::Internal("a second reply to one request".into()));
        }
        self.status = Some(head.status());
        self.settle_unread_body();
        self.watch.enter(Phase::Reply);
        self.state = match length {
            BodyLength::Exact(len) => State::Exact(len),
            BodyLength::Chunked if self.head.is_http11() => State::Chunked,
            BodyLength::Chunked => State::UntilClose,
        };
        self.keep &= self.state != State::UntilClose;
        let chunked = self.state == State::Chunked;
        let exact = if let BodyLength::Exact(len) = length {
            Some(len)
        } else {
            None
        };
        head.write(
            self.outbound.held(),
            exact,
            chunked,
            self.keep,
            self.head.is_http11(),
        );
        if self.head.is_head() || head.has_no_body() {
            self.state = State::Done;
        }
        Ok(())
    }

    /// Sends the next bytes of the body.
    ///
    /// # Errors
    /// The peer is gone or too slow, or more is sent than was promised.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() || self.state == State::Done {
            return Ok(());
        }
        self.promise(bytes.len() as u64)?;
        if self.state == State::Chunked {
            wire::chunk_size(self.outbound.held(), bytes.len() as u64);
            return self.outbound.send(bytes, b"\r\n").await;
        }
        self.outbound.send(bytes, b"").await
    }

    /// Sends `len` bytes of a file from `offset` as the next bytes of the body, without copying them.
    ///
    /// # Errors
    /// As for [`Exchange::write`], or the file is shorter.
    pub async fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<(), Error> {
        if len == 0 || self.state == State::Done {
            return Ok(());
        }
        self.promise(len)?;
        if self.state == State::Chunked {
            wire::chunk_size(self.outbound.held(), len);
        }
        self.outbound.send_file(file, offset, len).await?;
        if self.state == State::Chunked {
            self.outbound.held().extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Ends the reply; everything held back is sent.
    ///
    /// # Errors
    /// The peer is gone or too slow, or less was sent than was promised.
    pub async fn finish(&mut self) -> Result<(), Error> {
        let last: &[u8] = match self.state {
            State::Unstarted => return Err(Error::Internal("a reply was finished that never began".into())),
            State::Exact(owed) if owed > 0 => return Err(Error::Internal(format!("{owed} bytes are owed"))),
            State::Chunked => b"0\r\n\r\n",
            _ => b"",
        };
        self.state = State::Done;
        self.outbound.send(last, b"").await
    }

    async fn touch(&mut self) -> Result<(), Error> {
        if self.body.is_touched() {
            return Ok(());
        }
        self.body.touch();
        self.watch.enter(Phase::Body);
        let awaited = self.head.expects_continue() && self.inbound.bytes().is_empty() && !self.is_started();
        if awaited && self.body.remaining() != Some(0) {
            self.outbound.send(b"HTTP/1.1 100 Continue\r\n\r\n", b"").await?;
        }
        Ok(())
    }

    /// Decides whether the connection can be kept, given what of the body is still to come.
    fn settle_unread_body(&mut self) {
        let not_asked_for = self.is_awaited();
        let small = self
            .body
            .remaining()
            .is_some_and(|len| len <= UNREAD_BODY_MAX_BYTES);
        let done = self.body.remaining() == Some(0);
        self.keep &= done || (small && !not_asked_for);
        self.keep &= self.watch.expired().is_none();
    }

    fn promise(&mut self, bytes: u64) -> Result<(), Error> {
        if let State::Exact(owed) = &mut self.state {
            *owed = owed
                .checked_sub(bytes)
                .ok_or_else(|| Error::Internal("more bytes than promised".into()))?;
        }
        Ok(())
    }
}

impl Sink for Exchange {
    fn via(&self) -> Option<Via> {
        Some(Self::via(self))
    }

    fn takes_files(&self) -> bool {
        self.outbound.takes_files()
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Self::write(self, bytes).await
    }

    async fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Error> {
        Self::send_file(self, file, offset, length).await
    }
}

#[cfg(test)]
mod tests;
