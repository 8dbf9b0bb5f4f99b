//! What a record of the shard log holds.

use filegrid_journal::codec;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A change, in the sequence.
    Change = 1,
    /// An inline blob, outside the sequence.
    Blob = 2,
    /// An inline blob that compaction has copied here, outside the sequence.
    MovedBlob = 3,
    /// What happens to a kept partial, outside the sequence.
    Partial = 4,
}

impl codec::Kind for RecordKind {
    fn number(self) -> u8 {
        self as u8
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Change, Self::Blob, Self::MovedBlob, Self::Partial]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A record of the shard log that was read.
pub type Record<'a> = codec::Record<'a, RecordKind>;
