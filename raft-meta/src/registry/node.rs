//! Storage nodes, as other nodes and the operator see them.

use serde::{Deserialize, Serialize};

/// A node that has said where it is, or of which the operator has said something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Host and port where other nodes bring what is meant for it; empty: they cannot.
    pub relay: String,
    /// Where clients reach its REST API, without a path or a last `/`; empty: they are not sent there.
    pub public_url: String,
    /// Whether the operator wants clients to go elsewhere, and no more associations on it.
    pub drained: bool,
}
