//! Rows that say where a blob is and who refers to it.
//!
//! # Layout
//!
//! Key: `b`, then the blob's id (16 bytes). Value, little endian:
//!
//! | bytes | |
//! |---|---|
//! | 1 | 1 inline, 2 file |
//! | 8 | inline only: generation of the segment's use |
//! | 12 | inline only: segment, offset of the record's header, length of its payload, 4 bytes each |
//! | rest | references: directory id (16), length of the name (1), name |

use filegrid_tree::{BlobId, DirId, Id};

use super::log::Place;

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In a record of the log.
    Inline(Place),
    /// In a file of its own. How much of it counts is what the extents say.
    File,
}

/// A blob that is referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlobRow {
    /// Where it is.
    pub place: Whereabouts,
    /// The rows of the tree that refer to it: directory and name.
    pub references: Vec<(DirId, String)>,
}

/// The key of a blob's row.
#[must_use]
pub(super) fn key(blob: BlobId) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(b'b');
    key.extend_from_slice(&blob.0);
    key
}

impl BlobRow {
    /// The row's bytes.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let names: usize = self.references.iter().map(|(_, name)| 17 + name.len()).sum();
        let mut out = Vec::with_capacity(21 + names);
        match self.place {
            Whereabouts::Inline(place) => {
                out.push(1);
                out.extend_from_slice(&place.generation.to_le_bytes());
                out.extend_from_slice(&place.segment.to_le_bytes());
                out.extend_from_slice(&place.offset.to_le_bytes());
                out.extend_from_slice(&place.length.to_le_bytes());
            }
            Whereabouts::File => out.push(2),
        }
        for (directory, name) in &self.references {
            out.extend_from_slice(&directory.0);
            // Names are bounded to 255 bytes by the tree.
            out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    /// Reads a row; `None` if the bytes are none.
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, mut rest) = bytes.split_first()?;
        let place = match tag {
            1 => Whereabouts::Inline(Place {
                generation: u64::from_le_bytes(take(&mut rest)?),
                segment: u32::from_le_bytes(take(&mut rest)?),
                offset: u32::from_le_bytes(take(&mut rest)?),
                length: u32::from_le_bytes(take(&mut rest)?),
            }),
            2 => Whereabouts::File,
            _ => return None,
        };
        let mut references = Vec::new();
        while !rest.is_empty() {
            let directory = Id(take(&mut rest)?);
            let [length] = take(&mut rest)?;
            let (name, after) = rest.split_at_checked(usize::from(length))?;
            references.push((directory, String::from_utf8(name.to_vec()).ok()?));
            rest = after;
        }
        Some(Self { place, references })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_read_back(
            inline in any::<Option<(u64, u32, u32, u32)>>(),
            references in proptest::collection::vec((any::<[u8; 16]>(), "[a-zé]{1,40}"), 0..4),
        ) {
            let place = match inline {
                Some((generation, segment, offset, length)) => {
                    Whereabouts::Inline(Place { generation, segment, offset, length })
                }
                None => Whereabouts::File,
            };
            let references = references.into_iter().map(|(id, name)| (Id(id), name)).collect();
            let row = BlobRow { place, references };
            prop_assert_eq!(BlobRow::decode(&row.encode()), Some(row));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = BlobRow::decode(&bytes);
        }
    }
}
