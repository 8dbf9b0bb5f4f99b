//! Asking the cluster, wherever it is.

use std::time::Duration;

use filegrid_meta::nodes::{
    COMPARE, CompareRequest, Digest, Event, LIST, LOST, ListRequest, Nodes, Page, ROWS, RowsPage,
    read_digests,
};
use filegrid_meta::raft::{Client, ProposeError};
use filegrid_meta::store::{Command, LostPage, Reply};
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

impl Way {
    /// Digests of runs of rows.
    pub(super) async fn digests(&self, request: CompareRequest) -> Result<Vec<Digest>, String> {
        match self {
            Self::Here(nodes) => nodes
                .digests(request)
                .await
                .map_err(|refusal| refusal.to_string()),
            Self::There(client) => {
                let answer = client.call(COMPARE, request.write()).await;
                let answer = answer.map_err(|error| error.to_string())?;
                read_digests(&answer).ok_or_else(unreadable)
            }
        }
    }

    /// Rows of a run.
    pub(super) async fn rows(&self, request: CompareRequest) -> Result<RowsPage, String> {
        match self {
            Self::Here(nodes) => nodes.rows(request).await.map_err(|refusal| refusal.to_string()),
            Self::There(client) => {
                let answer = client.call(ROWS, request.write()).await;
                let answer = answer.map_err(|error| error.to_string())?;
                RowsPage::read(&answer).ok_or_else(unreadable)
            }
        }
    }

    /// Some of what is marked lost.
    pub(super) async fn lost(&self, after: Vec<u8>) -> Result<LostPage, String> {
        match self {
            Self::Here(nodes) => nodes.lost(after).await.map_err(|refusal| refusal.to_string()),
            Self::There(client) => {
                let answer = client.call(LOST, after.into()).await;
                let answer = answer.map_err(|error| error.to_string())?;
                LostPage::read(&answer).ok_or_else(unreadable)
            }
        }
    }
}

pub(super) fn unreadable() -> String {
    "a member's answer cannot be read".to_owned()
}
