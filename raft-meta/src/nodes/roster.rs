//! The storage nodes, as an operator asks for them.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Nodes;
use crate::registry::{self, Node};
use crate::store::{Command, Reply};
use crate::wire::Refusal;

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// What it has said of itself, and whether it is drained.
    pub node: Node,
    /// Associations that are at home there.
    pub associations: u64,
    /// The newest time by its clock of which it has told, in Unix milliseconds.
    pub heard_ms: Option<i64>,
}

/// Whether clients of a node are to go elsewhere.
///
/// # Layout
///
/// Node (8), little endian, 1 or 0 (1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainRequest {
    /// The node.
    pub node: u64,
    /// Whether they are.
    pub drained: bool,
}

impl DrainRequest {
    /// Its bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(9);
        to.put_u64_le(self.node);
        to.put_u8(u8::from(self.drained));
        to.freeze()
    }

    /// Reads one; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let node = from.try_get_u64_le().ok()?;
        let drained = match from.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        from.is_empty().then_some(Self { node, drained })
    }
}

/// Reads the nodes of an answer; `None` if it is none.
#[must_use]
pub fn read_roster(answer: &[u8]) -> Option<Vec<NodeStatus>> {
    serde_json::from_slice(answer).ok()
}

impl Nodes {
    /// All nodes that were ever let in, by id.
    #[must_use]
    pub fn roster(&self) -> Vec<NodeStatus> {
        let registry = self.store().registry();
        let mut nodes: BTreeMap<u64, NodeStatus> = BTreeMap::new();
        for id in registry.taken_over() {
            let status = nodes.entry(id).or_default();
            status.node.id = id;
        }
        for node in registry.nodes() {
            nodes.entry(node.id).or_default().node = (**node).clone();
        }
        let homes = registry.tenants().filter_map(|tenant| tenant.association().home);
        for home in homes {
            let status = nodes.entry(home.node).or_default();
            status.node.id = home.node;
            status.associations += 1;
        }
        for (id, status) in &mut nodes {
            status.heard_ms = self.store().heard_ms(*id);
        }
        nodes.into_values().collect()
    }

    /// Drains a node, or no longer.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadRequest`] if there is no such node, [`Refusal::NotNow`] or [`Refusal::Unknown`] if it cannot be
    /// decided.
    pub async fn drain(&self, request: DrainRequest) -> Result<(), Refusal> {
        let DrainRequest { node, drained } = request;
        let command = Command::Registry(registry::Command::Drain { node, drained });
        let bytes = command
            .encode()
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let answered = self.member().propose(&bytes).await;
        let answered = answered.map_err(|error| Refusal::Unknown(error.to_string()))?;
        match Reply::decode(&answered.answer) {
            Ok(Reply::Registry(Ok(_))) => Ok(()),
            Ok(Reply::Registry(Err(refusal))) => Err(Refusal::BadRequest(refusal.to_string())),
            Ok(other) => Err(Refusal::Failed(format!("an answer to something else: {other:?}"))),
            Err(error) => Err(Refusal::Failed(error.to_string())),
        }
    }
}

pub(super) fn write_roster(nodes: &[NodeStatus]) -> Bytes {
    // Numbers and texts always have a JSON form.
    serde_json::to_vec(nodes).unwrap_or_default().into()
}
