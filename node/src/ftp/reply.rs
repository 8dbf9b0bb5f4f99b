//! Replies, and what errors are in replies.

use crate::error::Error;

/// A reply: a code, and a line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
    /// Whether the connection ends with it.
    last: bool,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            lines: vec![text.into()],
            last: false,
        }
    }

    /// A reply of several lines; the last stands behind the code alone.
    #[must_use]
    pub fn lines(code: u16, lines: Vec<String>) -> Self {
        Self {
            code,
            lines,
            last: false,
        }
    }

    /// Reads a reply from the front of `bytes`, as [`Reply::write`] writes it, with its length; `None`: it is not complete, or
    /// none. One with code 421 ends the connection.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (mut lines, mut at) = (Vec::new(), 0);
        while let Some(length) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let line = String::from_utf8_lossy(bytes.get(at..at + length)?).into_owned();
            let line = line.trim_end_matches('\r');
            at += length + 1;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            match (code, line.get(3..4)) {
                (Some(code), Some(" ")) => {
                    lines.push(line.get(4..).unwrap_or_default().to_owned());
                    let last = code == 421;
                    return Some((Self { code, lines, last }, at));
                }
                (Some(_), Some("-")) if lines.is_empty() => {
                    lines.push(line.get(4..).unwrap_or_default().to_owned());
                }
                _ => lines.push(line.strip_prefix(' ').unwrap_or(line).to_owned()),
            }
        }
        None
    }

    /// The connection ends with it.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        self.last = true;
        self
    }

    /// The same under another code.
    #[must_use]
    pub fn with_code(self, code: u16) -> Self {
        Self { code, ..self }
    }

    /// Whether the connection ends with it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.last
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Appends it to `out`, RFC 959 §4.2. Nothing that is not ours can begin a line: what stands between the first and
    /// the last is moved in by a space, and control characters are shown as `?`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let end = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let front = match at {
                _ if at == end => format!("{} ", self.code),
                0 => format!("{}-", self.code),
                _ => " ".to_owned(),
            };
            out.extend_from_slice(front.as_bytes());
            out.extend_from_slice(printable(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What an error is in a reply; `None`: the connection ends without one.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let (code, text) = match error {
            Error::StorageFull => (452, error.to_string()),
            Error::TooLarge(_) => (552, error.to_string()),
            Error::Unavailable { .. } | Error::TooManyRequests { .. } => (450, error.to_string()),
            Error::Unauthorized(_) => (530, error.to_string()),
            Error::Damaged(_) | Error::Disk(_) | Error::Internal(_) => {
                (451, "The server has failed; it has logged why".to_owned())
            }
            Error::Timeout(_) => (426, "The transfer came to a halt".to_owned()),
            Error::Fenced | Error::Disconnected => return None,
            _ => (550, error.to_string()),
        };
        Some(Self::new(code, text))
    }
}

/// Without control characters.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}

/// A path as replies 257 quote it, RFC 959 appendix II.
#[must_use]
pub fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_they_are_written() {
        for reply in [
            Reply::new(226, "Stored"),
            Reply::new(213, ""),
            Reply::new(421, "The end").and_close(),
            Reply::lines(
                250,
                vec!["Listing /a".into(), "size=1; 250 a".into(), "End".into()],
            ),
            Reply::lines(
                211,
                vec!["211 b".into(), String::new(), " c".into(), "End".into()],
            ),
        ] {
            let mut bytes = Vec::new();
            reply.write(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Reply::read(&bytes[..cut]), None);
            }
            let length = bytes.len();
            bytes.extend_from_slice(b"200 the next");
            assert_eq!(Reply::read(&bytes), Some((reply, length)));
        }
    }

    #[test]
    fn no_text_can_end_a_reply_or_begin_another() {
        let mut out = Vec::new();
        Reply::lines(211, vec!["a".into(), "211 b\r\n226 c".into(), "End".into()]).write(&mut out);
        assert_eq!(out, b"211-a\r\n 211 b??226 c\r\n211 End\r\n");
        assert_eq!(quoted("/a\"b"), "\"/a\"\"b\"");
    }
}
