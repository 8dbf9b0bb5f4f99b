//! This start of the node, as the cluster knows it: its epoch, and what it ships.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filegrid_meta::store::{self, Command, Reply, Start};
use filegrid_tree::Change;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::way::Way;
use super::{Batch, Granted, Request, Shipped, Us, away, epoch};
use crate::limits::{SHIP_RETRY_MAX_MS, SHIP_RETRY_MIN_MS};

/// What is known of the cluster.
pub(super) struct Session {
    way: Way,
    us: Us,
    granted: Mutex<Option<Entered>>,
    /// [`Self::granted`], once this node has the cluster's registry too.
    entered: watch::Sender<Option<Entered>>,
    /// Revision of the registry that this node knows.
    known: watch::Sender<Option<u64>>,
    is_away: AtomicBool,
    /// Logs of which the cluster has what this node has.
    agreed: Mutex<BTreeSet<u8>>,
}

/// What the cluster has said when it let us in.
#[derive(Debug, Clone)]
pub(super) struct Entered {
    epoch: u64,
    applied: Vec<u64>,
    compared: Vec<u64>,
    /// Whether it is the start behind the one that this `DATA` has noted.
    is_next: bool,
    number: u32,
}

impl Entered {
    /// What a reply says, if it is that.
    fn of(reply: Reply, data: &Path) -> Result<Self, Reply> {
        match reply {
            Reply::Entered {
                epoch,
                applied,
                compared,
                number,
            } => Ok(Self {
                is_next: epoch::last(data).checked_add(1) == Some(epoch),
                epoch,
                applied,
                compared,
                number,
            }),
            other => Err(other),
        }
    }

    fn of_log(&self, log: u8) -> Granted {
        let log = usize::from(log);
        Granted {
            applied: self.applied.get(log).copied().unwrap_or(0),
            compared: self.compared.get(log).copied().unwrap_or(0),
            is_next: self.is_next,
            number: self.number,
        }
    }
}

impl Session {
    pub(super) fn new(way: Way, us: Us) -> Arc<Self> {
        Arc::new(Self {
            way,
            us,
            granted: Mutex::new(None),
            entered: watch::Sender::new(None),
            known: watch::Sender::new(None),
            is_away: AtomicBool::new(false),
            agreed: Mutex::default(),
        })
    }

    /// Has the cluster let this start in, and follows its registry, for ever.
    pub(super) async fn attend(self: Arc<Self>) {
        let mut pause_ms = SHIP_RETRY_MIN_MS;
        while let Err(why) = self.enter().await {
            let _ = self.is_away(&why);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(SHIP_RETRY_MAX_MS);
        }
        self.follow().await;
    }

    async fn enter(&self) -> Result<(), String> {
        let enter = Command::Enter {
            node: self.us.node,
            logs: self.us.logs,
            start: self.us.start,
        };
        let entered = Entered::of(self.way.propose(&enter).await?, &self.us.data);
        let entered = entered.map_err(|other| unexpected(&other))?;
        self.is_back();
        *self.granted.lock().await = Some(entered);
        Ok(())
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request) {
        // Who asked may be gone; that changes nothing.
        match request {
            Request::Entered { log, reply } => {
                if let Some(entered) = self.entered().await {
                    let _ = reply.send(entered.of_log(log));
                }
            }
            Request::Agreed { log } => self.agreed(log).await,
            Request::Number { patience, reply } => {
                let _ = reply.send(self.number(patience).await);
            }
            Request::Ship { batch, reply } => {
                let _ = reply.send(self.ship(batch).await);
            }
            Request::Copy {
                log,
                at,
                change,
                reply,
            } => {
                let _ = reply.send(self.copy(log, at, change).await);
            }
            Request::Jump { log, from, to, reply } => {
                let told = self.tell_as_us(|node, epoch| Command::Jump {
                    node,
                    log,
                    epoch,
                    from,
                    to,
                });
                let _ = reply.send(told.await);
            }
            Request::Wait {
                events,
                patience,
                reply,
            } => {
                let waited = self.way.wait_for(&events, patience).await;
                let _ = reply.send(waited.map_err(away));
            }
            Request::List { request, reply } => {
                let _ = reply.send(self.way.list(request).await.map_err(away));
            }
            Request::Resolve { name, reply } => {
                let found = tokio::net::lookup_host(name).await;
                let found = found.map_err(|error| error.to_string());
                let first =
                    found.and_then(|mut all| all.next().ok_or_else(|| "it has no address".to_owned()));
                let _ = reply.send(first);
            }
            Request::Announce(announcement) => self.announce(announcement).await,
            Request::Rows(ask) => self.answer_rows(ask).await,
            Request::Register { command, reply } => {
                let _ = reply.send(self.register(command).await);
            }
        }
    }

    pub(super) async fn entered(&self) -> Option<Entered> {
        let mut entered = self.entered.subscribe();
        let entered = entered.wait_for(Option::is_some).await.ok()?;
        entered.clone()
    }

    async fn number(&self, patience: Duration) -> Option<u32> {
        let entered = tokio::time::timeout(patience, self.entered()).await.ok()?;
        entered.map(|entered| entered.number)
    }

    /// The cluster has what this node has of a log. Once that is so of all, the number of this start is noted.
    async fn agreed(&self, log: u8) {
        let granted = self.granted.lock().await;
        let mut agreed = self.agreed.lock().await;
        if agreed.insert(log)
            && agreed.len() == usize::from(self.us.logs)
            && let Some(granted) = &*granted
        {
            epoch::note(&self.us.data, granted.epoch);
        }
    }

