//! What happened to the tree: row operations, resolved.

use rkyv::rancor::Error as ArchiveError;
use rkyv::{Archive, Deserialize, Serialize, from_bytes, to_bytes};

use crate::{BlobId, DirId, Protocol, Row, TreeError};

/// An entry that a purge takes away.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PurgedEntry {
    /// A file and the blobs it referred to.
    File {
        /// Its name.
        name: String,
        /// Its blobs.
        released: Vec<BlobId>,
    },
    /// A directory, whose own entries are purged later.
    Dir {
        /// Its name.
        name: String,
        /// Its id.
        id: DirId,
    },
}

impl PurgedEntry {
    /// An upper estimate of the encoded length.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::File { name, released } => 48 + name.len() + released.len() * size_of::<BlobId>(),
            Self::Dir { name, .. } => 48 + name.len(),
        }
    }
}

/// One row operation.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Op {
    /// Sets a row.
    Put {
        /// Directory.
        directory: DirId,
        /// Name in it.
        name: String,
        /// The row.
        row: Row,
        /// Blobs of the row that it replaces and that this one has not.
        released: Vec<BlobId>,
        /// Blobs that the row it replaces had not.
        linked: Vec<BlobId>,
        /// Whether the row it replaces was a file without a SHA-256.
        was_unsummed: bool,
    },
    /// Takes a file away.
    Remove {
        /// Directory.
        directory: DirId,
        /// Name in it.
        name: String,
        /// Its blobs.
        released: Vec<BlobId>,
    },
    /// Moves a row, unchanged.
    Rename {
        /// Directory it leaves.
        from_directory: DirId,
        /// Name it had.
        from_name: String,
        /// Directory it comes into.
        to_directory: DirId,
        /// Name it gets.
        to_name: String,
        /// The row.
        row: Row,
    },
    /// Takes a directory out of the tree. What is below is purged later.
    Detach {
        /// Directory that held it.
        directory: DirId,
        /// Name it had.
        name: String,
        /// Its id.
        id: DirId,
    },
    /// Takes away some entries of a detached directory.
    Purge {
        /// The directory.
        directory: DirId,
        /// The entries.
        entries: Vec<PurgedEntry>,
        /// Whether that was all, and the directory is gone.
        done: bool,
    },
}

impl Op {
    /// Sets a row whose blobs nobody accounts for: a directory's, or one beside the log that its blobs are in.
    #[must_use]
    pub fn put(directory: DirId, name: &str, row: Row) -> Self {
        Self::Put {
            directory,
            name: name.to_owned(),
            row,
            released: Vec::new(),
            linked: Vec::new(),
            was_unsummed: false,
        }
    }
}

/// One step of an association's tree, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Change {
    /// UUID of the association.
    pub association: [u8; 16],
    /// When, in Unix milliseconds; stamped once by the owner.
    pub time: i64,
    /// By which protocol.
    pub protocol: Protocol,
    /// What, in order.
    pub ops: Vec<Op>,
}

impl Change {
    /// The change's bytes: an rkyv archive, little endian, no alignment.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Writing into memory does not fail; if it ever did, the empty archive is refused when read.
        to_bytes::<ArchiveError>(self)
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
    }

    /// Reads a change.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        from_bytes::<Self, ArchiveError>(bytes)
            .map_err(|_| TreeError::Damaged("a change cannot be read".to_owned()))
    }

    /// An upper estimate of the encoded length, without encoding.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 256;
        let blobs = |blobs: &Vec<BlobId>| blobs.len() * 16;
        let row = |row: &Row| match row {
            Row::File(file) => file.extents.len() * 40,
            Row::Dir(_) => 0,
        };
        let op = |op: &Op| match op {
            Op::Put {
                name,
                row: put,
                released,
                linked,
                ..
            } => name.len() + row(put) + blobs(released) + blobs(linked),
            Op::Remove { name, released, .. } => name.len() + blobs(released),
            Op::Rename {
                from_name,
                to_name,
                row: moved,
                ..
            } => from_name.len() + to_name.len() + row(moved),
            Op::Detach { name, .. } => name.len(),
            Op::Purge { entries, .. } => entries.iter().map(PurgedEntry::weight).sum(),
        };
        FIXED + self.ops.iter().map(|each| FIXED + op(each)).sum::<usize>()
    }
}
