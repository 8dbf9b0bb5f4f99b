//! The cluster's registry: followed, changed, and given what this node has of its own.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::limits::TAKE_OVER_MAX_BYTES;
use filegrid_meta::nodes::{Following, Nodes, REGISTRY, RegistryItem, Taken, write_position};
use filegrid_meta::raft::Client;
use filegrid_meta::registry::{Command, Outcome, Registry, Row, RowChange};
use filegrid_meta::store::{self, Registered, Reply, Since};
use tokio::time::{interval, timeout};
use uuid::Uuid;

use super::session::{Session, unexpected};
use super::way::{Way, unreadable};
use super::{Cluster, Request, away};
use crate::auth::{Authority, waiting_changes};
use crate::error::Error;
use crate::limits::{
    REGISTER_PATIENCE_MS, REGISTRY_INBOX_LOOK_MS, REGISTRY_SIGN_MS, REGISTRY_SILENT_MS, SHIP_RETRY_MAX_MS,
    SHIP_RETRY_MIN_MS,
};

impl Authority for Cluster {
    fn register(&self, command: Command) -> futures::future::BoxFuture<'_, Result<Outcome, Error>> {
        Box::pin(async move {
            let asked = self.ask(|reply| Request::Register { command, reply });
            asked.await.unwrap_or_else(|| Err(away("this node is stopping")))
        })
    }
}

