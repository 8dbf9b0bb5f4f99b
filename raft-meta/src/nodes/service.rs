//! Answers nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filegrid_tree::TreePath;
use futures::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use super::guesses::Board;
use super::roster::write_roster;
use super::{
    COMPARE, CompareRequest, DRAIN, Digest, DrainRequest, Event, GUESSES, Guesses, LIST, LOST, ListRequest,
    Page, REGISTRY, ROSTER, ROWS, RegistryItem, RowsPage, read_position, write_digests,
};
use crate::limits::{LIST_PATIENCE_MAX_MS, LOST_PAGE_MAX_COUNT, REGISTRY_BARRIER_MS, REGISTRY_SIGN_MS};
use crate::raft::Member;
use crate::registry::Position;
use crate::store::{LostPage, Since, Store, TreeView};
use crate::wire::{Identity, Method, Push, Refusal, Role, Service};

/// What a member answers nodes with. Clones share it.
#[derive(Clone)]
pub struct Nodes {
    member: Member,
    store: Arc<Store>,
    board: Arc<Board>,
}

impl Nodes {
    /// A service for a member whose machine is `store`.
    #[must_use]
    pub fn new(member: Member, store: Arc<Store>) -> Self {
        // What other boards have as their numbers is as random.
        let number = Uuid::new_v4().as_u64_pair().0;
        Self {
            member,
            store,
            board: Arc::new(Board::new(number)),
        }
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The machine.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Waits until changes are applied here.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotNow`] if one is not in time.
    pub async fn wait_for(&self, events: &[Event], patience: Duration) -> Result<(), Refusal> {
        let all = async {
            loop {
                let applied = self.member.status().applied;
                let Some(missing) = events.iter().find(|event| !self.is_applied(event)) else {
                    return Ok(());
                };
                let more = self.member.wait_applied(applied + 1).await;
                more.map_err(|error| Refusal::NotNow(format!("change {missing}: {error}")))?;
            }
        };
        let late = |_| Refusal::NotNow("a change is not in the tree of the cluster yet".to_owned());
        tokio::time::timeout(patience, all).await.map_err(late)?
    }

    fn is_applied(&self, event: &Event) -> bool {
        let producer = self.store.producer(event.node, event.log);
        producer.is_some_and(|producer| producer.applied >= event.sequence)
    }

    /// Tells what becomes of the registry behind a position, and each second that it is all. Ends when this member does not
    /// know whether it is: then another has to be asked.
    async fn tell_registry(&self, mut at: Position, to: Push) -> Result<(), Refusal> {
        let mut position = self.store.registry_position();
        let mut sign = tokio::time::interval(Duration::from_millis(REGISTRY_SIGN_MS));
        loop {
            let signs = tokio::select! {
                // At first it is seen to that this is not older than what another member has told.
                biased;
                _ = sign.tick() => true,
                changed = position.changed() => {
                    changed.map_err(|_| Refusal::NotNow("the member is stopping".to_owned()))?;
                    false
                }
            };
            if signs {
                self.catch_up().await?;
            }
            let (since, now) = self.store.registry_since(at);
            at = now;
            let mut items = match since {
                Since::Changes(changes) if changes.is_empty() => Vec::new(),
                Since::Changes(changes) => RegistryItem::of_changes(changes),
                Since::All(registry) => {
                    let written = tokio::task::spawn_blocking(move || RegistryItem::of_registry(&registry));
                    written
                        .await
                        .map_err(|error| Refusal::Failed(error.to_string()))?
                }
            };
            items.extend(signs.then(RegistryItem::sign));
            for item in items {
                if to.item(item).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until this member has applied what any had when this was called.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotNow`] if it does not hear from the one that leads in time.
    pub(crate) async fn catch_up(&self) -> Result<(), Refusal> {
        let read = self.member.read_barrier();
        let read = tokio::time::timeout(Duration::from_millis(REGISTRY_BARRIER_MS), read).await;
        let late = |_| Refusal::NotNow("this member does not hear from the one that leads".to_owned());
        let read = read.map_err(late)?;
        read.map(drop).map_err(|error| Refusal::NotNow(error.to_string()))
    }

