//! The metadata cluster of filegrid: what all nodes have to agree on, and how it is replicated.
//!
//! `raft` replicates over `log` and applies to a `machine`; `registry` is what a machine holds beside the tree. None
//! of them imports from one named before it.

pub mod limits;
pub mod log;
pub mod machine;
pub mod registry;
