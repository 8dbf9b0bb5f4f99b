//! Batches and records, byte by byte. Pure.
//!
//! # Layout
//!
//! All numbers little endian. A batch begins on a 4 KiB boundary of its segment and is padded with zeros to
//! the next one.
//!
//! | offset | bytes | batch header |
//! |---|---|---|
//! | 0 | 4 | `FGB1` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | zero |
//! | 8 | 8 | generation: start of the node (high 32 bits), use of a segment in that start |
//! | 16 | 4 | offset of this batch in the segment |
//! | 20 | 4 | length of the batch, header included, padding not |
//! | 24 | 4 | number of records |
//! | 28 | 4 | CRC32 of the batch before, 0 for the first ever |
//! | 32 | 8 | mark: highest sequence known to be durable when this was written |
//! | 40 | 8 | base: highest sequence before this batch |
//! | 48 | 12 | zero |
//! | 60 | 4 | CRC32 of the batch without these four bytes |
//!
//! | offset | bytes | record header |
//! |---|---|---|
//! | 0 | 4 | length of the payload |
//! | 4 | 4 | CRC32 of the rest of the header and the payload |
//! | 8 | 1 | kind, of those that the log knows |
//! | 9 | 1 | version, 1 |
//! | 10 | 6 | zero |
//! | 16 | 8 | generation |
//! | 24 | 8 | sequence; 0 for kinds that are outside it |
//!
//! The payload follows, padded with zeros to a multiple of 8.

use serde::{Deserialize, Serialize};

use crate::BLOCK_BYTES;

/// Length of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 64;
/// Length of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"FGB1";
const VERSION: u8 = 1;
const CRC_AT: usize = 60;

/// What a record of one log can hold.
pub trait Kind: Copy + Eq {
    /// The number that stands for it on the disk.
    fn number(self) -> u8;
    /// The kind that a number stands for, if the log knows one.
    fn of(number: u8) -> Option<Self>;
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u32,
    /// Generation of its use.
    pub generation: u64,
    /// Offset of the record's header in the segment.
    pub offset: u32,
    /// Length of the payload.
    pub length: u32,
}

/// A point between two batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Generation of the segment's use.
    pub generation: u64,
    /// Number of the segment.
    pub segment: u32,
    /// Offset behind the last batch.
    pub offset: u32,
    /// Highest sequence up to here.
    pub sequence: u64,
    /// CRC32 of the batch before.
    pub crc: u32,
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Generation of the segment's use.
    pub generation: u64,
    /// Offset of the batch in the segment.
    pub offset: u32,
    /// Length, header included, padding not.
    pub length: u32,
    /// Number of records.
    pub records: u32,
    /// CRC32 of the batch before.
    pub previous: u32,
    /// Highest sequence known durable.
    pub mark: u64,
    /// Highest sequence before this batch.
    pub base: u64,
    /// CRC32 of the batch.
    pub crc: u32,
}

impl BatchHeader {
    /// Reads a header; says nothing of the batch's sum.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<BATCH_HEADER_BYTES>()?;
        if header.get(..4)? != MAGIC || *header.get(4)? != VERSION {
            return None;
        }
        let found = Self {
            generation: u64_at(header, 8)?,
            offset: u32_at(header, 16)?,
            length: u32_at(header, 20)?,
            records: u32_at(header, 24)?,
            previous: u32_at(header, 28)?,
            mark: u64_at(header, 32)?,
            base: u64_at(header, 40)?,
            crc: u32_at(header, CRC_AT)?,
        };
        (found.length as usize >= BATCH_HEADER_BYTES).then_some(found)
    }

    /// Writes the header over the first bytes of a batch and returns the batch's CRC32. `crc` is ignored.
    pub fn seal(&self, batch: &mut [u8]) -> u32 {
        let mut header = Vec::with_capacity(BATCH_HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&[VERSION, 0, 0, 0]);
        header.extend_from_slice(&self.generation.to_le_bytes());
        header.extend_from_slice(&self.offset.to_le_bytes());
        header.extend_from_slice(&self.length.to_le_bytes());
        header.extend_from_slice(&self.records.to_le_bytes());
        header.extend_from_slice(&self.previous.to_le_bytes());
        header.extend_from_slice(&self.mark.to_le_bytes());
        header.extend_from_slice(&self.base.to_le_bytes());
        header.resize(BATCH_HEADER_BYTES, 0);
        if let Some(to) = batch.get_mut(..BATCH_HEADER_BYTES) {
            to.copy_from_slice(&header);
        }
        let sum = sum_of(batch);
        if let Some(to) = batch.get_mut(CRC_AT..BATCH_HEADER_BYTES) {
            to.copy_from_slice(&sum.to_le_bytes());
        }
        sum
    }

    /// Length with the padding.
    #[must_use]
    pub fn padded(&self) -> u32 {
        self.length
            .next_multiple_of(u32::try_from(BLOCK_BYTES).unwrap_or(1))
    }

    /// Whether this header, found at an offset of a segment that is in use as `generation`, is the link of the chain
    /// behind `end`. Its sum is another matter: see [`Self::matches`].
    #[must_use]
    pub fn follows(&self, end: &Position, generation: u64, offset: u32) -> bool {
        self.generation == generation
            && self.offset == offset
            && self.previous == end.crc
            && self.base == end.sequence
    }

    /// Whether `batch`, of exactly the header's length, has the header's sum.
    #[must_use]
    pub fn matches(&self, batch: &[u8]) -> bool {
        batch.len() == self.length as usize && sum_of(batch) == self.crc
    }
}

