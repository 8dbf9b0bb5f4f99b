//! What other nodes pass on to this one.

use std::rc::Rc;
use std::sync::Arc;

use crate::http::exchange::{self, Service, next_preamble, serve_relayed};
use crate::net::{Admission, Inbound, Permit, Relayed, Stream, Watch, shake_hands};
use crate::ring::Socket;
use crate::tls::{NodeTls, Session, is_node};

/// Where a shard lets in what other nodes pass on.
pub struct Doors<S> {
    /// What connections of HTTP share.
    pub shard: Rc<exchange::Shard>,
    /// Answers requests of HTTP.
    pub service: Rc<S>,
    /// What shows who other nodes are; `None` in the clear, on loopback.
    pub tls: Option<Arc<NodeTls>>,
    /// Who may be a client, whichever node it has come to.
    pub clients: Arc<Admission>,
}

impl<S: Service> Doors<S> {
    /// Serves a connection of another node to its end.
    pub async fn serve(self: Rc<Self>, socket: Socket, permit: Permit) {
        socket.notice_loss();
        let socket = Rc::new(socket);
        let watch = self.shard.sweeper.watch(Rc::clone(&socket));
        let session = match &self.tls {
            None => None,
            Some(tls) => match self.shake(tls, &socket, &watch).await {
                Some(session) => Some(session),
                None => return,
            },
        };
        let stream = Stream::new(socket, session);
        let mut inbound = Inbound::new(Rc::clone(&stream), Rc::clone(&watch), Vec::new());
        let Ok(Some(first)) = next_preamble(&mut inbound, &watch).await else {
            return;
        };
        let (shard, clients) = (Rc::clone(&self.shard), Arc::clone(&self.clients));
        match first.what {
            Relayed::Http { .. } => {
                let service = Rc::clone(&self.service);
                let connection = (stream, watch, inbound);
                serve_relayed(shard, service, connection, (first, clients), permit).await;
            }
        }
    }

    /// Makes a handshake with a node, and with nobody else who has a certificate.
    async fn shake(&self, tls: &NodeTls, socket: &Rc<Socket>, watch: &Watch) -> Option<Box<Session>> {
        let shaken = shake_hands(&self.shard.handshakes, tls.server(), socket, watch, &[]).await;
        match shaken {
            Ok(shaken) if shaken.certificate.as_ref().is_some_and(is_node) => Some(shaken.session),
            Ok(_) => {
                tracing::warn!(peer = %socket.peer(), "who is no node has come to the relay");
                None
            }
            Err(error) => {
                tracing::info!(%error, peer = %socket.peer(), "no TLS with another node");
                None
            }
        }
    }
}
