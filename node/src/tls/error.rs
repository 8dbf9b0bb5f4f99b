//! Why a TLS connection ends.

/// The peer has broken the protocol, or could not be served by it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The handshake failed.
    #[error("{0}")]
    Handshake(rustls::Error),
    /// The peer's handshake is longer than any has reason to be.
    #[error("the handshake is longer than {0} bytes")]
    HandshakeTooLong(usize),
    /// A record is not what the peer has sealed.
    #[error("a record cannot be decrypted")]
    Decrypt,
    /// A record is longer than the protocol allows.
    #[error("a record is too long")]
    TooLong,
    /// Too many records in a row that hold no data.
    #[error("too many records without data")]
    Empty,
    /// A message that has no place here.
    #[error("an unexpected message")]
    Unexpected,
    /// The peer gave up and said why, RFC 8446 §6.
    #[error("the peer gave up with alert {0}")]
    Alert(u8),
    /// The keys have protected as much as they may, and TLS 1.2 knows no new ones.
    #[error("the keys of the connection are used up")]
    KeysUsedUp,
}

impl TlsError {
    /// The alert that tells it to the peer, RFC 8446 §6.
    #[must_use]
    pub fn alert(&self) -> u8 {
        match self {
            Self::Decrypt => 20,
            Self::TooLong => 22,
            Self::Unexpected | Self::Empty => 10,
            Self::HandshakeTooLong(_) => 47,
            Self::Handshake(_) | Self::Alert(_) | Self::KeysUsedUp => 80,
        }
    }
}

impl From<TlsError> for std::io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}
