//! The state of a whole cluster as a file: registry, tree, and how far the nodes have come.
//!
//! # Layout
//!
//! Little endian.
//!
//! | part | bytes |
//! |---|---|
//! | header | `FGBACKUP` (8), version, 1 (4), length of what follows (4), a [`Header`] as JSON, CRC32 of all before (4) |
//! | frame, any number | length of the rows (4), rows as in [`machine::chunk`](crate::machine::chunk) |
//! | end | zero (4), number of rows (8), CRC32 of all before (4) |
//!
//! Rows are in the order of their keys, each once. Nothing follows the end.

mod read;
mod restore;
#[cfg(test)]
mod tests;
mod write;

use serde::{Deserialize, Serialize};

pub use self::read::BackupReader;
pub use self::restore::restore;
pub use self::write::BackupWriter;

const MAGIC: &[u8; 8] = b"FGBACKUP";
/// Version of the layout. Another version is refused.
pub const FORMAT: u32 = 1;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Name of the cluster.
    pub cluster: String,
    /// Entries applied, counted from the first of the cluster: the state is the one behind them.
    pub applied: u64,
    /// When it was begun, in Unix milliseconds by the clock of the member.
    pub taken_ms: i64,
}

/// Why there is no backup, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk.
    #[error("{0}")]
    Disk(#[from] std::io::Error),
    /// It is none, or not whole.
    #[error("it is no whole backup: {0}")]
    Damaged(String),
    /// It cannot be restored there; says why.
    #[error("{0}")]
    Refused(String),
}
