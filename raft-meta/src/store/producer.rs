//! How far a log of a node has come: dedupe by arithmetic.

use serde::{Deserialize, Serialize};

/// What the cluster knows of a log of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// Number of the last start of the node that the cluster let in. An earlier one sends no more.
    pub epoch: u64,
    /// Sequence of the last change that was applied; 0 for none.
    pub applied: u64,
    /// All changes that the log had at this time are applied: Unix milliseconds by the node's clock.
    pub as_of_ms: i64,
    /// Changes that were rejected.
    pub rejected: u64,
}

/// What becomes of a batch of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its changes from this one on are new, by position in the batch; it may be the batch's length.
    From(usize),
    /// Changes before it are missing.
    Gap,
    /// It is of a start that has been followed by another.
    Fenced,
}

impl Producer {
    /// What becomes of `count` changes whose first has the sequence `first`, sent in `epoch`.
    #[must_use]
    pub fn judge(&self, epoch: u64, first: u64, count: usize) -> Verdict {
        if epoch != self.epoch || epoch == 0 {
            return Verdict::Fenced;
        }
        let known = match first.checked_sub(self.applied) {
            None | Some(0) => (self.applied - first).saturating_add(1),
            Some(1) => 0,
            Some(_) => return Verdict::Gap,
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        Verdict::From(known.min(count))
    }
}
