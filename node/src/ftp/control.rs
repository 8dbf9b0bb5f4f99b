//! The control connection: lines in, replies out.

use std::collections::VecDeque;
use std::rc::Rc;

use super::line::{Event, Lines};
use super::reply::Reply;
use crate::error::Error;
use crate::limits::FTP_PIPELINE_MAX_COUNT;
use crate::metrics::{self, Via};
use crate::net::{Inbound, Outbound, Phase, Stream, Watch};

/// The control connection.
pub(super) struct Control {
    stream: Rc<Stream>,
    watch: Rc<Watch>,
    inbound: Inbound,
    outbound: Outbound,
    lines: Lines,
    /// Lines that came ahead of their turn.
    queue: VecDeque<Event>,
    /// The peer has finished sending.
    ended: bool,
    /// The client is on another node, and there over TLS.
    is_secure_there: bool,
}

impl Control {
    pub(super) fn new(stream: Rc<Stream>, watch: Rc<Watch>) -> Self {
        Self {
            inbound: Inbound::new(Rc::clone(&stream), Rc::clone(&watch), Vec::new()),
            outbound: Outbound::new(Rc::clone(&stream), Rc::clone(&watch)),
            stream,
            watch,
            lines: Lines::default(),
            queue: VecDeque::new(),
            ended: false,
            is_secure_there: false,
        }
    }

    /// The same for a client that is on another node.
    pub(super) fn of_client_elsewhere(stream: Rc<Stream>, watch: Rc<Watch>, is_secure_there: bool) -> Self {
        Self {
            is_secure_there,
            ..Self::new(stream, watch)
        }
    }

    /// The connection, and what came behind the last line: the beginning of a TLS handshake. Lines that were sent
    /// ahead are dropped with this: nothing that came in the clear is taken for something that came through TLS.
    pub(super) fn parts(&mut self) -> (Rc<Stream>, Rc<Watch>, Vec<u8>) {
        let unread = self.inbound.take_unread();
        (Rc::clone(&self.stream), Rc::clone(&self.watch), unread)
    }

    /// The next line; `None`: the peer has finished.
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow.
    pub(super) async fn next(&mut self, phase: Phase) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            self.watch.enter(phase);
            self.receive(1).await?;
        }
    }

    /// Receives more lines than the next; comes back when there are some, or the peer has finished.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub(super) async fn look_ahead(&mut self) -> Result<(), Error> {
        self.watch.enter(Phase::Busy);
        if self.ended || self.queue.len() >= FTP_PIPELINE_MAX_COUNT {
            // Nothing more is looked at until its turn comes.
            return std::future::pending().await;
        }
        let known = self.queue.len();
        while !self.ended && self.queue.len() == known {
            self.receive(FTP_PIPELINE_MAX_COUNT).await?;
        }
        Ok(())
    }

    /// Whether such a line is in the queue.
    pub(super) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.queue.iter().any(wanted)
    }

    /// Takes a line out of the queue.
    pub(super) fn take(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let at = self.queue.iter().position(wanted)?;
        self.queue.remove(at)
    }

    /// Whether the peer has finished sending.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes lines out of what was received, up to `most` in the queue; receives if there is none.
    async fn receive(&mut self, most: usize) -> Result<(), Error> {
        if self.inbound.bytes().is_empty() && self.inbound.more(0).await? == 0 {
            self.ended = true;
            return Ok(());
        }
        while self.queue.len() < most && !self.inbound.bytes().is_empty() {
            let (taken, event) = self.lines.take(self.inbound.bytes());
            self.inbound.consume(taken);
            self.queue.extend(event);
        }
        Ok(())
    }

    /// Sends a reply.
    ///
    /// # Errors
    ///
    /// The peer is gone or does not take it.
    pub(super) async fn reply(&mut self, reply: &Reply) -> Result<(), Error> {
        self.watch.enter(Phase::Reply);
        let is_secure = self.is_secure_there || self.stream.is_tls();
        let via = if is_secure { Via::Ftps } else { Via::Ftp };
        metrics::answered(via, reply.code());
        reply.write(self.outbound.held());
        self.outbound.send(b"", b"").await
    }

    /// Sends lines of a reply that goes on.
    ///
    /// # Errors
    ///
    /// As for [`Control::reply`].
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.watch.enter(Phase::Reply);
        self.outbound.send(bytes, b"").await
    }

    /// Ends the connection in good order.
    pub(super) async fn end(&self) {
        self.watch.enter(Phase::Reply);
        self.outbound.end().await;
    }
}
