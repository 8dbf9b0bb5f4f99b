//! What the registry is stored and sent as.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Account, ApiUser, Association, Node, SigningKey};

/// A piece of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// Rises by one with every command that changes anything.
    Revision(u64),
    /// [`Position::chain`](super::Position::chain) at that revision.
    Chain(u32),
    /// A tenant.
    Association(Association),
    /// An API user.
    User(ApiUser),
    /// An FTP account.
    Account(Account),
    /// A signing key.
    Key(SigningKey),
    /// SHA-256, in hex, of the token that opens the operator's API.
    Operator(String),
    /// A login name without `@`, and the tenant it belongs to.
    BareName {
        /// The name.
        name: String,
        /// The tenant.
        association: Uuid,
    },
    /// A node whose own registry is part of this one.
    TakenOver(u64),
    /// A storage node.
    Node(Node),
    /// A node that is to compare its rows with the cluster's.
    Compare {
        /// The node.
        node: u64,
        /// How often that was asked for.
        number: u64,
    },
}

/// What names a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RowKey {
    /// The only [`Row::Revision`].
    Revision,
    /// The only [`Row::Chain`].
    Chain,
    /// By AssociationKey.
    Association(Uuid),
    /// By AssociationKey and AccessKey.
    User(Uuid, String),
    /// By AssociationKey and id.
    Account(Uuid, u64),
    /// By `kid`.
    Key(String),
    /// By name.
    BareName(String),
    /// The only [`Row::Operator`].
    Operator,
    /// By node.
    TakenOver(u64),
    /// By its id.
    Node(u64),
    /// By node.
    Compare(u64),
}

/// A row that is set or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowChange {
    /// A new row, or another in the place of the one with the same key.
    Put(Row),
    /// No row any more.
    Remove(RowKey),
}

impl Row {
    /// What names it.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Self::Revision(_) => RowKey::Revision,
            Self::Chain(_) => RowKey::Chain,
            Self::Association(row) => RowKey::Association(row.key),
            Self::User(row) => RowKey::User(row.association, row.access_key.clone()),
            Self::Account(row) => RowKey::Account(row.association, row.id),
            Self::Key(row) => RowKey::Key(row.kid.clone()),
            Self::Operator(_) => RowKey::Operator,
            Self::BareName { name, .. } => RowKey::BareName(name.clone()),
            Self::TakenOver(node) => RowKey::TakenOver(*node),
            Self::Node(node) => RowKey::Node(node.id),
            Self::Compare { node, .. } => RowKey::Compare(*node),
        }
    }
}
