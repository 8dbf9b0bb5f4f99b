//! What other nodes pass on to this one.

mod pipe;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use self::pipe::pump;
use crate::ftp::{self, Ftp};
use crate::http::exchange::{self, Service, next_preamble, serve_relayed};
use crate::limits::RELAY_PIPE_BYTES;
use crate::metrics::Via;
use crate::net::{Admission, Inbound, Permit, Relayed, Stream, Watch, Who, shake_hands};
use crate::ring::Socket;
use crate::sftp::Arrived;
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
    /// Serves sessions of FTP.
    pub ftp: Rc<Ftp>,
    /// Where sessions of SFTP and SCP go.
    pub sessions: mpsc::UnboundedSender<Arrived>,
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
            Relayed::Ftp { who, secure } => {
                let peer = first.peer.ip().to_canonical();
                // One too many is not answered, as on the node that it has come to.
                if let Some(permit) = clients.admit(peer) {
                    let _permit = permit.counted(if secure { Via::Ftps } else { Via::Ftp });
                    let arrived = ftp::Arrived { who, peer, secure };
                    ftp::serve_relayed(Rc::clone(&self.ftp), arrived, (stream, watch, inbound)).await;
                }
            }
            Relayed::Sftp(who) => {
                self.session(who, None, first.peer, (stream, watch, inbound))
                    .await
            }
            Relayed::Scp(who, scp) => {
                self.session(who, Some(scp), first.peer, (stream, watch, inbound))
                    .await;
            }
        }
    }

    /// Has a session of SFTP or SCP served where those are.
    async fn session(
        &self,
        who: Who,
        scp: Option<String>,
        peer: SocketAddr,
        connection: (Rc<Stream>, Rc<Watch>, Inbound),
    ) {
        let (pipe, stream) = tokio::io::duplex(RELAY_PIPE_BYTES);
        let (ended, status) = oneshot::channel();
        let arrived = Arrived {
            who,
            peer: peer.ip().to_canonical(),
            scp,
            stream,
            ended,
        };
        if self.sessions.send(arrived).is_ok() {
            pump(connection, pipe, status).await;
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
