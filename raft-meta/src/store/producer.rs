//! How far a log of a node has come: dedupe by arithmetic.

use serde::{Deserialize, Serialize};

use super::keys;
use crate::machine::MachineError;

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
    /// What came of comparing rows when that was last asked for.
    #[serde(default)]
    pub compared: Compared,
    /// Changes that were rejected before that: what they were of may be lacking since, where it has become known again.
    #[serde(default)]
    pub rejected_before: u64,
    /// The start that was let in last, with the highest number of any.
    #[serde(default)]
    pub start: Start,
}

/// A start of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Its number by the node's own count, of which the node makes its ids.
    pub number: u32,
    /// Random, to tell the start from another of the same number: one of the two has begun on an older copy. 0: it is told
    /// from none.
    pub nonce: u64,
}

impl Start {
    /// How many numbers are left out behind those that the cluster knows, when a start has to get another: a start may take
    /// further ones for its ids without telling.
    pub const LEFT_OUT: u32 = 1 << 12;

    /// The start as it goes on behind the last one that is known: with its own number if that is a new one, else with one that
    /// no start has ever had.
    #[must_use]
    pub fn behind(self, known: Option<Self>) -> Self {
        match known {
            None => self,
            Some(known) if known.nonce == self.nonce && self.nonce != 0 => known,
            Some(known) if known.number < self.number => self,
            Some(known) => Self {
                number: known.number.saturating_add(Self::LEFT_OUT),
                ..self
            },
        }
    }
}

/// What a log has found when it compared its rows with the cluster's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Number of the request that it answers; 0 for none.
    pub number: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that the cluster lacked or had otherwise: it was sent them.
    pub sent: u64,
    /// Entries that only the cluster has: they are marked lost.
    pub lost: u64,
}

/// A log of a node, as a member knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerShown {
    /// The node.
    pub node: u64,
    /// The log.
    pub log: u8,
    /// What all members know.
    #[serde(flatten)]
    pub known: Producer,
    /// How long ago this member has applied something that the log sent, in milliseconds; `None`: not since it was started.
    pub heard_ms: Option<u64>,
}

impl ProducerShown {
    /// By how much the cluster is behind the log, in milliseconds; `None` if the log has told nothing yet.
    #[must_use]
    pub fn behind_ms(&self, now_ms: i64) -> Option<u64> {
        (self.known.as_of_ms > 0).then(|| {
            // A node whose clock is ahead is not behind.
            u64::try_from(now_ms.saturating_sub(self.known.as_of_ms)).unwrap_or(0)
        })
    }
}

/// Starts of a node that one cluster can let in: the numbers of a cluster that was restored begin behind a multiple of it.
const STARTS_OF_A_CLUSTER: u64 = 1 << 32;

/// A row of a backup as a cluster begins with it: starts of nodes that were let in after the backup are earlier than all that
/// it lets in itself.
pub(crate) fn restored_row(key: Vec<u8>, value: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), MachineError> {
    if key.first() != Some(&keys::PRODUCERS) {
        return Ok((key, value));
    }
    let unreadable = |error: serde_json::Error| MachineError::Damaged(format!("a producer: {error}"));
    let mut producer: Producer = serde_json::from_slice(&value).map_err(unreadable)?;
    producer.epoch = (producer.epoch / STARTS_OF_A_CLUSTER + 1) * STARTS_OF_A_CLUSTER;
    let value = serde_json::to_vec(&producer).map_err(unreadable)?;
    Ok((key, value))
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
    /// Whether a start that was let in before the cluster was restored goes on: nobody has come since.
    #[must_use]
    pub fn may_return(&self, epoch: u64) -> bool {
        self.epoch.is_multiple_of(STARTS_OF_A_CLUSTER) && epoch < self.epoch
    }

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
