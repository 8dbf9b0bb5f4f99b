//! The metadata cluster of filegrid: what all nodes have to agree on, and how it is replicated.
//!
//! `log` keeps the entries that a `machine` applies; `registry` is what a machine holds beside the tree.

pub mod limits;
pub mod log;
pub mod machine;
pub mod registry;
