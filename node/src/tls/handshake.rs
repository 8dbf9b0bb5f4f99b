//! A side of a handshake, bytes in and bytes out. No I/O.

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use super::TlsError;
use super::buffer::Buffer;
use super::record::{HEADER_BYTES, PAYLOAD_MAX_BYTES, payload_length};
use super::session::Session;
use super::side::Side;
use crate::limits::TLS_HANDSHAKE_MAX_BYTES;

/// First room for what the peer sends: a greeting fits.
const ROOM_BYTES: usize = 4 << 10;

/// A handshake that is under way.
pub struct Handshake<S = UnbufferedServerConnection> {
    tls: S,
    incoming: Buffer,
    /// Whole records in front of `incoming` that rustls is shown. It is shown one more only when it needs one, so that
    /// it never opens a record that comes behind the handshake.
    shown: usize,
    begun: bool,
    outgoing: Vec<u8>,
}

impl Handshake {
    /// Waits for the peer's greeting. `early`: what was received of it already.
    ///
    /// # Errors
    ///
    /// The configuration is not usable.
    pub fn new(config: Arc<ServerConfig>, early: &[u8]) -> Result<Self, TlsError> {
        let mut incoming = Buffer::default();
        if !early.is_empty() {
            let room = incoming.room(early.len(), early.len());
            if let Some(room) = room.get_mut(..early.len()) {
                room.copy_from_slice(early);
            }
            incoming.fill(early.len());
        }
        let tls = UnbufferedServerConnection::new(config).map_err(TlsError::Handshake)?;
        Ok(Self {
            incoming,
            ..Self::of(tls)
        })
    }
}

impl<S: Side> Handshake<S> {
    /// A side that has neither said nor heard anything.
    pub(super) fn of(tls: S) -> Self {
        Self {
            tls,
            incoming: Buffer::default(),
            shown: 0,
            begun: false,
            outgoing: Vec::new(),
        }
    }

    /// Where received bytes are put; say with [`Handshake::received`] how many.
    pub fn room(&mut self) -> &mut [u8] {
        self.incoming.room(ROOM_BYTES, TLS_HANDSHAKE_MAX_BYTES)
    }

    /// Takes `n` bytes that were put into the room.
    pub fn received(&mut self, n: usize) {
        self.incoming.fill(n);
    }

    /// Whether anything of the peer's has been understood.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What the peer has sent and nobody has understood yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.incoming.bytes()
    }

    /// What is to be sent now; it is taken out.
    #[must_use]
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Whether the peer has resumed an earlier session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.tls.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the peer has shown, if it was asked for one.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.tls.state().peer_certificates()?.first().cloned()
    }

    /// Goes on with what was received; `false`: more is needed, `true`: the handshake is complete. Either way there
    /// may be something to send.
    ///
    /// # Errors
    ///
    /// The handshake failed. What is to be sent then tells the peer why, unless its records were too long to look at.
    pub fn advance(&mut self) -> Result<bool, TlsError> {
        loop {
            let bytes = self.incoming.bytes_mut();
            let shown = bytes.get_mut(..self.shown).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.tls.process(shown);
            let mut blocked = false;
            let mut failed = None;
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => blocked = true,
                // Early data is not offered, and nothing behind the handshake is shown.
                Ok(_) => failed = Some(TlsError::Unexpected),
                Err(error) => failed = Some(TlsError::Handshake(error)),
            }
            self.incoming.consume(discard);
            self.shown = self.shown.saturating_sub(discard);
            if let Some(error) = failed {
                self.alerts();
                return Err(error);
            }
            if !blocked {
                continue;
            }
            if !self.tls.state().is_handshaking() {
                return Ok(true);
            }
            if !self.show_next()? {
                return Ok(false);
            }
        }
    }

    /// Shows rustls one more record, if it is all there.
    fn show_next(&mut self) -> Result<bool, TlsError> {
        let hidden = self.incoming.bytes().get(self.shown..).unwrap_or_default();
        match payload_length(hidden, PAYLOAD_MAX_BYTES)? {
            Some(payload) if hidden.len() >= HEADER_BYTES + payload => {
                self.shown += HEADER_BYTES + payload;
                self.begun = true;
                Ok(true)
            }
            _ if self.incoming.bytes().len() >= TLS_HANDSHAKE_MAX_BYTES => {
                Err(TlsError::HandshakeTooLong(TLS_HANDSHAKE_MAX_BYTES))
            }
            _ => Ok(false),
        }
    }

    /// Gathers what rustls has to say about a failure. It is shown what it was shown before: it holds places in it.
    fn alerts(&mut self) {
        loop {
            let bytes = self.incoming.bytes_mut();
            let shown = bytes.get_mut(..self.shown).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.tls.process(shown);
            let done = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outgoing);
                    false
                }
                _ => true,
            };
            self.incoming.consume(discard);
            self.shown = self.shown.saturating_sub(discard);
            if done {
                return;
            }
        }
    }

    /// The connection behind a complete handshake.
    ///
    /// # Errors
    ///
    /// The handshake is not complete.
    pub fn finish(self) -> Result<Session, TlsError> {
        let (secrets, kernel) = self.tls.into_kernel().map_err(TlsError::Handshake)?;
        Session::new(secrets, kernel, self.incoming)
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match data.encode(out.get_mut(start..).unwrap_or_default()) {
            Ok(n) => return out.truncate(start + n),
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > room => {
                room = needed.required_size;
            }
            Err(_) => return out.truncate(start),
        }
    }
}
