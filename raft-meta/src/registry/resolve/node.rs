//! Rules of nodes.

use super::{Applied, done, replaced};
use crate::limits::{NODE_ADDRESS_MAX_BYTES, NODE_URL_MAX_BYTES, NODES_MAX_COUNT};
use crate::registry::{Node, Refusal, Registry, Row};

impl Registry {
    pub(super) fn announce(&self, id: u64, relay: &str, public_url: &str) -> Result<Applied, Refusal> {
        check_address(relay)?;
        check_url(public_url)?;
        let old = self.node_or_new(id)?;
        let new = Node {
            relay: relay.to_owned(),
            public_url: public_url.to_owned(),
            ..old.clone()
        };
        Ok(done(replaced(&old, new, Row::Node)))
    }

    pub(super) fn drain(&self, id: u64, drained: bool) -> Result<Applied, Refusal> {
        let old = self.node_or_new(id)?;
        let new = Node {
            drained,
            ..old.clone()
        };
        Ok(done(replaced(&old, new, Row::Node)))
    }

    /// Refuses a node that is to get no more associations.
    pub(super) fn check_takes(&self, id: u64) -> Result<(), Refusal> {
        if self.node(id).is_some_and(|node| node.drained) {
            return Err(Refusal::Conflict(format!(
                "the node {id:016x} is drained and gets no more associations: ask another"
            )));
        }
        Ok(())
    }

    fn node_or_new(&self, id: u64) -> Result<Node, Refusal> {
        if let Some(node) = self.node(id) {
            return Ok((**node).clone());
        }
        if !self.is_taken_over(id) {
            return Err(Refusal::NotFound(format!("the node {id:016x}")));
        }
        if self.nodes().len() >= NODES_MAX_COUNT {
            return Err(Refusal::Conflict(format!(
                "there are {NODES_MAX_COUNT} nodes, the most there may be"
            )));
        }
        Ok(Node {
            id,
            ..Node::default()
        })
    }
}

fn check_address(address: &str) -> Result<(), Refusal> {
    let parts = address.rsplit_once(':');
    let is_address = parts.is_some_and(|(host, port)| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()) && port.parse::<u16>().is_ok()
    });
    if address.is_empty() || (is_address && address.len() <= NODE_ADDRESS_MAX_BYTES) {
        Ok(())
    } else {
        Err(Refusal::invalid("relay_address", "is not like 10.0.0.1:8091"))
    }
}

fn check_url(url: &str) -> Result<(), Refusal> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_plain = |host: &str| {
        let all = host.bytes().all(|byte| byte.is_ascii_graphic());
        !host.is_empty() && all && !host.contains(['/', '?', '#', '@', '\\'])
    };
    if url.is_empty() || (host.is_some_and(is_plain) && url.len() <= NODE_URL_MAX_BYTES) {
        Ok(())
    } else {
        let reason = "is not like https://node1.example.com, without a path";
        Err(Refusal::invalid("public_url", reason))
    }
}
