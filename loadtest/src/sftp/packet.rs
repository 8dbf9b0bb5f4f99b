//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02). No I/O.
//!
//! # Layout
//!
//! Length of the rest (4 bytes, big-endian), kind (1), id (4; the first packet of each side has its version there), fields. A
//! string is its length (4) and its bytes.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::PACKET_MAX_BYTES;

/// Kinds of requests, sections 4 and 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "named as in the draft")]
pub(super) enum Request {
    Init = 1,
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    OpenDirectory = 11,
    ReadDirectory = 12,
    Remove = 13,
    MakeDirectory = 14,
    RemoveDirectory = 15,
    Extended = 200,
}

/// Flags of `Open`, section 6.3.
pub(super) const READ: u32 = 1;
/// Write, make it, and empty it.
pub(super) const PUT: u32 = 0x02 | 0x08 | 0x10;

/// Status codes, section 7.
pub(super) const OK: u32 = 0;
/// The end of a file or a directory.
pub(super) const EOF: u32 = 1;

/// A request that is being written.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A request with room for so many bytes of fields.
    #[must_use]
    pub(super) fn new(kind: Request, id: u32, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(9 + room);
        bytes.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
        bytes.extend_from_slice(&id.to_be_bytes());
        Self(bytes)
    }

    /// A field of four bytes.
    #[must_use]
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A field of eight bytes.
    #[must_use]
    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A string.
    #[must_use]
    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let mut with_length = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        with_length.0.extend_from_slice(bytes);
        with_length
    }

    /// The packet.
    #[must_use]
    pub(super) fn finish(mut self) -> Bytes {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        if let Some(front) = self.0.get_mut(..4) {
            front.copy_from_slice(&length.to_be_bytes());
        }
        self.0.into()
    }
}

/// A reply, section 7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Names of the extensions that the server has.
    Version(Vec<String>),
    /// How a request ended.
    Status {
        /// [`OK`], [`EOF`], or what went wrong.
        code: u32,
        /// What the server says about it.
        text: String,
    },
    /// What names an open file.
    Handle(Bytes),
    /// Bytes of a file.
    Data(Bytes),
    /// Entries of a directory.
    Names(Vec<Entry>),
    /// Fields of an extension's own.
    Extended(Bytes),
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file.
    pub size: u64,
}

/// Takes the next packet from what has come: its id and what it says.
///
/// # Errors
///
/// If it is none.
pub(super) fn take(arrived: &mut BytesMut) -> Result<Option<(u32, Reply)>, String> {
    let Some(length) = arrived
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four) as usize)
    else {
        return Ok(None);
    };
    // Data of the longest read has some bytes around it.
    if length > PACKET_MAX_BYTES + 1024 {
        return Err(format!("a packet of {length} bytes"));
    }
    if arrived.len() < 4 + length {
        return Ok(None);
    }
    arrived.advance(4);
    let mut packet = Fields(arrived.split_to(length).freeze());
    let reply = parse(&mut packet);
    reply
        .map(Some)
        .ok_or_else(|| "a packet that ends early or is of no known kind".to_owned())
}

fn parse(packet: &mut Fields) -> Option<(u32, Reply)> {
    let kind = packet.u8()?;
    let id = packet.u32()?;
    let reply = match kind {
        2 => {
            let mut extensions = Vec::new();
            while !packet.0.is_empty() {
                extensions.push(packet.text()?);
                packet.string()?;
            }
            Reply::Version(extensions)
        }
        101 => Reply::Status {
            code: packet.u32()?,
            // Old servers leave the text out.
            text: packet.text().unwrap_or_default(),
        },
        102 => Reply::Handle(packet.string()?),
        103 => Reply::Data(packet.string()?),
        104 => {
            let count = packet.u32()?;
            // Each entry takes bytes, so that a lie about their number ends soon.
            let entries = (0..count).map(|_| packet.entry()).collect::<Option<Vec<_>>>()?;
            Reply::Names(entries)
        }
        201 => Reply::Extended(packet.0.clone()),
        _ => return None,
    };
    Some((id, reply))
}

/// What is left of a packet.
pub(super) struct Fields(pub Bytes);

impl Fields {
    fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32().ok()
    }

    /// A field of eight bytes.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    fn string(&mut self) -> Option<Bytes> {
        let length = self.u32()? as usize;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.string()?).into_owned())
    }

    /// Name, a line for people, and attributes (section 5).
    fn entry(&mut self) -> Option<Entry> {
        let name = self.text()?;
        self.string()?;
        let flags = self.u32()?;
        let has = |flag: u32| flags & flag != 0;
        let size = if has(1) { self.u64()? } else { 0 };
        if has(2) {
            self.u64()?;
        }
        let mode = if has(4) { self.u32()? } else { 0 };
        if has(8) {
            self.u64()?;
        }
        if has(1 << 31) {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Some(Entry {
            name,
            is_directory: mode & 0o170_000 == 0o040_000,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(kind: u8, id: u32, fields: &[u8]) -> Vec<u8> {
        let length = u32::try_from(fields.len() + 5).unwrap();
        [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), fields].concat()
    }

    #[test]
    fn requests_are_written() {
        let bytes = Writer::new(Request::Read, 7, 0)
            .string(b"h")
            .u64(1)
            .u32(2)
            .finish();
        assert_eq!(
            bytes[..],
            packet(5, 7, b"\0\0\0\x01h\0\0\0\0\0\0\0\x01\0\0\0\x02")
        );
    }

    #[test]
    fn replies_are_read() {
        let mut arrived = BytesMut::new();
        arrived.extend_from_slice(&packet(101, 3, b"\0\0\0\x04\0\0\0\x02no\0\0\0\0"));
        arrived.extend_from_slice(&packet(103, 4, b"\0\0\0\x05hello"));
        let entry = b"\0\0\0\x01\0\0\0\x01d\0\0\0\x02ll\0\0\0\x05\0\0\0\0\0\0\0\x09\0\0\x41\xed";
        arrived.extend_from_slice(&packet(104, 5, entry));
        arrived.extend_from_slice(&packet(2, 3, b"\0\0\0\x01e\0\0\0\x011"));
        let mut next = || take(&mut arrived).unwrap().unwrap();
        let text = "no".to_owned();
        assert_eq!(next(), (3, Reply::Status { code: 4, text }));
        assert_eq!(next(), (4, Reply::Data(Bytes::from_static(b"hello"))));
        let entry = Entry {
            name: "d".to_owned(),
            is_directory: true,
            size: 9,
        };
        assert_eq!(next(), (5, Reply::Names(vec![entry])));
        assert_eq!(next(), (3, Reply::Version(vec!["e".to_owned()])));
        assert_eq!(take(&mut arrived), Ok(None));
    }

    #[test]
    fn what_is_none_is_refused() {
        let huge = packet(104, 5, b"\xff\xff\xff\xff");
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            &packet(99, 0, b""),
            &packet(103, 0, b"\0\0\0\x09x"),
            &huge,
        ] {
            assert!(take(&mut BytesMut::from(bytes)).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind: u8, fields: Vec<u8>) {
            let _ = take(&mut BytesMut::from(&packet(kind, 1, &fields)[..]));
            let _ = take(&mut BytesMut::from(&fields[..]));
        }
    }
}
