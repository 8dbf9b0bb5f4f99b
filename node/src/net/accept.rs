//! Taking connections: from the listener of the shard and from other shards.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use super::admission::{Admission, Permit};
use super::drain::Drain;
use crate::limits::ACCEPT_RETRY_MS;
use crate::mailbox::{Mailbox, Sender};
use crate::ring::{self, Listener, Socket};

/// Told to those beyond the limits, if it fits the socket at once.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Content-Length: 112\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"too many connections\",\"rslt\":\"ERROR\"}";

/// A connection on its way to another shard, between two requests.
pub struct Handoff {
    /// The socket.
    pub fd: OwnedFd,
    /// Bytes received but not yet used: the beginning of the next request.
    pub unread: Vec<u8>,
    /// Its right to be open, which moves along.
    pub permit: Permit,
}

/// Mailboxes of all shards, by number.
pub type Peers = Rc<Vec<Sender<Handoff>>>;

/// Takes connections for one shard and starts `serve` for each.
pub struct Acceptor<S> {
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// When to stop.
    pub drain: Rc<Drain>,
    /// Serves a connection to its end: socket, bytes that were read already, its permit.
    pub serve: S,
}

impl<S, F> Acceptor<S>
where
    S: Fn(Socket, Vec<u8>, Permit) -> F,
    F: Future<Output = ()> + 'static,
{
    /// Accepts until draining begins, and then whatever is pending.
    pub async fn listen(&self, listener: Listener) {
        loop {
            if let Err(error) = self.accept_pending(&listener) {
                // Out of descriptors, most likely: those that close make room.
                tracing::warn!(%error, "cannot accept connections");
                ring::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
            if self.drain.is_draining() {
                return;
            }
            let (connection, drain) = (pin!(listener.readable()), pin!(self.drain.begun()));
            select(connection, drain).await;
        }
    }

    /// Takes over connections from other shards until draining begins.
    pub async fn take_over(&self, mut mailbox: Mailbox<Handoff>) {
        loop {
            let (next, drain) = (pin!(mailbox.next()), pin!(self.drain.begun()));
            match select(next, drain).await {
                Either::Left((Some(handoff), _)) => self.resume(handoff),
                Either::Left((None, _)) => return,
                Either::Right(_) => break,
            }
        }
        while let Some(handoff) = mailbox.try_next() {
            self.resume(handoff);
        }
    }

    fn accept_pending(&self, listener: &Listener) -> io::Result<()> {
        while let Some(socket) = listener.try_accept()? {
            match self.admission.admit(socket.peer().ip()) {
                Some(permit) => self.start(socket, Vec::new(), permit),
                None => drop(socket.try_send(TOO_MANY, false)),
            }
        }
        Ok(())
    }

    fn resume(&self, handoff: Handoff) {
        match Socket::from_fd(handoff.fd) {
            Ok(socket) => self.start(socket, handoff.unread, handoff.permit),
            Err(error) => tracing::debug!(%error, "a connection broke on its way between shards"),
        }
    }

    fn start(&self, socket: Socket, unread: Vec<u8>, permit: Permit) {
        let counted = self.drain.count();
        let served = (self.serve)(socket, unread, permit);
        ring::spawn(async move {
            served.await;
            drop(counted);
        });
    }
}
