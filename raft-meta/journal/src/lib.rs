//! What the shard log and the Raft log have in common: the bytes of batches and records, the rule by which one batch
//! follows another, and the disk on which both are tested.

pub mod codec;
pub mod sim;

/// Block of the disk: batches begin on a multiple of it.
pub const BLOCK_BYTES: usize = 4096;
