//! A connection as the protocols see it: plain, or TLS.
//!
//! Both are read and written by calls that never wait; waiting is the watch's. A plain connection passes bytes on
//! between the socket and the caller's buffers; TLS opens records into them and seals records out of them.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use crate::ring::Socket;
use crate::tls::{Session, TlsError};

/// What is received in one go beside twice the reader's room.
const RECEIVE_EXTRA_BYTES: usize = 64 << 10;
/// Parts that are gathered to be sealed as one record.
const SHARED_RECORD_MAX_BYTES: usize = 16 << 10;

/// A connection.
pub struct Stream {
    socket: Rc<Socket>,
    session: Option<RefCell<Box<Session>>>,
}

impl Stream {
    /// A plain connection.
    #[must_use]
    pub fn plain(socket: Rc<Socket>) -> Rc<Self> {
        Self::new(socket, None)
    }

    /// A connection, TLS if there is a session.
    #[must_use]
    pub fn new(socket: Rc<Socket>, session: Option<Box<Session>>) -> Rc<Self> {
        Rc::new(Self {
            socket,
            session: session.map(RefCell::new),
        })
    }

    /// Takes it apart, to be put together again elsewhere.
    #[must_use]
    pub fn into_parts(self) -> (Rc<Socket>, Option<Box<Session>>) {
        (self.socket, self.session.map(RefCell::into_inner))
    }

    /// Whether it is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.session.is_some()
    }

    /// Address of the other side.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.socket.peer()
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> &Rc<Socket> {
        &self.socket
    }

    /// Reads what is there; `None`: nothing yet, `Some(0)`: the peer has finished sending.
    ///
    /// Less than `out` holds means that there is no more now: the socket wakes whoever waits for the rest, unless
    /// [`Stream::is_closed`].
    ///
    /// # Errors
    ///
    /// The connection broke. [`io::ErrorKind::UnexpectedEof`]: a TLS peer went without saying so, which nobody can tell
    /// from a connection that was cut between two records; [`io::ErrorKind::ConnectionAborted`]: it was cut within one.
    /// [`io::ErrorKind::InvalidData`]: the peer broke the protocol.
    pub fn try_recv(&self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(session) = &self.session else {
            return self.socket.try_recv(out);
        };
        let session = &mut **session.borrow_mut();
        let read = receive(&self.socket, session, out);
        if let Err(Failure::Protocol(error)) = &read {
            session.fail(error);
            // The connection ends whether the peer hears of it or not.
            let _ = flush(&self.socket, session);
        }
        Ok(read?)
    }

    /// Sends what fits now of several buffers; `None`: nothing does. `more`: hold a partial packet back, the rest
    /// follows. What is taken may still be on its way: see [`Stream::try_flush`].
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<Option<usize>> {
        let Some(session) = &self.session else {
            return self.socket.try_send_vectored(parts, more);
        };
        let session = &mut **session.borrow_mut();
        if !flush(&self.socket, session)? {
            return Ok(None);
        }
        let taken = seal(session, parts)?;
        flush(&self.socket, session)?;
        Ok(Some(taken))
    }

    /// Sends what fits now of `len` bytes of `file` from `offset`; `Some(0)`: the file ends there. Plain connections
    /// only.
    ///
    /// # Errors
    ///
    /// The connection broke, is TLS, or the file cannot be read.
    pub fn try_send_file(&self, file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Option<usize>> {
        if self.is_tls() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.socket.try_send_file(file, offset, len)
    }

    /// Sends what was taken and is still here; `false`: there is no room for all of it now.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn try_flush(&self) -> io::Result<bool> {
        match &self.session {
            None => Ok(true),
            Some(session) => flush(&self.socket, &mut session.borrow_mut()),
        }
    }

    /// Seals the last word of TLS, to be sent behind what was taken.
    ///
    /// # Errors
    ///
    /// The cipher refuses.
    pub fn close(&self) -> io::Result<()> {
        match &self.session {
            None => Ok(()),
            Some(session) => Ok(session.borrow_mut().close()?),
        }
    }

    /// Says that nothing more is sent, to a peer that takes it at once; see [`super::Outbound::end`].
    pub fn end(&self) {
        if self.close().is_ok() {
            // A peer that takes nothing any more does not need to know.
            let _ = self.try_flush();
        }
        self.socket.shutdown(Shutdown::Write);
    }

    /// Bytes that were taken and are still here.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.session
            .as_ref()
            .map_or(0, |session| session.borrow().outgoing().len())
    }

    /// Whether the peer has said, within TLS, that it sends no more: the socket need not tell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.borrow().is_closed())
    }

    /// Bytes received that are not yet read because their record is not complete.
    #[must_use]
    pub fn unopened(&self) -> usize {
        self.session
            .as_ref()
            .map_or(0, |session| session.borrow().unopened())
    }
}

enum Failure {
    Protocol(TlsError),
    Connection(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::Protocol(error)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Protocol(error) => error.into(),
            Failure::Connection(error) => error,
        }
    }
}

fn receive(socket: &Socket, session: &mut Session, out: &mut [u8]) -> Result<Option<usize>, Failure> {
    let mut at = 0;
    // Records may hold next to nothing: the other connections get their turn.
    let mut budget = RECEIVE_EXTRA_BYTES + 2 * out.len();
    loop {
        at += session.read(out.get_mut(at..).unwrap_or_default())?;
        if at == out.len() || session.is_closed() {
            return Ok(Some(at));
        }
        if budget == 0 {
            return Ok((at > 0).then_some(at));
        }
        match socket.try_recv(session.room())? {
            Some(0) if at > 0 => return Ok(Some(at)),
            Some(0) => {
                let kind = if session.unopened() == 0 {
                    io::ErrorKind::UnexpectedEof
                } else {
                    io::ErrorKind::ConnectionAborted
                };
                return Err(io::Error::from(kind).into());
            }
            Some(n) => {
                session.received(n);
                budget = budget.saturating_sub(n);
            }
            None => {
                session.rest();
                return Ok((at > 0).then_some(at));
            }
        }
    }
}

/// Small parts share a record.
fn seal(session: &mut Session, parts: &[IoSlice<'_>]) -> Result<usize, TlsError> {
    let all: usize = parts.iter().map(|part| part.len()).sum();
    if all <= SHARED_RECORD_MAX_BYTES {
        let mut gathered = Vec::with_capacity(all);
        parts.iter().for_each(|part| gathered.extend_from_slice(part));
        return session.write(&gathered);
    }
    let mut taken = 0;
    for part in parts {
        let n = session.write(part)?;
        taken += n;
        if n < part.len() {
            break;
        }
    }
    Ok(taken)
}

/// Whether all is sent.
fn flush(socket: &Socket, session: &mut Session) -> io::Result<bool> {
    while !session.outgoing().is_empty() {
        match socket.try_send(session.outgoing(), false)? {
            Some(n) => session.sent(n),
            None => return Ok(false),
        }
    }
    Ok(true)
}
