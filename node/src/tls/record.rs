//! The record layer after the handshake: one direction of one connection, sealed or opened in one pass.
//!
//! rustls makes the handshake and derives the keys. Its own record layer gathers every record in a vector of its own;
//! this one opens a record from the receive buffer straight into the caller's, and seals from the caller's straight
//! into the send buffer, so that nothing is copied beside the cipher. It serves the suites that rustls offers: AES-GCM
//! and ChaCha20-Poly1305, TLS 1.2 (RFC 5246, 5288, 7905) and 1.3 (RFC 8446 §5).
//!
//! # Layout
//!
//! Type (1 byte), version 0x0303 (2), length (2, big endian), then
//!
//! | | |
//! |---|---|
//! | 1.3 | ciphertext of content, type and padding; tag (16) |
//! | 1.2, AES-GCM | explicit nonce (8), ciphertext of content, tag (16) |
//! | 1.2, ChaCha20-Poly1305 | ciphertext of content, tag (16) |

use std::ops::Range;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

use super::TlsError;

/// Bytes in front of a record's payload.
pub(super) const HEADER_BYTES: usize = 5;
/// Most content of a record, RFC 8446 §5.1.
pub(super) const CONTENT_MAX_BYTES: usize = 1 << 14;
/// Longest payload of a record on the wire, RFC 5246 §6.2.3.
pub(super) const PAYLOAD_MAX_BYTES: usize = CONTENT_MAX_BYTES + 2048;
/// Longest payload of a record of TLS 1.3, RFC 8446 §5.2.
const TLS13_PAYLOAD_MAX_BYTES: usize = CONTENT_MAX_BYTES + 256;
/// What a sealed record has beside its content, at most.
pub(super) const OVERHEAD_MAX_BYTES: usize = HEADER_BYTES + EXPLICIT_BYTES + TAG_BYTES;
const TAG_BYTES: usize = 16;
const EXPLICIT_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
/// The version that every record carries.
const VERSION: [u8; 2] = [3, 3];

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Alert,
    Handshake,
    Data,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, TlsError> {
        match byte {
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::Data),
            _ => Err(TlsError::Unexpected),
        }
    }
}

/// How a record is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Tls13,
    Tls12Gcm,
    Tls12ChaCha,
}

/// The keys of one direction, and how many records they have served.
pub(super) struct Cipher {
    key: LessSafeKey,
    iv: [u8; NONCE_BYTES],
    format: Format,
    sequence: u64,
}

