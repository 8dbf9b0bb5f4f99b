//! What can go wrong, by who has to act on it.
//!
//! One enum for the whole node. `http::problem` turns it into HTTP statuses; other protocols will have a
//! table of their own. An error is logged where it is handled, never where it is passed on.

use std::time::Duration;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The client: its request cannot be done as it stands.
    Client,
    /// The peer or the network: the connection is gone.
    Peer,
    /// The operator: disk, space, configuration.
    Disk,
    /// Us.
    Bug,
}

/// An error of a request.
///
/// Texts are shown to clients as they are, so they name what the client can change and nothing of the inside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is malformed (HTTP 400).
    #[error("{0}")]
    BadRequest(String),
    /// No, a bad or an expired token, or wrong credentials (401).
    #[error("{0}")]
    Unauthorized(String),
    /// The scope or the root does not allow it (403).
    #[error("{0}")]
    Forbidden(String),
    /// The path, id or route does not exist (404).
    #[error("{0}")]
    NotFound(String),
    /// The route exists, the method does not (405); `allow` is the `Allow` header.
    #[error("this route answers {allow}")]
    MethodNotAllowed {
        /// Methods the route answers, comma-separated.
        allow: &'static str,
    },
    /// The client was too slow (408).
    #[error("{0}")]
    Timeout(&'static str),
    /// The state of the tree forbids it (409).
    #[error("{0}")]
    Conflict(String),
    /// A body without a length where one is needed (411).
    #[error("send a Content-Length or use chunked transfer encoding")]
    LengthRequired,
    /// `If-Match` or `If-Unmodified-Since` does not hold (412).
    #[error("the file has changed")]
    PreconditionFailed,
    /// The body or a part of it is over a limit (413).
    #[error("{0}")]
    TooLarge(String),
    /// The request target is over its limit (414).
    #[error("the request target is longer than {limit_bytes} bytes")]
    UriTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The media type is not one the route takes (415).
    #[error("{0}")]
    UnsupportedMedia(String),
    /// No range can be satisfied (416).
    #[error("the file has {len} bytes")]
    RangeNotSatisfiable {
        /// Length of the representation, for `Content-Range: bytes */len`.
        len: u64,
    },
    /// Too many attempts (429).
    #[error("{detail}")]
    TooManyRequests {
        /// What there was too much of.
        detail: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// The head is over its limits (431).
    #[error("{0}")]
    HeadTooLarge(String),
    /// The node that has the files did not answer: nobody knows whether it was done (502).
    #[error("{0}")]
    Gateway(String),
    /// Not now, but soon (503).
    #[error("{detail}")]
    Unavailable {
        /// Why.
        detail: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// The disk is at its low-water mark or a quota is used up (507).
    #[error("there is no space left for uploads")]
    StorageFull,
    /// Stored bytes do not match their checksum (500). The text is logged, not shown.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// A read or a write of the disk failed (500). The text is logged, not shown.
    #[error("disk: {0}")]
    Disk(String),
    /// A bug (500). The text is logged, not shown.
    #[error("internal: {0}")]
    Internal(String),
    /// The log is fenced: the outcome is unknown, so the connection is closed without an answer.
    #[error("the log is fenced")]
    Fenced,
    /// The peer is gone; nobody is there to be answered.
    #[error("the peer is gone")]
    Disconnected,
}

impl Error {
    /// Who has to act on it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Disconnected | Self::Timeout(_) | Self::Gateway(_) => Class::Peer,
            Self::StorageFull | Self::Damaged(_) | Self::Disk(_) | Self::Fenced => Class::Disk,
            Self::Internal(_) => Class::Bug,
            _ => Class::Client,
        }
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        matches!(
            self,
            Self::TooManyRequests { .. } | Self::Unavailable { .. } | Self::Timeout(_) | Self::Disconnected
        )
    }
}