    async fn ship(&self, batch: Batch) -> Shipped {
        let Some(Entered { epoch, .. }) = self.entered().await else {
            return Shipped::Stopped;
        };
        let changes = batch.changes.iter().map(|change| self.at_home(change.clone()));
        let command = Command::Ship(store::Batch {
            node: self.us.node,
            log: batch.log,
            epoch,
            first: batch.first,
            // The time that is known already stays.
            as_of_ms: batch.as_of_ms.unwrap_or(i64::MIN),
            changes: changes.collect(),
        });
        self.tell(epoch, &command).await
    }

    async fn copy(&self, log: u8, at: u64, change: Vec<u8>) -> Shipped {
        let command = |node, epoch| {
            Command::Copy(store::Batch {
                node,
                log,
                epoch,
                first: at.saturating_add(1),
                as_of_ms: i64::MIN,
                changes: vec![self.at_home(change)],
            })
        };
        self.tell_as_us(command).await
    }

    /// A change with the generation of the home that its association has here.
    fn at_home(&self, change: Vec<u8>) -> store::Shipped {
        store::Shipped {
            generation: association_of(&change).map_or(0, |association| self.generation_of(association)),
            change,
        }
    }

    /// Tells the cluster something, as this start of the node.
    pub(super) async fn tell_as_us(&self, command: impl FnOnce(u64, u64) -> Command) -> Shipped {
        let Some(Entered { epoch, .. }) = self.entered().await else {
            return Shipped::Stopped;
        };
        self.tell(epoch, &command(self.us.node, epoch)).await
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    async fn tell(&self, epoch: u64, command: &Command) -> Shipped {
        let reply = match self.way.propose(command).await {
            Ok(reply) => reply,
            Err(why) => return self.is_away(&why),
        };
        self.is_back();
        match reply {
            Reply::Applied(applied) => Shipped::Applied(applied),
            Reply::Gap(next) => Shipped::Gap(next),
            Reply::Fenced => match self.returned(epoch).await {
                Ok(true) => Shipped::Away,
                Ok(false) => Shipped::Fenced,
                Err(why) => self.is_away(&why),
            },
            other => self.is_away(&unexpected(&other)),
        }
    }

    /// Generation of the home of an association on this node; 0 if it is not at home here.
    fn generation_of(&self, association: Uuid) -> u64 {
        let registry = self.us.registry.current();
        let home = registry
            .tenant(association)
            .and_then(|tenant| tenant.association().home);
        home.filter(|home| home.node == self.us.node)
            .map_or(0, |home| home.generation)
    }

    /// This node has the cluster's registry: what it ships from now on is known to belong somewhere.
    pub(super) async fn settled(&self) {
        let granted = self.granted.lock().await;
        if self.entered.borrow().is_none() {
            self.entered.send_replace(granted.clone());
        }
    }

    /// Whether this start, which is refused by its number, goes on: the cluster was restored, and nobody has come since.
    async fn returned(&self, refused: u64) -> Result<bool, String> {
        let mut granted = self.granted.lock().await;
        let Some(number) = granted
            .as_ref()
            .filter(|known| known.epoch == refused)
            .map(|known| known.number)
        else {
            return Ok(true);
        };
        let again = Command::Return {
            node: self.us.node,
            logs: self.us.logs,
            start: Start {
                number,
                ..self.us.start
            },
            epoch: refused,
        };
        match Entered::of(self.way.propose(&again).await?, &self.us.data) {
            Ok(entered) => {
                tracing::warn!("the metadata cluster was restored: it has let this node in again");
                // Its number is noted when a round of comparing is over.
                self.agreed.lock().await.clear();
                *granted = Some(entered);
                // Nothing is shipped before the registry is known as it is now.
                self.entered.send_replace(None);
                Ok(true)
            }
            Err(Reply::Fenced) => Ok(false),
            Err(other) => Err(unexpected(&other)),
        }
    }

    /// This node knows the cluster's registry as of a revision.
    pub(super) fn knows(&self, revision: u64) {
        self.known.send_replace(Some(revision));
    }

    pub(super) fn known_revision(&self) -> Option<u64> {
        *self.known.borrow()
    }

    pub(super) async fn wait_known(&self, revision: u64) {
        let mut known = self.known.subscribe();
        // It ends with the session only.
        let _ = known
            .wait_for(|known| known.is_some_and(|known| known >= revision))
            .await;
    }

    pub(super) fn us(&self) -> &Us {
        &self.us
    }

    /// Says once that the cluster is away.
    pub(super) fn is_away(&self, why: &str) -> Shipped {
        if !self.is_away.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                why,
                "the metadata cluster is away: changes wait, and list/tree is not answered or behind"
            );
        }
        Shipped::Away
    }

    pub(super) fn is_back(&self) {
        if self.is_away.swap(false, Ordering::AcqRel) {
            tracing::info!("the metadata cluster is back");
        }
    }
}

/// The association of a change, read where it lies.
fn association_of(change: &[u8]) -> Option<Uuid> {
    let archived = rkyv::access::<<Change as rkyv::Archive>::Archived, rkyv::rancor::Error>(change);
    archived.ok().map(|change| Uuid::from_bytes(change.association))
}

pub(super) fn unexpected(reply: &Reply) -> String {
    format!("an answer to something else: {reply:?}")
}
