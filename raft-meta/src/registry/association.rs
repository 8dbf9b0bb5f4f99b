//! Tenants.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A tenant: one file tree, its API users and FTP accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// AssociationKey.
    pub key: Uuid,
    /// What the operator calls it.
    pub name: String,
    /// Whether anybody of it may do anything.
    pub enabled: bool,
    /// Whether it ends: the node that it is at home on deletes its files, and then the association.
    #[serde(default)]
    pub retired: bool,
    /// `Id` of the next FTP account; from 1, never used twice.
    pub next_account: u64,
    /// Where its files are; `None` until a node is given them.
    pub home: Option<Home>,
}

/// Where the files of an association are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The node.
    pub node: u64,
    /// Rises with every move, so that a node that was at home before is told apart.
    pub generation: u64,
}
