//! What went wrong with a request.

use std::fmt;
use std::io;

use crate::limits::ERROR_TEXT_MAX_CHARS;

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    /// What errors are counted by: `HTTP 503`, `connection refused`, `wrong content`.
    pub kind: String,
    /// What exactly was said.
    pub text: String,
    /// Whether the connection is of no more use.
    pub broken: bool,
}

impl Failure {
    /// The server has refused, in good order.
    #[must_use]
    pub fn refused(kind: impl Into<String>, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let shown = text.chars().take(ERROR_TEXT_MAX_CHARS);
        Self {
            kind: kind.into(),
            text: shown
                .map(|letter| if letter.is_control() { ' ' } else { letter })
                .collect(),
            broken: false,
        }
    }

    /// The server has said what makes no sense, so that nobody knows what comes next.
    #[must_use]
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::refused("malformed answer", text).breaking()
    }

    /// What came is not what was stored.
    #[must_use]
    pub fn wrong(text: impl Into<String>) -> Self {
        Self::refused(Self::WRONG, text)
    }

    /// Kind of [`Failure::wrong`].
    pub const WRONG: &'static str = "wrong content";

    /// It took too long.
    #[must_use]
    pub fn timed_out(text: impl Into<String>) -> Self {
        Self::refused("timed out", text).breaking()
    }

    /// The same, and the connection is of no more use.
    #[must_use]
    pub fn breaking(mut self) -> Self {
        self.broken = true;
        self
    }

    /// The same, with what was being done.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// The connection has ended where it must not.
    #[must_use]
    pub fn closed() -> Self {
        Self::refused("connection closed", "the server has closed the connection").breaking()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            write!(f, "{}", self.kind)
        } else {
            write!(f, "{}: {}", self.kind, self.text)
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset",
            io::ErrorKind::UnexpectedEof => "connection closed",
            io::ErrorKind::TimedOut => "timed out",
            // This is how rustls' errors come.
            io::ErrorKind::InvalidData => "TLS",
            _ => "input and output",
        };
        Self::refused(kind, error.to_string()).breaking()
    }
}
