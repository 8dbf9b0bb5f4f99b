//! The metadata cluster of filegrid: what all nodes have to agree on, and how it is replicated.
//!
//! A module imports from modules further down this list, never back up.

pub mod log;
pub mod machine;
