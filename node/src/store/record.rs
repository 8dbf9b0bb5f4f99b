//! What the payloads of the store's records hold.
//!
//! # Layout
//!
//! A **blob** record: the blob's id (16 bytes), then its bytes.
//!
//! A **change** record, little endian: length of the change (4 bytes), the change as
//! [`Change::encode`] writes it, then for each inline blob that was staged in an earlier batch its id (16),
//! generation (8), segment, offset and length (4 each). Blobs whose records stand in the same batch are
//! not named again.

use filegrid_tree::{BlobId, Change, Id};

use super::log::Place;

/// Length of a blob's id in front of its bytes.
pub(super) const BLOB_ID_BYTES: usize = 16;
const STAGED_BYTES: usize = 36;

/// A change and the places of the blobs it refers to that were staged before.
#[derive(Debug, PartialEq)]
pub(super) struct ChangeRecord {
    /// The change.
    pub change: Change,
    /// Inline blobs staged in earlier batches.
    pub staged: Vec<(BlobId, Place)>,
}

/// The payload for a change.
#[must_use]
pub(super) fn encode(change: &Change, staged: &[(BlobId, Place)]) -> Vec<u8> {
    let change = change.encode();
    let mut out = Vec::with_capacity(4 + change.len() + staged.len() * STAGED_BYTES);
    out.extend_from_slice(&u32::try_from(change.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&change);
    for (blob, place) in staged {
        out.extend_from_slice(&blob.0);
        out.extend_from_slice(&place.generation.to_le_bytes());
        out.extend_from_slice(&place.segment.to_le_bytes());
        out.extend_from_slice(&place.offset.to_le_bytes());
        out.extend_from_slice(&place.length.to_le_bytes());
    }
    out
}

/// The bytes of the change in a payload; `None` if the bytes are none.
#[must_use]
pub(super) fn change_of(payload: &[u8]) -> Option<&[u8]> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Reads a payload; `None` if the bytes are none.
#[must_use]
pub(super) fn decode(payload: &[u8]) -> Option<ChangeRecord> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (change, rest) = rest.split_at_checked(length)?;
    let change = Change::decode(change).ok()?;
    let (entries, rest) = rest.as_chunks::<STAGED_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let staged = entries.iter().map(staged).collect::<Option<Vec<_>>>()?;
    Some(ChangeRecord { change, staged })
}

fn staged(entry: &[u8; STAGED_BYTES]) -> Option<(BlobId, Place)> {
    let (blob, rest) = entry.split_first_chunk::<16>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (segment, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    Some((
        Id(*blob),
        Place {
            generation: u64::from_le_bytes(*generation),
            segment: u32::from_le_bytes(*segment),
            offset: u32::from_le_bytes(*offset),
            length: u32::from_le_bytes(*length),
        },
    ))
}
