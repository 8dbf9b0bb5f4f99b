//! Kept partials: what has arrived of uploads that broke, so that they can go on later.
//!
//! A partial belongs to an account and a name in a directory, and lives as long as what it would take the place of is
//! what it was. It is a matter of the node's own: it comes and goes by records of the log that are outside the
//! sequence, and is no row of the tree.
//!
//! # Layout
//!
//! Key: `p`, directory (16), name, 0, account (8, big endian). Value: id (16), association (16), version of the file
//! that it would take the place of (8, little endian; 0 if there is none), then a row of kind 1.
//!
//! Record: 1 kept or 2 ended, length of the key (2, little endian), the key, and what is kept its value.

use filegrid_tree::{BlobId, DirId, FileRow, Id, Row};

/// What has arrived of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Made for it alone. Stands for the directory where blobs say who refers to them.
    pub id: Id,
    /// The association that it belongs to.
    pub association: [u8; 16],
    /// Version of the file that was there when the upload began; `None`: there was none.
    pub base: Option<u64>,
    /// What has arrived, as the row of a file; its times are when that was kept.
    pub row: FileRow,
}

/// What happens to partials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartialChange {
    /// One is kept, in the place of another under this key.
    Kept(Vec<u8>, Partial),
    /// The one under this key has ended.
    Ended(Vec<u8>),
}

const KEPT: u8 = 1;
const ENDED: u8 = 2;

/// The key of an account's partial.
#[must_use]
pub(super) fn key(directory: DirId, name: &str, account: u64) -> Vec<u8> {
    let mut key = names(directory, name);
    key.extend_from_slice(&account.to_be_bytes());
    key
}

/// What the keys of all accounts' partials of a name begin with. No name holds a NUL byte.
#[must_use]
pub(super) fn names(directory: DirId, name: &str) -> Vec<u8> {
    let mut key = entries(directory);
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key
}

/// What the keys of all partials in a directory begin with.
#[must_use]
pub(super) fn entries(directory: DirId) -> Vec<u8> {
    let mut key = vec![b'p'];
    key.extend_from_slice(&directory.0);
    key
}

/// The account that a key belongs to.
#[must_use]
pub(super) fn account(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|account| u64::from_be_bytes(*account))
}

impl Partial {
    /// The blobs that it refers to, each once.
    pub(super) fn blobs(&self) -> Vec<BlobId> {
        Row::File(self.row.clone()).blobs()
    }

    /// The value's bytes.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.id.0.to_vec();
        out.extend_from_slice(&self.association);
        out.extend_from_slice(&self.base.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&Row::File(self.row.clone()).encode());
        out
    }

    /// Reads a value; `None` if the bytes are none.
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (association, rest) = rest.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let base = u64::from_le_bytes(*base);
        let Ok(Row::File(row)) = Row::decode(rest) else {
            return None;
        };
        Some(Self {
            id: Id(*id),
            association: *association,
            base: (base > 0).then_some(base),
            row,
        })
    }
}

impl PartialChange {
    /// The payload of a record.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, key, value) = match self {
            Self::Kept(key, partial) => (KEPT, key, partial.encode()),
            Self::Ended(key) => (ENDED, key, Vec::new()),
        };
        let mut out = vec![kind];
        // Names are bounded to 255 bytes by the tree.
        out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(&value);
        out
    }

    /// Reads a payload; `None` if the bytes are none.
    #[must_use]
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        match *kind {
            KEPT => Some(Self::Kept(key.to_vec(), Partial::decode(value)?)),
            ENDED if value.is_empty() => Some(Self::Ended(key.to_vec())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use filegrid_tree::{Extent, Protocol};
    use proptest::prelude::*;

    use super::*;

    fn partial(base: Option<u64>, lengths: &[u64]) -> Partial {
        let extents = lengths.iter().zip(1..).map(|(length, number)| Extent {
            blob: Id([number; 16]),
            offset: 0,
            length: *length,
            crc32: 7,
        });
        Partial {
            id: Id([9; 16]),
            association: [3; 16],
            base,
            row: FileRow {
                version: 0,
                size: lengths.iter().sum(),
                crc32: 1,
                sha256: None,
                created_at: 5,
                updated_at: None,
                mtime: 5,
                protocol: Protocol::Ftp,
                extents: extents.collect(),
            },
        }
    }

    proptest! {
        #[test]
        fn records_read_back(
            base in proptest::option::of(1..u64::MAX),
            lengths in proptest::collection::vec(0..1_u64 << 40, 0..5),
            name in "[a-zé ]{1,60}",
            of in any::<u64>(),
        ) {
            let key = key(Id([8; 16]), &name, of);
            prop_assert_eq!(account(&key), Some(of));
            prop_assert!(key.starts_with(&names(Id([8; 16]), &name)));
            let kept = PartialChange::Kept(key.clone(), partial(base, &lengths));
            prop_assert_eq!(PartialChange::decode(&kept.encode()), Some(kept));
            let ended = PartialChange::Ended(key);
            prop_assert_eq!(PartialChange::decode(&ended.encode()), Some(ended));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PartialChange::decode(&bytes);
        }
    }
}
