//! What the cluster has of this node's rows.

use std::sync::Arc;

use filegrid_meta::nodes::{CompareRequest, Digest, Event, RowsPage, Span};
use filegrid_meta::store::{Command, Compared, Lost, LostPage};
use futures::channel::oneshot;

use super::session::Session;
use super::{Cluster, Request, Shipped, away};
use crate::error::Error;
use crate::limits::COMPARE_PATIENCE_MS;

/// What is asked of rows.
pub(super) enum Ask {
    Digests {
        request: CompareRequest,
        reply: oneshot::Sender<Option<Vec<Digest>>>,
    },
    Page {
        request: CompareRequest,
        reply: oneshot::Sender<Option<RowsPage>>,
    },
    Lose {
        log: u8,
        at: u64,
        entries: Vec<Lost>,
        reply: oneshot::Sender<Shipped>,
    },
    Lost {
        after: Vec<u8>,
        reply: oneshot::Sender<Result<LostPage, Error>>,
    },
    Compared {
        log: u8,
        compared: Compared,
        reply: oneshot::Sender<Shipped>,
    },
}

impl Cluster {
    /// Digests of runs of rows, as they are when exactly the changes of a log up to a sequence are applied. `None` if the
    /// cluster does not know now.
    pub async fn digests(&self, log: u8, sequence: u64, spans: Vec<Span>) -> Option<Vec<Digest>> {
        let runs = spans.len();
        let request = self.compare(log, sequence, spans);
        let asked = self.ask(|reply| Request::Rows(Ask::Digests { request, reply }));
        asked.await.flatten().filter(|digests| digests.len() == runs)
    }

    /// The first rows of a run, as they are then.
    pub async fn rows(&self, log: u8, sequence: u64, span: Span) -> Option<RowsPage> {
        let request = self.compare(log, sequence, vec![span]);
        let asked = self.ask(|reply| Request::Rows(Ask::Page { request, reply }));
        asked.await.flatten()
    }

    /// Marks entries that this node has lost, as it is behind the sequence of a log that the cluster has applied.
    pub async fn lose(&self, log: u8, at: u64, entries: Vec<Lost>) -> Shipped {
        let asked = self.ask(|reply| {
            Request::Rows(Ask::Lose {
                log,
                at,
                entries,
                reply,
            })
        });
        asked.await.unwrap_or(Shipped::Stopped)
    }

    /// Some of what is marked lost in the whole cluster, behind a key of the page before.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] while no member can be asked.
    pub async fn lost(&self, after: Vec<u8>) -> Result<LostPage, Error> {
        let asked = self.ask(|reply| Request::Rows(Ask::Lost { after, reply }));
        asked.await.unwrap_or_else(|| Err(away("it has ended")))
    }

    /// Tells what came of comparing rows, when that was asked for.
    pub async fn compared(&self, log: u8, compared: Compared) -> Shipped {
        let asked = self.ask(|reply| Request::Rows(Ask::Compared { log, compared, reply }));
        asked.await.unwrap_or(Shipped::Stopped)
    }

    /// How often this node was asked to compare its rows with the cluster's.
    #[must_use]
    pub fn compares(&self) -> u64 {
        self.registry.current().compares(self.node)
    }

    /// This node, as it is named in the cluster.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.node
    }

    fn compare(&self, log: u8, sequence: u64, spans: Vec<Span>) -> CompareRequest {
        CompareRequest {
            at: Event {
                node: self.node,
                log,
                sequence,
            },
            patience_ms: COMPARE_PATIENCE_MS,
            spans,
        }
    }
}

impl Session {
    pub(super) async fn answer_rows(self: &Arc<Self>, ask: Ask) {
        // Who asked may be gone; that changes nothing.
        match ask {
            Ask::Digests { request, reply } => {
                let _ = reply.send(self.way().digests(request).await.ok());
            }
            Ask::Page { request, reply } => {
                let _ = reply.send(self.way().rows(request).await.ok());
            }
            Ask::Lose {
                log,
                at,
                entries,
                reply,
            } => {
                let told = self.tell_as_us(|node, epoch| Command::Lost {
                    node,
                    log,
                    epoch,
                    at,
                    entries,
                });
                let _ = reply.send(told.await);
            }
            Ask::Compared { log, compared, reply } => {
                let told = self.tell_as_us(|node, epoch| Command::Compared {
                    node,
                    log,
                    epoch,
                    compared,
                });
                let _ = reply.send(told.await);
            }
            Ask::Lost { after, reply } => {
                let _ = reply.send(self.way().lost(after).await.map_err(away));
            }
        }
    }
}
