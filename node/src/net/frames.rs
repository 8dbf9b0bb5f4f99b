//! What a session of FTP is between two nodes: commands, replies and files, on one connection.
//!
//! # Layout
//!
//! Kind (1), length (2, little endian), so many bytes.

use super::{Inbound, Outbound};
use crate::error::Error;

/// Bytes of a frame: it fits a buffer that has grown once, with its head.
pub const FRAME_MAX_BYTES: usize = 60 << 10;
const HEAD_BYTES: usize = 3;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A command line, with its end.
    Line = 1,
    /// Bytes of replies.
    Reply = 2,
    /// Bytes of a file or a listing.
    Data = 3,
    /// The end of those: there are no more.
    End = 4,
    /// The end of those before their time.
    Abort = 5,
}

impl FrameKind {
    const ALL: [Self; 5] = [Self::Line, Self::Reply, Self::Data, Self::End, Self::Abort];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The next frame, which lies at the front of what was received behind its head: see [`payload`]. `None`: the other node is
/// done. Nothing is lost if this is given up.
///
/// # Errors
///
/// The connection broke, or what has come is no frame.
pub async fn next_frame(inbound: &mut Inbound) -> Result<Option<(FrameKind, usize)>, Error> {
    loop {
        if let [kind, low, high, rest @ ..] = inbound.bytes() {
            let kind = FrameKind::of(*kind).ok_or(Error::Disconnected)?;
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            if length > FRAME_MAX_BYTES {
                return Err(Error::Disconnected);
            }
            if rest.len() >= length {
                return Ok(Some((kind, length)));
            }
        }
        let began = !inbound.bytes().is_empty();
        if inbound.more(0).await? == 0 {
            return if began { Err(Error::Disconnected) } else { Ok(None) };
        }
    }
}

/// The bytes of the frame at the front.
#[must_use]
pub fn payload(inbound: &Inbound, length: usize) -> &[u8] {
    inbound
        .bytes()
        .get(HEAD_BYTES..HEAD_BYTES + length)
        .unwrap_or_default()
}

/// Drops the frame at the front.
pub fn pass(inbound: &mut Inbound, length: usize) {
    inbound.consume(HEAD_BYTES + length);
}

/// Sends bytes as frames of a kind; one if there are none.
///
/// # Errors
///
/// The connection broke.
pub async fn send_frames(outbound: &mut Outbound, kind: FrameKind, bytes: &[u8]) -> Result<(), Error> {
    let mut rest = bytes;
    loop {
        let (now, later) = rest.split_at(rest.len().min(FRAME_MAX_BYTES));
        let length = u16::try_from(now.len()).unwrap_or(u16::MAX).to_le_bytes();
        outbound.held().push(kind as u8);
        outbound.held().extend_from_slice(&length);
        outbound.send(now, b"").await?;
        rest = later;
        if rest.is_empty() {
            return Ok(());
        }
    }
}
