//! Answers operators, and hands on what others ask.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backup::Backups;
use super::{
    BACKUP_BEGIN, BACKUP_ROWS, LAST, PRODUCERS, Producers, REGISTER, REJECTED, TENANTS, TenantsPage,
};
use crate::clock;
use crate::limits::LEADER_PATIENCE_S;
use crate::nodes::Nodes;
use crate::raft::ProposeError;
use crate::registry::Command;
use crate::store::{self, RejectedPage};
use crate::wire::{Identity, Method, Push, Refusal, Role, Service};

/// What a member answers nodes and operators with. Clones share it.
#[derive(Clone)]
pub struct Operators {
    nodes: Nodes,
    cluster: Arc<str>,
    backups: Backups,
}

impl Operators {
    /// A service beside one for nodes.
    #[must_use]
    pub fn new(nodes: Nodes, cluster: &str) -> Self {
        Self {
            nodes,
            cluster: cluster.into(),
            backups: Backups::default(),
        }
    }

    async fn answer(&self, method: Method, body: Bytes) -> Result<Bytes, Refusal> {
        match method {
            REGISTER => self.register(read(&body)?).await,
            TENANTS => {
                self.nodes.catch_up().await?;
                let registry = self.nodes.store().registry();
                write(&TenantsPage::of(&registry, &read(&body)?))
            }
            PRODUCERS => {
                self.nodes.catch_up().await?;
                write(&Producers {
                    now_ms: clock::now_ms(),
                    producers: self.nodes.store().producers(),
                })
            }
            REJECTED => {
                self.nodes.catch_up().await?;
                let view = self.nodes.store().view();
                let page = tokio::task::spawn_blocking(move || RejectedPage::of(&view, &body)).await;
                let page = page.map_err(|error| Refusal::Failed(error.to_string()))?;
                write(&page.map_err(|error| Refusal::Failed(error.to_string()))?)
            }
            BACKUP_BEGIN => write(&self.backups.begin(&self.nodes, &self.cluster).await?),
            BACKUP_ROWS => self.backups.piece(&body).await,
            other => Err(Refusal::BadRequest(format!("there is no method {}", other.0))),
        }
    }

    /// Has the cluster decide a change of the registry.
    async fn register(&self, command: Command) -> Result<Bytes, Refusal> {
        if !may_ask(&command) {
            return Err(Refusal::Forbidden(
                "this change of the registry is not an operator's to ask for".to_owned(),
            ));
        }
        let command = store::Command::Registry(command).encode();
        let command = command.map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let proposed = self.nodes.member().propose(&command);
        let patience = Duration::from_secs(2 * LEADER_PATIENCE_S);
        match tokio::time::timeout(patience, proposed).await {
            Ok(Ok(answered)) => Ok(answered.answer.into()),
            Ok(Err(error @ ProposeError::TooLong(_))) => Err(Refusal::BadRequest(error.to_string())),
            Ok(Err(ProposeError::Unavailable(why))) => Err(Refusal::NotNow(why)),
            Ok(Err(ProposeError::Unknown(why))) => Err(Refusal::Unknown(why)),
            Err(_) => Err(Refusal::Unknown("the cluster did not answer in time".to_owned())),
        }
    }
}

/// What is an operator's to ask for: FTP accounts are their tenant's matter, keys that sign and what nodes had are the
/// nodes'.
fn may_ask(command: &Command) -> bool {
    match command {
        Command::CreateAssociation { .. }
        | Command::UpdateAssociation { .. }
        | Command::RetireAssociation { .. }
        | Command::DeleteAssociation { .. }
        | Command::CreateUser { .. }
        | Command::UpdateUser { .. }
        | Command::DeleteUser { .. }
        | Command::Compare { .. } => true,
        Command::Place { .. }
        | Command::Announce { .. }
        | Command::Drain { .. }
        | Command::CreateAccount { .. }
        | Command::UpdateAccount { .. }
        | Command::DeleteAccount { .. }
        | Command::SetOperator { .. }
        | Command::PublishKey { .. }
        | Command::ForgetKeys { .. }
        | Command::TakeOver { .. } => false,
    }
}

fn is_ours(method: Method) -> bool {
    (REGISTER..=LAST).contains(&method)
}

impl Service for Operators {
    fn call(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        if !is_ours(method) {
            return self.nodes.call(from, method, body);
        }
        let (operators, role) = (self.clone(), from.role);
        Box::pin(async move {
            if role != Role::Operator {
                return Err(Refusal::Forbidden(format!(
                    "method {} is for operators",
                    method.0
                )));
            }
            operators.answer(method, body).await
        })
    }

    fn watch(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
        to: Push,
    ) -> BoxFuture<'static, Result<(), Refusal>> {
        self.nodes.watch(from, method, body, to)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::BadRequest(format!("the request cannot be read: {error}")))
}

fn write(answer: &impl Serialize) -> Result<Bytes, Refusal> {
    let json = serde_json::to_vec(answer);
    json.map(Bytes::from)
        .map_err(|error| Refusal::Failed(error.to_string()))
}