impl Session {
    /// Follows the cluster's registry for ever, wherever it was left.
    pub(super) async fn follow(&self) {
        let mut pause_ms = SHIP_RETRY_MIN_MS;
        loop {
            let told = self.known_revision();
            let Err(why) = match self.way() {
                Way::Here(nodes) => self.follow_here(nodes).await,
                Way::There(client) => self.follow_there(client).await,
            };
            let _ = self.is_away(&why);
            if self.known_revision() != told {
                pause_ms = SHIP_RETRY_MIN_MS;
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(SHIP_RETRY_MAX_MS);
        }
    }

    async fn follow_here(&self, nodes: &Nodes) -> Result<Infallible, String> {
        let mut position = nodes.store().registry_position();
        let mut sign = interval(Duration::from_millis(REGISTRY_SIGN_MS));
        loop {
            position.mark_unchanged();
            let known = self.us().registry.current();
            let (registry, changes) = match nodes.store().registry_since(known.position()).0 {
                Since::Changes(changes) => {
                    let mut registry = (*known).clone();
                    changes.iter().for_each(|change| registry.put(change.clone()));
                    (Arc::new(registry), Some(changes))
                }
                Since::All(registry) => (registry, None),
            };
            self.observe(registry, changes, true).await?;
            tokio::select! {
                changed = position.changed() => changed.map_err(|error| error.to_string())?,
                _ = sign.tick() => {}
            }
        }
    }

    async fn follow_there(&self, client: &Client) -> Result<Infallible, String> {
        let known = self.us().registry.current();
        let mut following = if known.is_taken_over(self.us().node) {
            Following::from((*known).clone())
        } else {
            Following::default()
        };
        drop(known);
        let from = write_position(following.registry().position());
        let (mut items, member) = client
            .watch(REGISTRY, from)
            .await
            .map_err(|error| error.to_string())?;
        let silent = Duration::from_millis(REGISTRY_SILENT_MS);
        let why = loop {
            let item = match timeout(silent, items.next()).await {
                Ok(Some(Ok(item))) => item,
                Ok(Some(Err(error))) => break error.to_string(),
                Ok(None) => break "it has ended the registry".to_owned(),
                Err(_) => break "it is silent".to_owned(),
            };
            let Some(item) = RegistryItem::read(item) else {
                break unreadable();
            };
            let before = following.registry().position();
            let (changes, is_all) = match following.take(item) {
                None => continue,
                Some(Taken::Sign) => (None, true),
                // Of a node that is not taken over yet the registry is another.
                Some(Taken::Changes(changes)) if before == self.us().registry.current().position() => {
                    (Some(changes), false)
                }
                Some(Taken::Changes(_) | Taken::All) => (None, false),
            };
            let registry = Arc::new(following.registry().clone());
            self.observe(registry, changes, is_all).await?;
        };
        client.pass_over(&member);
        Err(format!("member {}: {why}", member.member))
    }

    /// Takes the registry as the cluster has it. `changes` have led to it from the one before, if that is known; `is_all` if it is
    /// known that there is nothing newer.
    async fn observe(
        &self,
        registry: Arc<Registry>,
        changes: Option<Vec<RowChange>>,
        is_all: bool,
    ) -> Result<(), String> {
        let us = self.us();
        if !registry.is_taken_over(us.node) {
            return if is_all {
                self.hand_over(&registry).await
            } else {
                Ok(())
            };
        }
        let revision = registry.revision();
        if us.registry.current().position() != registry.position() {
            let file = Arc::clone(&us.registry);
            let kept = tokio::task::spawn_blocking(move || file.put(registry, changes));
            kept.await.map_err(|error| error.to_string())?;
        }
        self.knows(revision);
        if is_all {
            us.registry.confirm();
            self.is_back();
            self.settled().await;
        }
        Ok(())
    }

    /// Gives the cluster the registry that this node has: its own, or the copy of what the cluster has lost.
    async fn hand_over(&self, known: &Registry) -> Result<(), String> {
        let us = self.us();
        let ours = us.registry.current();
        let mut foreign = HashSet::new();
        if ours.is_taken_over(us.node) {
            tracing::warn!("the metadata cluster has lost its registry: it is given the copy of this node");
        } else {
            for key in ours.tenants().map(|tenant| tenant.association().key) {
                let home = known.tenant(key).and_then(|tenant| tenant.association().home);
                if home.is_some_and(|home| home.node != us.node) {
                    tracing::error!(association = %key, "an association of this node is at home elsewhere");
                    foreign.insert(key);
                }
            }
        }
        let rows = ours
            .rows()
            .filter(|row| !foreign.contains(&association_of(row)) && *row != Row::TakenOver(us.node));
        take_over(self.way(), us.node, rows, false).await
    }

    /// Has the cluster decide a change, and waits until this node knows what came of it.
    pub(super) async fn register(&self, command: Command) -> Result<Outcome, Error> {
        let patience = Duration::from_millis(REGISTER_PATIENCE_MS);
        let entered = timeout(patience, self.entered()).await;
        entered.map_err(|_| away("it has not let this node in"))?;
        let Registered { outcome, revision } =
            match self.way().propose(&store::Command::Registry(command)).await {
                Ok(Reply::Registry(done)) => done?,
                Ok(other) => return Err(Error::Internal(unexpected(&other))),
                Err(why) => return Err(away(why)),
            };
        let known = timeout(patience, self.wait_known(revision)).await;
        known.map_err(|_| away("the change is done, but this node has not been told of it yet"))?;
        Ok(outcome)
    }

    /// Takes to the cluster what the command line asks for, for ever.
    pub(super) async fn attend_inbox(self: Arc<Self>) {
        let mut look = interval(Duration::from_millis(REGISTRY_INBOX_LOOK_MS));
        let _ = self.entered().await;
        loop {
            look.tick().await;
            for change in waiting_changes(&self.us().data) {
                let done = match change.command.clone() {
                    Ok(command) => self.register(command).await.map(drop),
                    Err(why) => Err(Error::BadRequest(why)),
                };
                match done {
                    Err(error) if error.retry_helps() => break,
                    Err(error) => {
                        tracing::warn!(%error, "a change that the command line asked for is refused")
                    }
                    Ok(()) => {}
                }
                change.finish();
            }
        }
    }
}

/// Has the cluster take over rows of a node, and the node with the last of them. `if_empty`: see [`Command::TakeOver`].
pub(super) async fn take_over(
    way: &Way,
    node: u64,
    rows: impl Iterator<Item = Row>,
    if_empty: bool,
) -> Result<(), String> {
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for row in rows {
        bytes += serde_json::to_vec(&row).map_or(0, |json| json.len());
        piece.push(row);
        if bytes > TAKE_OVER_MAX_BYTES {
            bytes = 0;
            let piece = std::mem::take(&mut piece);
            take_over_piece(way, node, piece, (false, if_empty)).await?;
        }
    }
    take_over_piece(way, node, piece, (true, if_empty)).await
}

async fn take_over_piece(
    way: &Way,
    node: u64,
    rows: Vec<Row>,
    (is_all, if_empty): (bool, bool),
) -> Result<(), String> {
    let command = Command::TakeOver {
        node,
        rows,
        is_all,
        if_empty,
    };
    match way.propose(&store::Command::Registry(command)).await? {
        Reply::Registry(Ok(_)) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// The association that a row belongs to; the zero id if to none.
fn association_of(row: &Row) -> Uuid {
    match row {
        Row::Association(association) => association.key,
        Row::User(user) => user.association,
        Row::Account(account) => account.association,
        Row::BareName { association, .. } => *association,
        Row::Revision(_)
        | Row::Chain(_)
        | Row::Key(_)
        | Row::Operator(_)
        | Row::TakenOver(_)
        | Row::Node(_)
        | Row::Compare { .. } => Uuid::nil(),
    }
}
