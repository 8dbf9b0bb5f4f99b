//! A connection after its handshake: what came in sealed, what goes out sealed. No I/O.

use rustls::{ExtractedSecrets, ProtocolVersion, SupportedCipherSuite};

use super::TlsError;
use super::buffer::Buffer;
use super::record::{CONTENT_MAX_BYTES, Cipher, HEADER_BYTES, Kind, OVERHEAD_MAX_BYTES, payload_length};
use super::side::Kernel;
use crate::limits::{TLS_BUFFER_MAX_BYTES, TLS_BUFFER_MIN_BYTES, TLS_EMPTY_RECORDS_MAX_COUNT};

/// Alert `close_notify`, as a warning (RFC 8446 §6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
/// Handshake message `key_update` that asks for none in return, RFC 8446 §4.6.3.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
/// Alert descriptions that end nothing: `user_canceled`, `no_renegotiation`.
const HARMLESS_ALERTS: [u8; 2] = [90, 100];
/// Room that is kept in the send buffer for a record's overhead, a change of keys and the farewell.
const SEAL_RESERVE_BYTES: usize = 3 * OVERHEAD_MAX_BYTES + 16;

const _: () = assert!(TLS_BUFFER_MIN_BYTES >= CONTENT_MAX_BYTES + 2048 + HEADER_BYTES);

/// The keys and buffers of an open connection.
pub struct Session {
    kernel: Kernel,
    rx: Cipher,
    tx: Cipher,
    /// Records served by `tx` after which its keys are replaced.
    tx_records_max: u64,
    /// The peer has asked for a change of our keys, which comes before the next data.
    owes_update: bool,
    /// Records in a row that held no data.
    empty_records: u32,
    incoming: Buffer,
    /// Bytes in front of `incoming` that were opened where they lay and are not yet read.
    opened: usize,
    /// What of their record lies behind them.
    behind: usize,
    outgoing: Buffer,
    closed: bool,
    closing: bool,
    /// The peer has broken the protocol: nothing more is read.
    failed: bool,
}

impl Session {
    /// Takes over from the handshake; `incoming` is what came behind it.
    pub(super) fn new(secrets: ExtractedSecrets, kernel: Kernel, incoming: Buffer) -> Result<Self, TlsError> {
        let version = kernel.protocol_version();
        let limit = match kernel.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        Ok(Self {
            rx: Cipher::new(version, secrets.rx)?,
            tx: Cipher::new(version, secrets.tx)?,
            tx_records_max: limit,
            kernel,
            owes_update: false,
            empty_records: 0,
            incoming,
            opened: 0,
            behind: 0,
            outgoing: Buffer::default(),
            closed: false,
            closing: false,
            failed: false,
        })
    }

    /// Has the keys serve fewer records, so that a test sees them used up.
    #[cfg(test)]
    pub(super) fn limit_records(&mut self, most: u64) {
        self.tx_records_max = most;
    }

    /// Where received bytes are put; say with [`Session::received`] how many.
    pub fn room(&mut self) -> &mut [u8] {
        // With what is there already: a peer that stops within a record holds no more than the least buffer.
        let least = TLS_BUFFER_MIN_BYTES.saturating_sub(self.incoming.bytes().len());
        self.incoming.room(least, TLS_BUFFER_MAX_BYTES)
    }

    /// Takes `n` bytes that were put into the room.
    pub fn received(&mut self, n: usize) {
        self.incoming.fill(n);
    }

    /// Bytes received that no whole record has been opened of.
    #[must_use]
    pub fn unopened(&self) -> usize {
        self.incoming.bytes().len()
    }

    /// Gives the receive buffer back, if there is nothing in it.
    pub fn rest(&mut self) {
        self.incoming.release();
    }

