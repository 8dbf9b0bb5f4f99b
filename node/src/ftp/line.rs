//! Bytes of the control connection to lines: telnet (RFC 854) taken out, lengths bounded.

use crate::limits::{FTP_LINE_DROPPED_MAX_BYTES, FTP_LINE_MAX_BYTES};

const IAC: u8 = 255;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// What a line begins, seen from telnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telnet {
    Text,
    /// Behind an IAC.
    Command,
    /// Behind an IAC that takes an option.
    Option,
}

/// Gathers a line.
#[derive(Debug)]
pub struct Lines {
    line: Vec<u8>,
    telnet: Telnet,
    /// Bytes of the line that were dropped because it is too long.
    dropped: usize,
}

/// What some bytes make.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole line, without its end.
    Line(Vec<u8>),
    /// A line that was too long; it was passed over up to its end.
    TooLong,
    /// A line that does not end.
    Endless,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            telnet: Telnet::Text,
            dropped: 0,
        }
    }
}

impl Lines {
    /// Takes bytes up to the end of the next line: how many, and what they made, if a line has ended.
    ///
    /// A line ends with CR LF or LF. A NUL behind a CR stands for the CR alone (RFC 854), which is kept.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Event>) {
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(text) = self.telnet(*byte) {
                match text {
                    b'\n' => return (at + 1, Some(self.end())),
                    0 if self.line.last() == Some(&b'\r') => {}
                    _ if self.line.len() < FTP_LINE_MAX_BYTES => self.line.push(text),
                    _ => self.dropped += 1,
                }
                if self.dropped > FTP_LINE_DROPPED_MAX_BYTES {
                    return (at + 1, Some(Event::Endless));
                }
            }
        }
        (bytes.len(), None)
    }

    /// Whether a line has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.line.is_empty()
    }

    /// What a byte is as text; `None` if it belongs to telnet.
    fn telnet(&mut self, byte: u8) -> Option<u8> {
        match (self.telnet, byte) {
            (Telnet::Text, IAC) => {
                self.telnet = Telnet::Command;
                None
            }
            (Telnet::Text, _) => Some(byte),
            (Telnet::Command, IAC) => {
                self.telnet = Telnet::Text;
                Some(IAC)
            }
            (Telnet::Command, WILL..=DONT) => {
                self.telnet = Telnet::Option;
                None
            }
            (Telnet::Command | Telnet::Option, _) => {
                self.telnet = Telnet::Text;
                None
            }
        }
    }

    fn end(&mut self) -> Event {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.dropped) > 0 {
            return Event::TooLong;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Event::Line(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Event> {
        let mut lines = Lines::default();
        let mut rest = bytes;
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (n, event) = lines.take(rest);
            rest = &rest[n..];
            events.extend(event);
        }
        events
    }

    fn line(text: &[u8]) -> Event {
        Event::Line(text.to_vec())
    }

    #[test]
    fn lines_end_and_telnet_goes() {
        assert_eq!(all(b"USER a\r\nPASS b\nNO"), [line(b"USER a"), line(b"PASS b")]);
        assert_eq!(all(b"\xff\xf4\xff\xf2ABOR\r\n"), [line(b"ABOR")]);
        assert_eq!(all(b"A\xff\xfb\x01B\xff\xffC\r\n"), [line(b"AB\xffC")]);
        assert_eq!(all(b"a\r\0b\r\n"), [line(b"a\rb")]);
    }

    #[test]
    fn long_lines_are_passed_over_and_endless_ones_told() {
        let mut long = vec![b'x'; FTP_LINE_MAX_BYTES];
        long.extend_from_slice(b"\nNOOP\r\n");
        assert_eq!(all(&long).len(), 2);
        long.insert(0, b'x');
        assert_eq!(all(&long), [Event::TooLong, line(b"NOOP")]);
        let endless = vec![b'x'; FTP_LINE_MAX_BYTES + FTP_LINE_DROPPED_MAX_BYTES + 1];
        assert_eq!(all(&endless), [Event::Endless]);
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_lines(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            let whole = all(&bytes);
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            let mut lines = Lines::default();
            let mut events = Vec::new();
            for mut piece in [front, back] {
                while !piece.is_empty() {
                    let (n, event) = lines.take(piece);
                    piece = &piece[n..];
                    events.extend(event);
                }
            }
            prop_assert_eq!(whole, events);
        }
    }
}
