//! Which registry it is.

use super::RowChange;

/// What tells registries apart: those with the same position have the same rows, whatever became of the cluster in
/// between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Rises by one with every command that changes anything.
    pub revision: u64,
    /// CRC32 of the chain before and of the rows that the last such command set or removed, as JSON: a cluster that was
    /// restored and has gone another way since is at another one.
    pub chain: u32,
}

impl Position {
    /// The position behind some more changes.
    #[must_use]
    pub(super) fn behind(self, changes: &[RowChange]) -> Self {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.chain.to_le_bytes());
        for change in changes {
            // A row always has a JSON form.
            sum.update(&serde_json::to_vec(change).unwrap_or_default());
        }
        Self {
            revision: self.revision + 1,
            chain: sum.finalize(),
        }
    }
}
