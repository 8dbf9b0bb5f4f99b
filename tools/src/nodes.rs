//! What an operator asks about the storage nodes.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use filegrid_meta::nodes::{DRAIN, DrainRequest, NodeStatus, ROSTER, read_roster};
use filegrid_meta::wire::{CallError, Refusal};
use serde_json::json;

use crate::operator::Operator;
use crate::report::Report;

/// How long a member may take to answer.
const PATIENCE_S: u64 = 10;

impl Operator {
    /// The nodes.
    ///
    /// # Errors
    ///
    /// If no member answers: why.
    pub async fn nodes(&self) -> Result<Report, String> {
        let asked = self.client.call(ROSTER, Bytes::new());
        let asked = tokio::time::timeout(Duration::from_secs(PATIENCE_S), asked).await;
        let answer = asked.map_err(|_| "no member answers".to_owned())?;
        let answer = answer.map_err(|error| error.to_string())?;
        let nodes = read_roster(&answer).ok_or("a member's answer cannot be read")?;
        Ok(show(&nodes, now_ms()))
    }

    /// Drains a node, or no longer.
    ///
    /// # Errors
    ///
    /// A text that says whether it may have been done.
    pub async fn drain(&self, node: u64, drained: bool) -> Result<Report, String> {
        let asked = self.client.call(DRAIN, DrainRequest { node, drained }.write());
        let asked = tokio::time::timeout(Duration::from_secs(PATIENCE_S), asked).await;
        let answer = asked.map_err(|_| "no member answers: whether it is done is unknown".to_owned())?;
        match answer {
            Ok(_) => {
                let word = if drained { "drained" } else { "not drained" };
                let json = json!({ "id": format!("{node:016x}"), "drained": drained });
                Ok(Report::new(format!("node {node:016x} is {word}\n"), json))
            }
            Err(CallError::Refused(Refusal::BadRequest(why))) => Err(why),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a command that shows how long ago something was"
)]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn show(nodes: &[NodeStatus], now_ms: i64) -> Report {
    let (mut text, mut all) = (String::new(), Vec::new());
    for status in nodes {
        let node = &status.node;
        let or_none = |text: &str| {
            if text.is_empty() {
                "none".to_owned()
            } else {
                text.to_owned()
            }
        };
        let heard = status.heard_ms.map_or_else(
            || "never heard of".to_owned(),
            |heard| format!("heard of {} s ago", (now_ms - heard).max(0) / 1000),
        );
        let drained = if node.drained { ", drained" } else { "" };
        // Text in memory cannot fail.
        let _ = writeln!(
            text,
            "node {:016x}: relay {}, clients {}, {} associations, {heard}{drained}",
            node.id,
            or_none(&node.relay),
            or_none(&node.public_url),
            status.associations,
        );
        all.push(json!({
            "id": format!("{:016x}", node.id),
            "relay": node.relay,
            "public_url": node.public_url,
            "drained": node.drained,
            "associations": status.associations,
            "heard_ms": status.heard_ms,
        }));
    }
    if nodes.is_empty() {
        text.push_str("there are no nodes yet\n");
    }
    Report::new(text, json!({ "nodes": all }))
}
