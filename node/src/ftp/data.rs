//! Data connections: tied to the peer of the control connection, within a deadline.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{Either, select};
use rustls::server::ServerConfig;

use super::abort::Abort;
use super::reply::Reply;
use crate::error::Error;
use crate::ingest::Source;
use crate::metrics::Via;
use crate::net::{HandshakeError, Handshakes, Inbound, Outbound, Phase, Stream, Sweeper, shake_hands};
use crate::ring::{self, Listener, Socket};
use crate::send::Sink;

/// How the next data connection comes about.
#[derive(Default)]
pub(super) enum Plan {
    /// Nobody has said.
    #[default]
    None,
    /// The client connects to us.
    Passive(Listener),
    /// We connect to the client.
    Active(SocketAddr),
}

/// Who the control connection is with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) peer: IpAddr,
    pub(super) local: IpAddr,
}

/// Makes the connection.
///
/// # Errors
///
/// The reply, 425 or 426.
pub(super) async fn open(
    plan: Plan,
    ends: Ends,
    deadline: Duration,
    abort: &Abort,
) -> Result<Rc<Socket>, Reply> {
    let connected = async {
        match plan {
            Plan::None => Err(no_plan()),
            Plan::Passive(listener) => accept(&listener, ends.peer).await,
            // What went wrong is not told: it would make a scanner of us.
            Plan::Active(address) => Socket::connect(ends.local, address)
                .await
                .map_err(|_| Reply::new(425, "The data connection cannot be opened")),
        }
    };
    let (connected, too_late, raised) = (pin!(connected), pin!(ring::sleep(deadline)), pin!(abort.raised()));
    let socket = match select(connected, select(too_late, raised)).await {
        Either::Left((socket, _)) => Rc::new(socket?),
        Either::Right((Either::Left(_), _)) => {
            return Err(Reply::new(425, "Nobody has opened the data connection"));
        }
        Either::Right((Either::Right(_), _)) => return Err(aborted()),
    };
    abort.attach(&socket);
    Ok(socket)
}

/// The first connection from the peer itself. Strangers are shown the door.
async fn accept(listener: &Listener, peer: IpAddr) -> Result<Socket, Reply> {
    let failed = |error: std::io::Error| {
        tracing::debug!(%error, "no data connection");
        Reply::new(425, "The data connection cannot be opened")
    };
    loop {
        match listener.try_accept().map_err(failed)? {
            Some(socket) if socket.peer().ip().to_canonical() == peer => return Ok(socket),
            Some(stranger) => {
                tracing::info!(stranger = %stranger.peer(), %peer, "a stranger came to a data connection");
            }
            None => listener.readable().await.map_err(failed)?,
        }
    }
}

pub(super) fn no_plan() -> Reply {
    Reply::new(425, "Send EPSV, PASV, EPRT or PORT first")
}

/// The reply to a transfer whose data connection is gone before its time.
pub(super) fn broken(data: &Data, abort: &Abort) -> Reply {
    if abort.is_raised() {
        aborted()
    } else if data.was_cut_off() {
        let text = "The data connection ended without close_notify: it may have been cut off";
        Reply::new(426, text)
    } else {
        Reply::new(426, "The data connection broke")
    }
}

pub(super) fn aborted() -> Reply {
    Reply::new(426, "The transfer was aborted")
}

/// What secures a data connection.
pub(super) struct Security {
    pub(super) config: Arc<ServerConfig>,
    /// Whether it has to resume the control connection's session.
    pub(super) resumption_required: bool,
}

/// Where the data connections of a session come from whose client is on another node.
pub(super) struct Door(pub(super) mpsc::UnboundedSender<Opened>);

/// A data connection to that node: the other end of it, and what ends it early.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) abort: Rc<Abort>,
}

impl Door {
    /// Makes the connection.
    pub(super) fn open(&self, ends: Ends, abort: &Rc<Abort>) -> Result<Rc<Socket>, Reply> {
        let failed = |_| Reply::new(425, "The data connection cannot be opened");
        let (ours, socket) = Socket::pair(SocketAddr::new(ends.peer, 0)).map_err(failed)?;
        let opened = Opened {
            socket,
            abort: Rc::clone(abort),
        };
        // If nobody takes it, its end is closed, which the transfer sees.
        let _ = self.0.unbounded_send(opened);
        let ours = Rc::new(ours);
        abort.attach(&ours);
        Ok(ours)
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To us.
    In {
        /// Whether an end of TLS without `close_notify` is one.
        lenient: bool,
    },
    /// To the client.
    Out,
}

/// An open data connection.
pub(super) struct Data {
    inbound: Inbound,
    outbound: Outbound,
    pub(super) via: Via,
    /// Bytes of the transfer so far.
    pub(super) moved: u64,
    way: Way,
}

impl Data {
    /// Makes a connection that has just been opened ready, with a handshake if it is to be TLS.
    ///
    /// # Errors
    ///
    /// The reply: 425, or 522 for a session that is not the control connection's.
    pub(super) async fn start(
        socket: Rc<Socket>,
        sweeper: &Sweeper,
        handshakes: &Handshakes,
        security: Option<Security>,
        way: Way,
    ) -> Result<Self, Reply> {
        let watch = sweeper.watch(Rc::clone(&socket));
        let session = match security {
            None => None,
            Some(security) => {
                let shaken = shake_hands(handshakes, security.config, &socket, &watch, &[]).await;
                let shaken = shaken.map_err(|error| handshake_failed(&error))?;
                if security.resumption_required && !shaken.resumed {
                    return Err(Reply::new(
                        522,
                        "The data connection has to resume the control connection's session",
                    ));
                }
                Some(shaken.session)
            }
        };
        let via = if session.is_some() { Via::Ftps } else { Via::Ftp };
        let stream = Stream::new(socket, session);
        watch.enter(match way {
            Way::In { .. } => Phase::Body,
            Way::Out => Phase::Reply,
        });
        Ok(Self {
            inbound: Inbound::new(Rc::clone(&stream), Rc::clone(&watch), Vec::new()),
            outbound: Outbound::new(stream, watch),
            via,
            moved: 0,
            way,
        })
    }

    /// Whether the connection was TLS and ended without saying so.
    pub(super) fn was_cut_off(&self) -> bool {
        self.inbound.was_cut_off()
    }

    /// Says that nothing more is sent, once all is.
    pub(super) async fn end(&self) {
        self.outbound.end().await;
    }
}

fn handshake_failed(error: &HandshakeError) -> Reply {
    tracing::debug!(%error, "no TLS on a data connection");
    match error {
        HandshakeError::TooMany => Reply::new(425, "Too many handshakes at once"),
        _ => Reply::new(425, "The data connection's TLS handshake failed"),
    }
}

impl Source for Data {
    fn via(&self) -> Option<Via> {
        Some(self.via)
    }

    async fn read_into(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.inbound.direct(out, u64::MAX).await {
                Ok(Some(n)) => {
                    self.moved += n as u64;
                    return Ok(n);
                }
                // A slow client: what is held for it is little.
                Ok(None) => {}
                Err(Error::Disconnected)
                    if self.inbound.was_cut_off() && self.way == (Way::In { lenient: true }) =>
                {
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Sink for Data {
    fn via(&self) -> Option<Via> {
        Some(self.via)
    }

    fn takes_files(&self) -> bool {
        self.outbound.takes_files()
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.moved += bytes.len() as u64;
        self.outbound.send(bytes, b"").await
    }

    async fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Error> {
        self.moved += length;
        self.outbound.send_file(file, offset, length).await
    }
}