fn sum_of(batch: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(batch.get(..CRC_AT).unwrap_or_default());
    sum.update(batch.get(BATCH_HEADER_BYTES..).unwrap_or_default());
    sum.finalize()
}

/// Bytes that a record with a payload of this length takes.
#[must_use]
pub fn footprint(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(8)
}

/// The header of a record. Its payload is the parts one after the other.
#[must_use]
pub fn record_header<K: Kind>(
    kind: K,
    generation: u64,
    sequence: u64,
    parts: &[&[u8]],
) -> [u8; RECORD_HEADER_BYTES] {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut header = [0; RECORD_HEADER_BYTES];
    let (front, rest) = header.split_at_mut(8);
    let mut at = rest.iter_mut();
    let fields = [kind.number(), VERSION, 0, 0, 0, 0, 0, 0];
    for byte in fields
        .into_iter()
        .chain(generation.to_le_bytes())
        .chain(sequence.to_le_bytes())
    {
        if let Some(to) = at.next() {
            *to = byte;
        }
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(rest);
    parts.iter().for_each(|part| sum.update(part));
    let (to_length, to_sum) = front.split_at_mut(4);
    to_length.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    to_sum.copy_from_slice(&sum.finalize().to_le_bytes());
    header
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a, K> {
    /// What it holds.
    pub kind: K,
    /// Generation that it was written in.
    pub generation: u64,
    /// Its sequence.
    pub sequence: u64,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Too few bytes for it.
    #[error("the record is cut off")]
    Short,
    /// The sum is another.
    #[error("the record does not match its checksum")]
    Sum,
    /// A kind or version that this program does not know.
    #[error("the record is of an unknown kind")]
    Unknown,
    /// Another record is there.
    #[error("another record is there")]
    Other,
}

/// Reads the record at the front of `bytes` and says how many bytes it takes.
///
/// # Errors
///
/// If the bytes are none.
pub fn read_record<K: Kind>(bytes: &[u8]) -> Result<(Record<'_, K>, usize), Damage> {
    let header = bytes.first_chunk::<RECORD_HEADER_BYTES>().ok_or(Damage::Short)?;
    let length = u32_at(header, 0).ok_or(Damage::Short)? as usize;
    let end = RECORD_HEADER_BYTES.checked_add(length).ok_or(Damage::Short)?;
    let summed = bytes.get(8..end).ok_or(Damage::Short)?;
    if Some(crc32fast::hash(summed)) != u32_at(header, 4) {
        return Err(Damage::Sum);
    }
    let kind = header.get(8).copied().and_then(K::of).ok_or(Damage::Unknown)?;
    if header.get(9) != Some(&VERSION) {
        return Err(Damage::Unknown);
    }
    let record = Record {
        kind,
        generation: u64_at(header, 16).ok_or(Damage::Short)?,
        sequence: u64_at(header, 24).ok_or(Damage::Short)?,
        payload: bytes.get(RECORD_HEADER_BYTES..end).ok_or(Damage::Short)?,
    };
    Ok((record, footprint(length)))
}

/// The payload of the record that should be at a place.
///
/// # Errors
///
/// If it is not there, or damaged.
pub fn verify_record<'a, K: Kind>(bytes: &'a [u8], place: &Place, kind: K) -> Result<&'a [u8], Damage> {
    let (record, _) = read_record::<K>(bytes)?;
    let same = record.kind == kind
        && record.generation == place.generation
        && record.payload.len() == place.length as usize;
    if same {
        Ok(record.payload)
    } else {
        Err(Damage::Other)
    }
}

/// The records of a batch, with their offsets in it. Ends behind the first that is damaged.
pub fn records<K: Kind>(batch: &[u8]) -> impl Iterator<Item = Result<(u32, Record<'_, K>), Damage>> {
    let mut at = BATCH_HEADER_BYTES;
    std::iter::from_fn(move || {
        let rest = batch.get(at..).filter(|rest| !rest.is_empty())?;
        let start = u32::try_from(at).unwrap_or(u32::MAX);
        Some(match read_record(rest) {
            Ok((record, length)) => {
                at += length;
                Ok((start, record))
            }
            Err(damage) => {
                at = batch.len();
                Err(damage)
            }
        })
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Only;

    impl Kind for Only {
        fn number(self) -> u8 {
            2
        }

        fn of(number: u8) -> Option<Self> {
            (number == 2).then_some(Self)
        }
    }

    #[test]
    fn a_batch_follows_only_the_one_that_it_names() {
        let end = Position {
            generation: 7,
            segment: 3,
            offset: 8192,
            sequence: 40,
            crc: 0xfeed,
        };
        let next = BatchHeader {
            generation: 7,
            offset: 8192,
            length: 64,
            records: 0,
            previous: end.crc,
            mark: 0,
            base: end.sequence,
            crc: 0,
        };
        let follows = |header: BatchHeader| header.follows(&end, 7, 8192);
        assert!(follows(next));
        // An earlier use of the segment, an other place, a batch missing that had only blobs, one that had changes.
        assert!(!follows(BatchHeader {
            generation: 6,
            ..next
        }));
        assert!(!follows(BatchHeader { offset: 4096, ..next }));
        assert!(!follows(BatchHeader {
            previous: 0xfee,
            ..next
        }));
        assert!(!follows(BatchHeader { base: 39, ..next }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_record::<Only>(&bytes);
            let _ = BatchHeader::decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
            let mut bytes = record_header(Only, 7, 0, &[&payload]).to_vec();
            bytes.extend_from_slice(&payload);
            prop_assert_eq!(read_record::<Only>(&bytes).unwrap().0.payload, payload.as_slice());
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_record::<Only>(&bytes).is_err());
        }
    }
}