    /// A page of the tree as it is here.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn list(&self, request: ListRequest) -> Result<Page, Refusal> {
        let wrong = |error: filegrid_tree::PathError| Refusal::BadRequest(error.to_string());
        let path = TreePath::parse_walked(&request.path).map_err(wrong)?;
        let after = request.after.as_deref().map(TreePath::parse_walked);
        let after = after.transpose().map_err(wrong)?;
        let patience = Duration::from_millis(request.patience_ms.min(LIST_PATIENCE_MAX_MS));
        self.wait_for(&request.shows, patience).await?;
        let store = Arc::clone(&self.store);
        blocking(move || {
            let as_of_ms = store.as_of_ms(request.association);
            let association = *request.association.as_bytes();
            Page::of(&store.view(), association, &path, after.as_ref(), request.entries)
                .map(|page| page.as_of(as_of_ms))
        })
        .await
    }

    /// Digests of runs of rows, as they are when exactly the changes up to one are applied.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotNow`] if they are not in time, or more are.
    pub async fn digests(&self, request: CompareRequest) -> Result<Vec<Digest>, Refusal> {
        self.exactly(request, |view, request| {
            request.spans.iter().map(|span| span.digest(view)).collect()
        })
        .await
    }

    /// Rows of the first run of a request, as they are then.
    ///
    /// # Errors
    ///
    /// As [`Self::digests`].
    pub async fn rows(&self, request: CompareRequest) -> Result<RowsPage, Refusal> {
        self.exactly(request, |view, request| match request.spans.first() {
            Some(span) => span.page(view),
            None => Ok(RowsPage::default()),
        })
        .await
    }

    /// Reads the rows as they are when exactly the changes of a log up to one are applied.
    async fn exactly<T: Send + 'static>(
        &self,
        request: CompareRequest,
        read: impl FnOnce(&TreeView, &CompareRequest) -> Result<T, filegrid_tree::TreeError> + Send + 'static,
    ) -> Result<T, Refusal> {
        // A log may have gone back since: a member that has not heard of that has other rows behind the same sequence.
        self.catch_up().await?;
        let patience = Duration::from_millis(request.patience_ms.min(LIST_PATIENCE_MAX_MS));
        self.wait_for(&[request.at], patience).await?;
        let view = self.store.view();
        let producer = self.store.producer(request.at.node, request.at.log);
        if producer.is_none_or(|producer| producer.applied != request.at.sequence) {
            return Err(Refusal::NotNow("there are changes behind it".to_owned()));
        }
        blocking(move || read(&view, &request)).await
    }

    /// Some of what is marked lost, behind a key of the page before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Failed`] if it cannot be read.
    pub async fn lost(&self, after: Vec<u8>) -> Result<LostPage, Refusal> {
        let view = self.store.view();
        blocking(move || LostPage::of(&view, &after, LOST_PAGE_MAX_COUNT)).await
    }
}

impl Service for Nodes {
    fn call(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let (nodes, from) = (self.clone(), from.clone());
        Box::pin(async move {
            match method {
                LIST => {
                    let unreadable = || Refusal::BadRequest("this asks for no page".to_owned());
                    let request = ListRequest::read(&body).ok_or_else(unreadable)?;
                    nodes.list(request).await.map(|page| page.write())
                }
                COMPARE => {
                    let digests = nodes.digests(compared(&body)?).await?;
                    Ok(write_digests(&digests))
                }
                ROWS => nodes.rows(compared(&body)?).await.map(|page| page.write()),
                LOST => nodes.lost(body.to_vec()).await.map(|page| page.write()),
                GUESSES if from.role != Role::Node => Err(Refusal::Forbidden(format!("method {}", method.0))),
                GUESSES => {
                    nodes.member.leads().map_err(Refusal::NotLeader)?;
                    let unreadable = || Refusal::BadRequest("these are no failed logins".to_owned());
                    let guesses = Guesses::read(body).ok_or_else(unreadable)?;
                    let told = nodes.board.exchange(&from.name, &guesses, Instant::now());
                    Ok(told.write())
                }
                ROSTER => Ok(write_roster(&nodes.roster())),
                DRAIN if from.role != Role::Operator => {
                    Err(Refusal::Forbidden(format!("method {}", method.0)))
                }
                DRAIN => {
                    let unreadable = || Refusal::BadRequest("this names no node".to_owned());
                    let request = DrainRequest::read(body).ok_or_else(unreadable)?;
                    nodes.drain(request).await.map(|()| Bytes::new())
                }
                other => Err(unknown(other)),
            }
        })
    }

    fn watch(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
        to: Push,
    ) -> BoxFuture<'static, Result<(), Refusal>> {
        let (nodes, role) = (self.clone(), from.role);
        Box::pin(async move {
            match method {
                // It holds the keys that sign tokens.
                REGISTRY if role != Role::Node => Err(Refusal::Forbidden(format!("method {}", method.0))),
                REGISTRY => {
                    let unreadable = || Refusal::BadRequest("this is no position of the registry".to_owned());
                    let position = read_position(body).ok_or_else(unreadable)?;
                    nodes.tell_registry(position, to).await
                }
                other => Err(unknown(other)),
            }
        })
    }
}

/// Reads rows where it may take its time: those that are not in memory come from the disk.
async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Refusal> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Refusal::Failed(error.to_string()))?;
    read.map_err(|error| Refusal::Failed(error.to_string()))
}

fn compared(body: &[u8]) -> Result<CompareRequest, Refusal> {
    let unreadable = || Refusal::BadRequest("this names no rows".to_owned());
    CompareRequest::read(body).ok_or_else(unreadable)
}

fn unknown(method: Method) -> Refusal {
    Refusal::BadRequest(format!("there is no method {}", method.0))
}
