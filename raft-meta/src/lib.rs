//! The metadata cluster of filegrid: what all nodes have to agree on, and how it is replicated.
//!
//! `raft` brings commands to all members, over the `wire` and through the `log`, and has a `machine` apply them.
//! `store` is that machine: the tree of all nodes, the `registry`, and how far each node has come.

pub mod backup;
mod clock;
pub mod config;
pub mod host;
pub mod limits;
pub mod log;
pub mod machine;
pub mod nodes;
pub mod operators;
pub mod probes;
pub mod raft;
pub mod registry;
pub mod secret;
pub mod serve;
pub mod settings;
pub mod store;
pub mod wire;

/// What a program that runs a member logs unless it is told otherwise. openraft logs as errors what is everyday for a
/// cluster, a member that cannot be reached; what matters of it is told by ourselves.
pub const LOG_FILTER: &str = "info,openraft=off";
