//! What a member holds, as a [`Machine`](crate::machine::Machine): the tree of all nodes, the registry, and how far
//! each node's logs have come.
//!
//! Rows of all three share one keyspace of an LSM tree and change in one batch with the mark of what was applied. The
//! batch is not synced: the Raft log is its write-ahead log.
//!
//! # Layout
//!
//! | key | value |
//! |---|---|
//! | `t`, directory (16), name | a file or a directory, as in a node's own tree ([`filegrid_tree::keys`]) |
//! | `r`, key of a registry row | a [`Row`](crate::registry::Row), JSON |
//! | `n`, node (8), log (1) | a [`Producer`], JSON; numbers in keys are big endian |
//! | `j`, node (8), log (1), sequence (8) | a change that was rejected: its reason, JSON |
//! | `l`, directory (16), name | an entry that its node has not: a [`LostMark`], JSON |
//! | `m` | the mark |

mod command;
mod directory;
mod history;
mod install;
mod keys;
mod live;
mod lost;
mod machine;
mod producer;
mod rejected;
mod snapshot;

#[cfg(test)]
mod tests;

pub use self::command::{Batch, Command, Registered, Reply, Shipped};
pub use self::live::TreeView;
pub use self::lost::{Lost, LostEntry, LostMark, LostPage};
pub use self::machine::{Since, Store};
pub(crate) use self::producer::restored_row;
pub use self::producer::{Compared, Producer, ProducerShown, Start, Verdict};
pub use self::rejected::{RejectedPage, RejectedShown};