/// Length of the payload behind a header, at most `most`; `None` if the header is not all there.
pub(super) fn payload_length(bytes: &[u8], most: usize) -> Result<Option<usize>, TlsError> {
    let Some([_, _, _, high, low]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > most {
        return Err(TlsError::TooLong);
    }
    Ok(Some(length))
}

impl Cipher {
    /// # Errors
    ///
    /// A suite that is not offered.
    pub(super) fn new(
        version: ProtocolVersion,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, TlsError> {
        let (algorithm, key, iv, gcm) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
            _ => return Err(TlsError::Unexpected),
        };
        let format = match version {
            ProtocolVersion::TLSv1_3 => Format::Tls13,
            _ if gcm => Format::Tls12Gcm,
            _ => Format::Tls12ChaCha,
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| TlsError::Unexpected)?;
        let iv = iv.as_ref().try_into().map_err(|_| TlsError::Unexpected)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            format,
            sequence,
        })
    }

    /// Records that these keys have served.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Longest payload of a record that the peer may send.
    pub(super) fn payload_max_bytes(&self) -> usize {
        if self.format == Format::Tls13 {
            TLS13_PAYLOAD_MAX_BYTES
        } else {
            PAYLOAD_MAX_BYTES
        }
    }

    /// Bytes that opening a payload of this length needs as room.
    pub(super) fn room_for(&self, payload: usize) -> usize {
        payload.saturating_sub(self.explicit_bytes() + TAG_BYTES)
    }

    /// Opens a whole record into `out`, which has at least [`Cipher::room_for`] bytes; what it holds, and how much.
    ///
    /// # Errors
    ///
    /// It is not one that the peer has sealed, in this place, with these keys.
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<(Kind, usize), TlsError> {
        let (header, payload) = record
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(TlsError::Decrypt)?;
        let (explicit, sealed) = payload
            .split_at_checked(self.explicit_bytes())
            .ok_or(TlsError::Decrypt)?;
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(TlsError::Decrypt)?;
        let (text, tag) = sealed.split_at_checked(length).ok_or(TlsError::Decrypt)?;
        let out = out.get_mut(..length).ok_or(TlsError::Decrypt)?;
        let (nonce, about, bytes) = self.opening(header, explicit, length)?;
        let about = Aad::from(about.get(..bytes).unwrap_or_default());
        self.key
            .open_separate_gather(nonce, about, text, tag, out)
            .map_err(|_| TlsError::Decrypt)?;
        self.opened(header, out)
    }

    /// Opens a whole record where it lies; what it holds, and where.
    ///
    /// # Errors
    ///
    /// As for [`Cipher::open`].
    pub(super) fn open_in_place(&mut self, record: &mut [u8]) -> Result<(Kind, Range<usize>), TlsError> {
        let (header, payload) = record
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or(TlsError::Decrypt)?;
        let start = self.explicit_bytes();
        let (explicit, sealed) = payload.split_at_mut_checked(start).ok_or(TlsError::Decrypt)?;
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(TlsError::Decrypt)?;
        let (nonce, about, bytes) = self.opening(header, explicit, length)?;
        let about = Aad::from(about.get(..bytes).unwrap_or_default());
        let content = self
            .key
            .open_in_place(nonce, about, sealed)
            .map_err(|_| TlsError::Decrypt)?;
        let (kind, length) = self.opened(header, content)?;
        let start = HEADER_BYTES + start;
        Ok((kind, start..start + length))
    }

    /// Nonce, and what is authenticated beside the ciphertext: so many bytes of the array.
    fn opening(
        &self,
        header: &[u8; HEADER_BYTES],
        explicit: &[u8],
        length: usize,
    ) -> Result<(Nonce, [u8; 13], usize), TlsError> {
        let mut nonce = self.nonce();
        if let Some(tail) = nonce
            .last_chunk_mut::<EXPLICIT_BYTES>()
            .filter(|_| !explicit.is_empty())
        {
            tail.copy_from_slice(explicit);
        }
        let [kind, major, minor, high, low] = *header;
        let (about, bytes) = if self.format == Format::Tls13 {
            if kind != Kind::Data.byte() {
                // Whatever is sealed says that it is data, RFC 8446 §5.2.
                return Err(TlsError::Unexpected);
            }
            (
                [kind, major, minor, high, low, 0, 0, 0, 0, 0, 0, 0, 0],
                HEADER_BYTES,
            )
        } else {
            (self.about(kind, [major, minor], length), 13)
        };
        Ok((Nonce::assume_unique_for_key(nonce), about, bytes))
    }

    /// What an authentic record holds, and how much.
    fn opened(&mut self, header: &[u8; HEADER_BYTES], content: &[u8]) -> Result<(Kind, usize), TlsError> {
        self.sequence += 1;
        let [kind, ..] = *header;
        let type_bytes = usize::from(self.format == Format::Tls13);
        if content.len() > CONTENT_MAX_BYTES + type_bytes {
            return Err(TlsError::TooLong);
        }
        let (kind, length) = if self.format == Format::Tls13 {
            // The content's type is its last byte that is not zero.
            let end = content
                .iter()
                .rposition(|byte| *byte != 0)
                .ok_or(TlsError::Unexpected)?;
            (content.get(end).copied().unwrap_or_default(), end)
        } else {
            (kind, content.len())
        };
        Ok((Kind::from_byte(kind)?, length))
    }

    fn explicit_bytes(&self) -> usize {
        match self.format {
            Format::Tls12Gcm => EXPLICIT_BYTES,
            Format::Tls13 | Format::Tls12ChaCha => 0,
        }
    }

    /// Seals `content`, at most [`CONTENT_MAX_BYTES`], as one record at the front of `out`; how long it is.
    ///
    /// # Errors
    ///
    /// `out` is too short: a record is at most [`OVERHEAD_MAX_BYTES`] longer than its content.
    pub(super) fn seal(&mut self, kind: Kind, content: &[u8], out: &mut [u8]) -> Result<usize, TlsError> {
        let explicit = self.explicit_bytes();
        let inner = usize::from(self.format == Format::Tls13);
        let payload = explicit + content.len() + inner + TAG_BYTES;
        let [high, low] = u16::try_from(payload)
            .map_err(|_| TlsError::TooLong)?
            .to_be_bytes();
        let shown = if self.format == Format::Tls13 {
            Kind::Data
        } else {
            kind
        };
        let header = [shown.byte(), VERSION[0], VERSION[1], high, low];
        let nonce = self.nonce();
        let out = out.get_mut(..HEADER_BYTES + payload).ok_or(TlsError::TooLong)?;
        let (front, out) = out.split_at_mut_checked(HEADER_BYTES).ok_or(TlsError::TooLong)?;
        front.copy_from_slice(&header);
        let (front, out) = out.split_at_mut_checked(explicit).ok_or(TlsError::TooLong)?;
        if let Some(tail) = nonce.last_chunk::<EXPLICIT_BYTES>().filter(|_| explicit > 0) {
            front.copy_from_slice(tail);
        }
        let (text, rest) = out.split_at_mut_checked(content.len()).ok_or(TlsError::TooLong)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = if self.format == Format::Tls13 {
            let kind = [kind.byte()];
            self.key
                .seal_out_of_place_scatter(nonce, Aad::from(&header), content, text, &kind, rest)
        } else {
            let about = self.about(kind.byte(), VERSION, content.len());
            self.key
                .seal_out_of_place_scatter(nonce, Aad::from(&about), content, text, &[], rest)
        };
        self.sequence += 1;
        sealed.map_err(|_| TlsError::Unexpected)?;
        Ok(HEADER_BYTES + payload)
    }

    /// The record's number in the vector's last bytes. With explicit nonces it serves the sender alone, for whom it is
    /// unique; the receiver puts what was sent in its place.
    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// What TLS 1.2 authenticates beside the content.
    fn about(&self, kind: u8, [major, minor]: [u8; 2], length: usize) -> [u8; 13] {
        let [a, b, c, d, e, f, g, h] = self.sequence.to_be_bytes();
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        [a, b, c, d, e, f, g, h, kind, major, minor, high, low]
    }
}
