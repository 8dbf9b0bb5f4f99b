//! The metadata cluster of filegrid: what all nodes have to agree on, and how it is replicated.
//!
//! `raft` brings commands to all members, over the `wire` and through the `log`, and has a `machine` apply them;
//! `registry` is what a machine holds beside the tree.

pub mod limits;
pub mod log;
pub mod machine;
pub mod raft;
pub mod registry;
pub mod wire;
