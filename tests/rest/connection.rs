//! A connection of a client that sends exactly what it is told, and the answers that come over it.

use std::io::{BufRead, BufReader, Read, Write};

use serde_json::Value;

use crate::wire::Wire;

/// A connection that may be used for several requests.
pub(crate) struct Connection {
    reader: BufReader<Wire>,
}

impl Connection {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            reader: BufReader::new(wire),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The server may have refused and closed already: its answer counts.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next reply, by its framing.
    pub(crate) fn reply(&mut self, method: &str) -> Reply {
        let status_line = self.line();
        let status = status_line
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("{status_line:?}"))
            .parse()
            .unwrap();
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut reply = Reply {
            status,
            fields,
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(status, 204 | 304) {
            return reply;
        }
        if reply.field("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                self.reader.read_exact(&mut chunk).unwrap();
                assert!(chunk.ends_with(b"\r\n"));
                chunk.truncate(size);
                if size == 0 {
                    return reply;
                }
                reply.body.extend_from_slice(&chunk);
            }
        }
        let length = reply.field("content-length").unwrap().parse().unwrap();
        reply.body = vec![0; length];
        self.reader.read_exact(&mut reply.body).unwrap();
        reply
    }

    /// Whether the server has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Demands a problem with this status.
    pub(crate) fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.field("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["rslt"], "ERROR");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
    }
}
