//! Splits a `multipart/form-data` body (RFC 7578), in place.
//!
//! The splitter is a state machine over slices: it copies nothing but the heads of parts and keeps no payload. It
//! is shown the body's bytes from where it last stopped; what it has not consumed is shown again with more
//! behind it. Payload is reported as far as it cannot be part of a delimiter, so at most one delimiter's
//! length stays back.

mod head;
mod splitter;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

pub use self::head::{PartHead, boundary_of};
pub use self::splitter::{Splitter, Step};

/// Why a body is refused. Texts are shown to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// No boundary, or one that RFC 2046 §5.1.1 does not allow.
    #[error("the Content-Type names no valid boundary")]
    Boundary,
    /// The body ends before the final boundary.
    #[error("the body ends before the final boundary")]
    CutOff,
    /// More than [`crate::limits::FORM_AROUND_MAX_BYTES`] outside of the parts.
    #[error("there are too many bytes before the first or behind the final boundary")]
    Around,
    /// A part's head cannot be read.
    #[error("the head of a part is malformed")]
    Head,
    /// A part's head is over its limit.
    #[error("the head of a part is too long")]
    HeadTooLong,
    /// A part is not `form-data` or has no name.
    #[error("a part has no name: Content-Disposition: form-data; name=… is needed")]
    Unnamed,
}
