//! The cluster's tree, for listings.

use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::nodes::{Event, ListRequest, Page};
use filegrid_meta::store::{Store, TreeView};
use filegrid_tree::TreePath;
use futures::future::select;
use uuid::Uuid;

use super::{Cluster, Request, away};
use crate::clock;
use crate::error::Error;
use crate::limits::{AFTER_PATIENCE_MS, OWN_PATIENCE_MS};
use crate::ring;

/// The tree of one association, as the cluster has it.
pub struct Tree {
    association: Uuid,
    from: From,
    /// By how much the changes of this node may be behind, in milliseconds.
    own_lag_ms: u64,
}

enum From {
    /// The rows of our own member, as they are at one moment.
    Here(Box<TreeView>),
    /// A member elsewhere, which has to show these changes.
    There(Arc<Cluster>, Vec<Event>),
}

impl Cluster {
    /// The tree of an association whose changes on this node are in `log`. It shows `after`, and what was changed here
    /// before this is called, if the cluster takes that in time.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if `after` is not applied in time.
    pub async fn tree(
        self: &Arc<Self>,
        association: Uuid,
        log: u8,
        after: Option<Event>,
    ) -> Result<Tree, Error> {
        let (own, own_lag_ms) = self.own(log).await;
        let shows: Vec<_> = own.into_iter().chain(after).collect();
        let from = if self.is_embedded {
            let store = self.embedded(&shows).await?;
            From::Here(Box::new(store.view()))
        } else {
            From::There(Arc::clone(self), shows)
        };
        Ok(Tree {
            association,
            from,
            own_lag_ms,
        })
    }

    /// Whether the changes of an association are made on this node.
    #[must_use]
    pub fn is_home(&self, association: Uuid) -> bool {
        self.registry.current().is_at_home(association, self.node)
    }

    /// Waits until the cluster has what was changed in a log of this node before this is called.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if it does not take that in time.
    pub async fn catch_up(&self, log: u8) -> Result<(), Error> {
        let (last, _) = self.own(log).await;
        last.map(drop)
            .ok_or_else(|| away("it lacks changes of this node"))
    }

    /// Waits until the cluster has what is in a log of this node: the last change of that, and how much it lacks.
    async fn own(&self, log: u8) -> (Option<Event>, u64) {
        let Some(progress) = self.progress(log) else {
            return (None, 0);
        };
        let sequence = progress.applied();
        if progress.shipped() < sequence {
            let shipped = std::pin::pin!(progress.wait_shipped(sequence));
            let late = std::pin::pin!(ring::sleep(Duration::from_millis(OWN_PATIENCE_MS)));
            select(shipped, late).await;
        }
        if progress.shipped() < sequence {
            return (None, progress.lag_ms(clock::now_ms()));
        }
        let node = self.node;
        let event = Event { node, log, sequence };
        ((sequence > 0).then_some(event), 0)
    }

    /// The machine of our own member, when it shows some changes.
    async fn embedded(&self, shows: &[Event]) -> Result<&Arc<Store>, Error> {
        let is_shown = |store: &Store, event: &Event| {
            let producer = store.producer(event.node, event.log);
            producer.is_some_and(|producer| producer.applied >= event.sequence)
        };
        if let Some(store) = self.store.get()
            && shows.iter().all(|event| is_shown(store, event))
        {
            return Ok(store);
        }
        let waited = self.ask(|reply| Request::Wait {
            events: shows.to_vec(),
            patience: Duration::from_millis(AFTER_PATIENCE_MS),
            reply,
        });
        waited.await.ok_or_else(stopping)??;
        self.store.get().ok_or_else(stopping)
    }
}

impl Tree {
    /// The next entries below a path, strictly behind `after`, at most so many.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the cluster does not answer.
    pub async fn page(&self, path: &TreePath, after: Option<&TreePath>, most: u64) -> Result<Page, Error> {
        match &self.from {
            From::Here(view) => {
                let association = self.association.as_bytes();
                Ok(Page::of(&**view, *association, path, after, most)?)
            }
            From::There(cluster, shows) => {
                let request = ListRequest {
                    association: self.association,
                    path: path.to_string(),
                    after: after.map(ToString::to_string),
                    shows: shows.clone(),
                    patience_ms: AFTER_PATIENCE_MS,
                    entries: most,
                };
                let asked = cluster.ask(|reply| Request::List { request, reply });
                asked.await.ok_or_else(stopping)?
            }
        }
    }

    /// By how much a page may be behind, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, page: &Page) -> u64 {
        let told = page.as_of_ms.map(|as_of| clock::now_ms().saturating_sub(as_of));
        let told = told.map_or(0, |lag| u64::try_from(lag).unwrap_or(0));
        // Our own changes are known better than by what the cluster was told last.
        match &self.from {
            From::There(cluster, _) if !cluster.is_home(self.association) => told.max(self.own_lag_ms),
            From::Here(_) | From::There(..) => self.own_lag_ms,
        }
    }
}

fn stopping() -> Error {
    away("this node is stopping")
}
