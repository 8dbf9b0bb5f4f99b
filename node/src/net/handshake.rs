//! TLS handshakes on sockets: within a deadline, and not too many at once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::ServerConfig;

use super::watch::{Phase, Watch};
use crate::metrics;
use crate::ring::Socket;
use crate::tls::{FIRST_BYTE, Handshake, Session, Side, TlsError};

/// One address has no more than this part of the handshakes that may be under way: the others are left to the others.
const ADDRESS_SHARE: usize = 4;

/// Handshakes of a shard that are under way.
#[derive(Debug)]
pub struct Handshakes {
    open: Cell<usize>,
    by_address: RefCell<HashMap<IpAddr, usize>>,
    max: usize,
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Too many are under way, in all or with this address.
    #[error("too many handshakes at once")]
    TooMany,
    /// The peer is gone or took too long.
    #[error("the peer is gone or took too long")]
    Gone,
    /// The peer does not speak TLS; this is what it has sent.
    #[error("the peer does not speak TLS")]
    Plain(Vec<u8>),
    /// The handshake failed, and the peer was told.
    #[error(transparent)]
    Failed(#[from] TlsError),
}

/// A connection behind its handshake.
pub struct Shaken {
    /// Its keys and buffers.
    pub session: Box<Session>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// What the peer has shown, if it was asked for one.
    pub certificate: Option<CertificateDer<'static>>,
}

struct UnderWay<'a> {
    handshakes: &'a Handshakes,
    address: IpAddr,
}

impl Handshakes {
    /// At most `max` at once, a quarter of them with one address.
    #[must_use]
    pub fn new(max: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            by_address: RefCell::default(),
            max,
        })
    }

    fn begin(&self, address: IpAddr) -> Option<UnderWay<'_>> {
        let address = address.to_canonical();
        let open = self.open.get();
        let mut by_address = self.by_address.borrow_mut();
        let from_here = by_address.get(&address).copied().unwrap_or(0);
        if open >= self.max || from_here >= self.max.div_ceil(ADDRESS_SHARE) {
            return None;
        }
        self.open.set(open + 1);
        by_address.insert(address, from_here + 1);
        Some(UnderWay {
            handshakes: self,
            address,
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Handshakes { open, by_address, .. } = self.handshakes;
        open.set(open.get().saturating_sub(1));
        let mut by_address = by_address.borrow_mut();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Makes the handshake, as the server. `early`: what was received of it already.
///
/// # Errors
///
/// See [`HandshakeError`]; the connection is of no more use then, but to answer one that does not speak TLS.
pub async fn shake_hands(
    handshakes: &Handshakes,
    config: Arc<ServerConfig>,
    socket: &Socket,
    watch: &Watch,
    early: &[u8],
) -> Result<Shaken, HandshakeError> {
    let shaken = shake(handshakes, config, socket, watch, early).await;
    let counters = metrics::mine();
    let counter = if shaken.is_ok() {
        &counters.handshakes
    } else {
        &counters.handshakes_failed
    };
    counter.add(1);
    shaken
}

async fn shake(
    handshakes: &Handshakes,
    config: Arc<ServerConfig>,
    socket: &Socket,
    watch: &Watch,
    early: &[u8],
) -> Result<Shaken, HandshakeError> {
    let address = socket.peer().ip();
    let _under_way = handshakes.begin(address).ok_or(HandshakeError::TooMany)?;
    watch.enter(Phase::Handshake);
    go_on(Handshake::new(config, early)?, socket, watch).await
}

/// Makes a handshake that we begin, as the client.
///
/// # Errors
///
/// See [`shake_hands`].
pub async fn greet<S: Side>(
    handshake: Handshake<S>,
    socket: &Socket,
    watch: &Watch,
) -> Result<Shaken, HandshakeError> {
    watch.enter(Phase::Handshake);
    go_on(handshake, socket, watch).await
}

async fn go_on<S: Side>(
    mut handshake: Handshake<S>,
    socket: &Socket,
    watch: &Watch,
) -> Result<Shaken, HandshakeError> {
    loop {
        if handshake
            .unread()
            .first()
            .is_some_and(|first| *first != FIRST_BYTE)
            && !handshake.has_begun()
        {
            return Err(HandshakeError::Plain(handshake.unread().to_vec()));
        }
        let advanced = handshake.advance();
        send(socket, watch, &handshake.take_outgoing()).await?;
        if advanced? {
            break;
        }
        receive(socket, watch, &mut handshake).await?;
    }
    let (resumed, certificate) = (handshake.is_resumed(), handshake.certificate());
    let session = Box::new(handshake.finish()?);
    Ok(Shaken {
        session,
        resumed,
        certificate,
    })
}

async fn receive<S: Side>(
    socket: &Socket,
    watch: &Watch,
    handshake: &mut Handshake<S>,
) -> Result<(), HandshakeError> {
    loop {
        match socket.try_recv(handshake.room()) {
            Ok(Some(0)) | Err(_) => return Err(HandshakeError::Gone),
            Ok(Some(n)) => {
                handshake.received(n);
                return Ok(());
            }
            Ok(None) => watch.readable().await.map_err(|_| HandshakeError::Gone)?,
        }
    }
}

async fn send(socket: &Socket, watch: &Watch, mut bytes: &[u8]) -> Result<(), HandshakeError> {
    while !bytes.is_empty() {
        match socket.try_send(bytes, false) {
            Ok(Some(n)) => bytes = bytes.get(n..).unwrap_or_default(),
            Ok(None) => {
                watch.writable().await.map_err(|_| HandshakeError::Gone)?;
                if watch.expired().is_some() {
                    return Err(HandshakeError::Gone);
                }
            }
            Err(_) => return Err(HandshakeError::Gone),
        }
    }
    Ok(())
}
