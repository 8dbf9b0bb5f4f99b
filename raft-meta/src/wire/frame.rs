//! Frames, byte by byte. Pure.
//!
//! # Layout
//!
//! All numbers little endian.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 4 | CRC32 of the rest of the header and the body |
//! | 8 | 1 | version, 1 |
//! | 9 | 1 | kind |
//! | 10 | 2 | method of a request or a watch, else zero |
//! | 12 | 4 | zero |
//! | 16 | 8 | number of the request, chosen by the client; of a hello and a welcome 0 |
//!
//! The body follows. A connection begins with a hello of the client and a welcome, or a refusal, of the server.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Method;

/// Length of a header.
pub const HEADER_BYTES: usize = 24;
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who the client is and whom it wants.
    Hello = 1,
    /// The server is the one.
    Welcome = 2,
    /// A request.
    Request = 3,
    /// The answer to a request.
    Answer = 4,
    /// The refusal of a request, a watch or a hello.
    Refusal = 5,
    /// A request for a stream.
    Watch = 6,
    /// An item of a stream.
    Item = 7,
    /// The end of a stream.
    End = 8,
    /// The client wants no more of a stream.
    Cancel = 9,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [
            Self::Hello,
            Self::Welcome,
            Self::Request,
            Self::Answer,
            Self::Refusal,
            Self::Watch,
            Self::Item,
            Self::End,
            Self::Cancel,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == number)
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What is asked.
    pub method: Method,
    /// Number of the request.
    pub number: u64,
    /// The body.
    pub body: Bytes,
}

/// Why bytes are no frame. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another protocol, or another version of this one.
    #[error("a frame of version {0}; this program speaks version {VERSION}")]
    Version(u8),
    /// A kind that is not known.
    #[error("a frame of an unknown kind")]
    Kind,
    /// Longer than is allowed here; both in bytes.
    #[error("a frame of {length} bytes where {max} are allowed")]
    TooLong {
        /// What it says.
        length: u32,
        /// The limit.
        max: usize,
    },
    /// The sum is another.
    #[error("a frame does not match its checksum")]
    Sum,
}

impl Frame {
    /// A frame without a method.
    #[must_use]
    pub fn new(kind: Kind, number: u64, body: Bytes) -> Self {
        Self {
            kind,
            method: Method(0),
            number,
            body,
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let (front, rest) = header.split_at_mut(8);
        let mut to = &mut *rest;
        to.put_u8(VERSION);
        to.put_u8(self.kind as u8);
        to.put_u16_le(self.method.0);
        to.put_u32_le(0);
        to.put_u64_le(self.number);
        let sum = sum_of(rest, &self.body);
        let mut to = &mut *front;
        to.put_u32_le(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        to.put_u32_le(sum);
        header
    }
}

fn sum_of(rest: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(rest);
    sum.update(body);
    sum.finalize()
}

/// Cuts bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    /// What has been read and is not a whole frame yet.
    pub buffer: BytesMut,
    /// Longest body.
    pub max_bytes: usize,
}

impl Decoder {
    /// A decoder that takes bodies up to a length.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_bytes,
        }
    }

    /// The next frame; `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// If the bytes are none. A length beyond the limit is refused before its bytes have come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let mut fields = &header[..];
        let (length, sum) = (fields.get_u32_le(), fields.get_u32_le());
        let (version, kind) = (fields.get_u8(), fields.get_u8());
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let method = Method(fields.get_u16_le());
        fields.advance(4);
        let number = fields.get_u64_le();
        if length as usize > self.max_bytes {
            let max = self.max_bytes;
            return Err(FrameError::TooLong { length, max });
        }
        let end = HEADER_BYTES + length as usize;
        let Some(frame) = self.buffer.get(..end) else {
            return Ok(None);
        };
        let (header, body) = frame.split_at(HEADER_BYTES);
        if sum_of(header.get(8..).unwrap_or_default(), body) != sum {
            return Err(FrameError::Sum);
        }
        let kind = Kind::of(kind).ok_or(FrameError::Kind)?;
        let mut frame = self.buffer.split_to(end);
        frame.advance(HEADER_BYTES);
        Ok(Some(Frame {
            kind,
            method,
            number,
            body: frame.freeze(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Frame> {
        (
            1..10_u8,
            any::<u16>(),
            any::<u64>(),
            proptest::collection::vec(any::<u8>(), 0..50),
        )
            .prop_map(|(kind, method, number, body)| Frame {
                kind: Kind::of(kind).unwrap(),
                method: Method(method),
                number,
                body: body.into(),
            })
    }

    proptest! {
        #[test]
        fn frames_are_cut_wherever_the_bytes_break(frames in proptest::collection::vec(frames(), 1..6), step in 1..60_usize) {
            let mut bytes = Vec::new();
            for frame in &frames {
                bytes.extend_from_slice(&frame.header());
                bytes.extend_from_slice(&frame.body);
            }
            let mut decoder = Decoder::new(50);
            let mut read = Vec::new();
            for some in bytes.chunks(step) {
                decoder.buffer.extend_from_slice(some);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn a_flipped_bit_is_noticed(frame in frames(), bit in any::<prop::sample::Index>()) {
            let mut decoder = Decoder::new(60);
            decoder.buffer.extend_from_slice(&frame.header());
            decoder.buffer.extend_from_slice(&frame.body);
            let bit = bit.index(decoder.buffer.len() * 8);
            decoder.buffer[bit / 8] ^= 1 << (bit % 8);
            // A longer length waits for bytes that never come; everything else is refused.
            prop_assert!(!matches!(decoder.next_frame(), Ok(Some(_))));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(100);
            decoder.buffer.extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
