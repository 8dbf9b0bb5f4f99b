//! What goes before the bytes that one node passes on to another: what they are, and whose.
//!
//! # Layout
//!
//! `FGR` and the version, 1; length (2, little endian); so many bytes of JSON, a [`Preamble`]. On a connection of HTTP it
//! goes before each request: they may be of different clients.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::RELAY_PREAMBLE_MAX_BYTES;
use crate::metrics::Via;

const MAGIC: [u8; 4] = *b"FGR\x01";
const HEAD_BYTES: usize = MAGIC.len() + 2;

/// What is relayed, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preamble {
    /// Address of the client.
    pub peer: SocketAddr,
    /// What follows.
    pub what: Relayed,
}

/// What follows a preamble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relayed {
    /// A request of HTTP/1.1.
    Http {
        /// Whether it came by HTTPS.
        secure: bool,
    },
    /// A session of FTP, of somebody who has logged in, in frames both ways.
    Ftp {
        /// Who.
        who: Who,
        /// Whether it is over TLS.
        secure: bool,
    },
    /// A session of SFTP, of somebody who has logged in. What comes back is in pieces.
    Sftp(Who),
    /// A session of SCP, and how that was asked for. What comes back is in pieces.
    Scp(Who, String),
}

/// An account that somebody has logged in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The tenant.
    pub association: Uuid,
    /// The account's `Id`.
    pub account: u64,
}

/// The bytes are no preamble that is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what another node sends is not understood")]
pub struct Unread;

impl Preamble {
    /// Its bytes; `None` if it is too long.
    #[must_use]
    pub fn write(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(self).ok()?;
        let length = u16::try_from(json.len()).ok();
        let length = length.filter(|_| json.len() <= RELAY_PREAMBLE_MAX_BYTES)?;
        let mut out = Vec::with_capacity(HEAD_BYTES + json.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&json);
        Some(out)
    }

    /// Reads one from the front of `bytes`, with its length; `None`: it is not complete.
    ///
    /// # Errors
    ///
    /// [`Unread`]; more bytes mend nothing.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Unread> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err(Unread);
        }
        let Some(length) = bytes.get(MAGIC.len()..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_le_bytes(*length));
        if length > RELAY_PREAMBLE_MAX_BYTES {
            return Err(Unread);
        }
        let Some(json) = bytes.get(HEAD_BYTES..HEAD_BYTES + length) else {
            return Ok(None);
        };
        let preamble = serde_json::from_slice(json).map_err(|_| Unread)?;
        Ok(Some((preamble, HEAD_BYTES + length)))
    }

    /// How the client came in, if this is a request of HTTP.
    #[must_use]
    pub fn http_via(&self) -> Option<Via> {
        match self.what {
            Relayed::Http { secure: true } => Some(Via::Https),
            Relayed::Http { secure: false } => Some(Via::Http),
            Relayed::Ftp { .. } | Relayed::Sftp(_) | Relayed::Scp(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn preamble(secure: bool) -> Preamble {
        Preamble {
            peer: "[2001:db8::1]:4711".parse().unwrap(),
            what: Relayed::Http { secure },
        }
    }

    #[test]
    fn a_preamble_comes_out_as_it_went_in_once_it_is_complete() {
        let written = preamble(true).write().unwrap();
        for cut in 0..written.len() {
            assert_eq!(Preamble::read(&written[..cut]), Ok(None));
        }
        let mut more = written.clone();
        more.extend_from_slice(b"GET / HTTP/1.1");
        let read = Preamble::read(&more).unwrap().unwrap();
        assert_eq!(read, (preamble(true), written.len()));
        assert_eq!(Preamble::read(b"GET / HTTP/1.1"), Err(Unread));
        assert_eq!(
            Preamble::read(b"FGR\x02"),
            Err(Unread),
            "a version that is not known"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let with_magic = [&MAGIC[..], &bytes].concat();
            for bytes in [bytes, with_magic] {
                if let Ok(Some((_, length))) = Preamble::read(&bytes) {
                    prop_assert!(length <= bytes.len());
                }
            }
        }
    }
}