    /// Whether the peer has said that it sends no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads what whole records hold, as much as fits `out`; how much that was.
    ///
    /// # Errors
    ///
    /// The peer has broken the protocol: the connection has to end, and nothing more is read from it.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, TlsError> {
        if self.failed {
            return Err(TlsError::Unexpected);
        }
        let read = self.read_records(out);
        self.failed = read.is_err();
        read
    }

    fn read_records(&mut self, out: &mut [u8]) -> Result<usize, TlsError> {
        let mut at = 0;
        while let Some(room) = out.get_mut(at..).filter(|room| !room.is_empty()) {
            // A record may hold nothing but padding.
            if self.opened + self.behind > 0 {
                at += self.take_opened(room);
                continue;
            }
            if self.closed {
                // What comes behind is not for us, RFC 8446 §6.1.
                break;
            }
            let bytes = self.incoming.bytes();
            let Some(payload) = payload_length(bytes, self.rx.payload_max_bytes())? else {
                break;
            };
            let Some(record) = bytes.get(..HEADER_BYTES + payload) else {
                break;
            };
            if room.len() >= self.rx.room_for(payload) {
                let (kind, length) = self.rx.open(record, room)?;
                self.incoming.consume(HEADER_BYTES + payload);
                self.count_empty(kind, length)?;
                match kind {
                    Kind::Data => at += length,
                    other => self.message(other, room.get(..length).unwrap_or_default())?,
                }
            } else {
                self.open_in_place(payload)?;
            }
        }
        Ok(at)
    }

    /// Opens the record in front where it lies, for a reader with little room.
    fn open_in_place(&mut self, payload: usize) -> Result<(), TlsError> {
        let record = self.incoming.bytes_mut().get_mut(..HEADER_BYTES + payload);
        let (kind, content) = self.rx.open_in_place(record.ok_or(TlsError::Decrypt)?)?;
        self.count_empty(kind, content.len())?;
        if kind == Kind::Data {
            self.incoming.consume(content.start);
            self.opened = content.len();
            self.behind = HEADER_BYTES + payload - content.end;
            return Ok(());
        }
        let message = self.incoming.bytes().get(content).unwrap_or_default().to_vec();
        self.incoming.consume(HEADER_BYTES + payload);
        self.message(kind, &message)
    }

    fn count_empty(&mut self, kind: Kind, length: usize) -> Result<(), TlsError> {
        if kind == Kind::Data && length > 0 {
            self.empty_records = 0;
        } else {
            self.empty_records += 1;
        }
        if self.empty_records > TLS_EMPTY_RECORDS_MAX_COUNT {
            return Err(TlsError::Empty);
        }
        Ok(())
    }

    fn take_opened(&mut self, room: &mut [u8]) -> usize {
        let n = self.opened.min(room.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..n), self.incoming.bytes().get(..n)) {
            room.copy_from_slice(bytes);
        }
        self.opened -= n;
        let behind = if self.opened == 0 {
            std::mem::take(&mut self.behind)
        } else {
            0
        };
        self.incoming.consume(n + behind);
        n
    }

    fn message(&mut self, kind: Kind, content: &[u8]) -> Result<(), TlsError> {
        match (kind, content) {
            (Kind::Alert, [_, 0]) => {
                self.closed = true;
                Ok(())
            }
            (Kind::Alert, [_, alert]) if HARMLESS_ALERTS.contains(alert) => Ok(()),
            (Kind::Alert, [_, alert]) => Err(TlsError::Alert(*alert)),
            (Kind::Handshake, [24, 0, 0, 1, asks @ (0 | 1)])
                if self.kernel.protocol_version() == ProtocolVersion::TLSv1_3 =>
            {
                let fresh = self.kernel.update_rx_secret().map_err(TlsError::Handshake)?;
                self.rx = Cipher::new(ProtocolVersion::TLSv1_3, fresh)?;
                // Requests that come while we are silent are answered by one change.
                self.owes_update |= *asks == 1;
                Ok(())
            }
            _ => Err(TlsError::Unexpected),
        }
    }

    fn update_tx(&mut self) -> Result<(), TlsError> {
        self.seal(Kind::Handshake, &KEY_UPDATE)?;
        let fresh = self.kernel.update_tx_secret().map_err(TlsError::Handshake)?;
        self.tx = Cipher::new(ProtocolVersion::TLSv1_3, fresh)?;
        self.owes_update = false;
        Ok(())
    }

    /// Seals as much of `content` as the send buffer holds beside what waits there; how much that was.
    ///
    /// # Errors
    ///
    /// The keys have served their time, or the connection was closed from here.
    pub fn write(&mut self, content: &[u8]) -> Result<usize, TlsError> {
        if self.closing {
            return Err(TlsError::Unexpected);
        }
        let mut taken = 0;
        for piece in content.chunks(CONTENT_MAX_BYTES) {
            if self.outgoing.bytes().len() + piece.len() + SEAL_RESERVE_BYTES > TLS_BUFFER_MAX_BYTES {
                break;
            }
            if self.owes_update || self.tx.sequence() >= self.tx_records_max {
                if self.kernel.protocol_version() != ProtocolVersion::TLSv1_3 {
                    return Err(TlsError::KeysUsedUp);
                }
                self.update_tx()?;
            }
            self.seal(Kind::Data, piece)?;
            taken += piece.len();
        }
        Ok(taken)
    }

    fn seal(&mut self, kind: Kind, content: &[u8]) -> Result<(), TlsError> {
        let room = self
            .outgoing
            .room(content.len() + OVERHEAD_MAX_BYTES, TLS_BUFFER_MAX_BYTES);
        let n = self.tx.seal(kind, content, room)?;
        self.outgoing.fill(n);
        Ok(())
    }

    /// Sealed bytes that wait to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.outgoing.bytes()
    }

    /// Drops `n` of them that were sent.
    pub fn sent(&mut self, n: usize) {
        self.outgoing.consume(n);
        self.outgoing.release();
    }

    /// Says that nothing more is sent; once.
    ///
    /// # Errors
    ///
    /// The cipher refuses.
    pub fn close(&mut self) -> Result<(), TlsError> {
        if std::mem::replace(&mut self.closing, true) {
            return Ok(());
        }
        self.seal(Kind::Alert, &CLOSE_NOTIFY)
    }

    /// Tells the peer why the connection ends, unless it has said so itself.
    pub fn fail(&mut self, error: &TlsError) {
        let told = matches!(error, TlsError::Alert(_));
        if !std::mem::replace(&mut self.closing, true) && !told {
            // The connection ends either way.
            let _ = self.seal(Kind::Alert, &[2, error.alert()]);
        }
    }
}
