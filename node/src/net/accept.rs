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
use crate::tls::Session;

/// A connection on its way to another shard, between two requests.
pub struct Handoff {
    /// The socket.
    pub fd: OwnedFd,
    /// Its keys and buffers, if it is TLS: they move along.
    pub session: Option<Box<Session>>,
    /// Bytes received but not yet used: the beginning of the next request.
    pub unread: Vec<u8>,
    /// Its right to be open, which moves along.
    pub permit: Permit,
    /// Who may be a client, if another node passes requests on by it.
    pub clients: Option<Arc<Admission>>,
}

/// Mailboxes of all shards, by number.
pub type Peers = Rc<Vec<Sender<Handoff>>>;

/// Takes connections for one shard and starts a task for each.
pub struct Acceptor {
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// When to stop.
    pub drain: Rc<Drain>,
}

impl Acceptor {
    /// Accepts until draining begins, and then whatever is pending. Those beyond the limits are told `too_many`, if it
    /// fits the socket at once; `serve` serves a connection to its end.
    pub async fn listen<F>(&self, listener: Listener, too_many: &[u8], serve: impl Fn(Socket, Permit) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        loop {
            if let Err(error) = self.accept_pending(&listener, too_many, &serve) {
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
    pub async fn take_over<F>(&self, mut mailbox: Mailbox<Handoff>, serve: impl Fn(Handoff) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        loop {
            let (next, drain) = (pin!(mailbox.next()), pin!(self.drain.begun()));
            match select(next, drain).await {
                Either::Left((Some(handoff), _)) => self.start(serve(handoff)),
                Either::Left((None, _)) => return,
                Either::Right(_) => break,
            }
        }
        while let Some(handoff) = mailbox.try_next() {
            self.start(serve(handoff));
        }
    }

    fn accept_pending<F>(
        &self,
        listener: &Listener,
        too_many: &[u8],
        serve: &impl Fn(Socket, Permit) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + 'static,
    {
        while let Some(socket) = listener.try_accept()? {
            match self.admission.admit(socket.peer().ip()) {
                Some(permit) => self.start(serve(socket, permit)),
                None => drop(socket.try_send(too_many, false)),
            }
        }
        Ok(())
    }

    fn start(&self, served: impl Future<Output = ()> + 'static) {
        let counted = self.drain.count();
        ring::spawn(async move {
            served.await;
            drop(counted);
        });
    }
}
