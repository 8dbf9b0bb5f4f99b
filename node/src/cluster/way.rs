//! Asking the cluster, wherever it is.

use std::time::Duration;

use bytes::Bytes;
use filegrid_meta::nodes::{Event, HOMES, Homes, LIST, ListRequest, Nodes, Page};
use filegrid_meta::raft::{Client, ProposeError};
use filegrid_meta::store::{Command, Reply};
use filegrid_meta::wire::{CallError, Refusal};

/// A member of our own, or some elsewhere.
pub(super) enum Way {
    Here(Nodes),
    There(Client),
}

impl Way {
    /// Proposes a command.
    ///
    /// # Errors
    ///
    /// Why there is no answer; whether it was applied is unknown.
    pub(super) async fn propose(&self, command: &Command) -> Result<Reply, String> {
        let bytes = command.encode().map_err(|error| error.to_string())?;
        let answered = match self {
            Self::Here(nodes) => nodes.member().propose(&bytes).await,
            Self::There(client) => client.propose(&bytes).await,
        };
        let answered = answered.map_err(|error: ProposeError| error.to_string())?;
        Reply::decode(&answered.answer).map_err(|error| error.to_string())
    }

    /// What is at home on a node.
    pub(super) async fn homes(&self, node: u64) -> Result<Homes, String> {
        match self {
            Self::Here(nodes) => nodes.homes(node).await.map_err(|refusal| refusal.to_string()),
            Self::There(client) => {
                let body = Bytes::copy_from_slice(&node.to_le_bytes());
                let answer = client.call(HOMES, body).await;
                let answer = answer.map_err(|error| error.to_string())?;
                Homes::read(answer).ok_or_else(unreadable)
            }
        }
    }

    /// Waits until changes are applied by the member of our own. Members elsewhere wait when they are asked for a page.
    pub(super) async fn wait_for(&self, events: &[Event], patience: Duration) -> Result<(), String> {
        match self {
            Self::Here(nodes) => {
                let waited = nodes.wait_for(events, patience).await;
                waited.map_err(|refusal| refusal.to_string())
            }
            Self::There(_) => Ok(()),
        }
    }

    /// A page of the tree.
    pub(super) async fn list(&self, request: ListRequest) -> Result<Page, String> {
        match self {
            Self::Here(nodes) => nodes.list(request).await.map_err(|refusal| refusal.to_string()),
            Self::There(client) => match client.call(LIST, request.write()).await {
                Ok(answer) => Page::read(answer).ok_or_else(unreadable),
                Err(CallError::Refused(Refusal::NotNow(why))) => Err(why),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

fn unreadable() -> String {
    "a member's answer cannot be read".to_owned()
}
