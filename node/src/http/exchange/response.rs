//! The head of an answer, as the node reads it that has passed a request on.

use std::mem::MaybeUninit;

use super::wire::Framing;
use crate::error::Error;
use crate::limits::{HEAD_MAX_BYTES, HEADER_MAX_COUNT};

/// Status and fields of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    status: u16,
    fields: Vec<(String, String)>,
}

impl ResponseHead {
    /// Reads a head from the front of `bytes`, with its length; `None`: it is not complete.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if it is none: nothing that follows can be read either.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADER_MAX_COUNT];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
            Ok(httparse::Status::Complete(consumed)) => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let fields = response.headers.iter();
                let head = Self {
                    status: response.code.unwrap_or_default(),
                    fields: fields
                        .map(|field| (field.name.to_owned(), text(field.value)))
                        .collect(),
                };
                Ok(Some((head, consumed)))
            }
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX_BYTES => Ok(None),
            _ => Err(Error::Disconnected),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// How the body is delimited; `None`: by the end of the connection, which nobody can tell from its loss.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        if let Some(coding) = self.field("transfer-encoding") {
            return coding.eq_ignore_ascii_case("chunked").then_some(Framing::Chunked);
        }
        match self.field("content-length") {
            Some(length) => length.parse().ok().map(Framing::Length),
            None => matches!(self.status, 100..=199 | 204 | 304).then_some(Framing::None),
        }
    }

    /// Whether the connection goes on behind it.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.field("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_how_their_bodies_end() {
        let read = |text: &str| {
            let parsed = ResponseHead::parse(text.as_bytes()).unwrap();
            parsed.map(|(head, length)| (head.status(), head.framing(), head.keeps(), length))
        };
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(read(one), Some((200, Some(Framing::Length(7)), true, one.len())));
        let two = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nabc";
        assert_eq!(
            read(two),
            Some((200, Some(Framing::Chunked), false, two.len() - 3))
        );
        let three = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(read(three), Some((100, Some(Framing::None), true, three.len())));
        let four = "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(read(four), Some((200, None, true, four.len())));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent"), None);
        assert!(ResponseHead::parse(b"FTP 220 hello\r\n\r\n").is_err());
        assert!(ResponseHead::parse(&vec![b'H'; HEAD_MAX_BYTES]).is_err());
    }
}
