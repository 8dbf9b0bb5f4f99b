//! This start of the node, as the cluster knows it: its epoch, and which associations are at home here.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use filegrid_meta::nodes::Homes;
use filegrid_meta::registry::{Command as RegistryCommand, Outcome, Refusal};
use filegrid_meta::store::{self, Command, Reply};
use filegrid_tree::Change;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::way::Way;
use super::{Batch, Request, Shipped, Us, away};
use crate::limits::{HOMES_LOOK_MS, SHIP_RETRY_MAX_MS, SHIP_RETRY_MIN_MS};

/// What is known of the cluster.
pub(super) struct Session {
    way: Way,
    us: Us,
    entered: watch::Sender<Option<Entered>>,
    homes: Arc<ArcSwap<Homes>>,
    /// Held while associations are made known.
    announcing: Mutex<Announced>,
    is_away: AtomicBool,
}

/// What the cluster has said when it let us in.
#[derive(Debug, Clone)]
struct Entered {
    epoch: u64,
    applied: Vec<u64>,
}

/// Associations that this start of the node has seen.
#[derive(Default)]
struct Announced {
    seen: HashSet<Uuid>,
    /// At home elsewhere, which was said.
    foreign: HashSet<Uuid>,
}

impl Session {
    pub(super) fn new(way: Way, us: Us, homes: Arc<ArcSwap<Homes>>) -> Arc<Self> {
        Arc::new(Self {
            way,
            us,
            entered: watch::Sender::new(None),
            homes,
            announcing: Mutex::default(),
            is_away: AtomicBool::new(false),
        })
    }

    /// Has the cluster let this start in, and tells it which associations there are, for ever.
    pub(super) async fn attend(self: Arc<Self>) {
        let mut pause_ms = SHIP_RETRY_MIN_MS;
        while let Err(why) = self.enter().await {
            let _ = self.is_away(&why);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(SHIP_RETRY_MAX_MS);
        }
        let mut told = None;
        loop {
            let version = self.us.registry.version();
            if told != Some(version) {
                match self.announce().await {
                    Ok(()) => told = Some(version),
                    Err(why) => drop(self.is_away(&why)),
                }
            }
            tokio::time::sleep(Duration::from_millis(HOMES_LOOK_MS)).await;
        }
    }

    async fn enter(&self) -> Result<(), String> {
        let enter = Command::Enter {
            node: self.us.node,
            logs: self.us.logs,
        };
        match self.way.propose(&enter).await? {
            Reply::Entered { epoch, applied } => {
                self.is_back();
                self.entered.send_replace(Some(Entered { epoch, applied }));
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request) {
        // Who asked may be gone; that changes nothing.
        match request {
            Request::Entered { log, reply } => {
                if let Some(entered) = self.entered().await {
                    let applied = entered.applied.get(usize::from(log)).copied();
                    let _ = reply.send(applied.unwrap_or(0));
                }
            }
            Request::Ship { batch, reply } => {
                let _ = reply.send(self.ship(batch).await);
            }
            Request::Jump { log, to, reply } => {
                let _ = reply.send(self.jump(log, to).await);
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
            Request::Rows(ask) => self.answer_rows(ask).await,
        }
    }

    async fn entered(&self) -> Option<Entered> {
        let mut entered = self.entered.subscribe();
        let entered = entered.wait_for(Option::is_some).await.ok()?;
        entered.clone()
    }

    async fn ship(&self, batch: Batch) -> Shipped {
        let Some(Entered { epoch, .. }) = self.entered().await else {
            return Shipped::Stopped;
        };
        let mut changes = Vec::with_capacity(batch.changes.len());
        for change in batch.changes.iter() {
            let generation = match association_of(change) {
                Some(association) => self.generation_of(association).await,
                None => Ok(0),
            };
            match generation {
                Ok(generation) => changes.push(store::Shipped {
                    generation,
                    change: change.clone(),
                }),
                Err(why) => return self.is_away(&why),
            }
        }
        let command = store::Batch {
            node: self.us.node,
            log: batch.log,
            epoch,
            first: batch.first.unwrap_or(0),
            // The time that is known already stays.
            as_of_ms: batch.as_of_ms.unwrap_or(i64::MIN),
            changes,
        };
        let command = match batch.first {
            Some(_) => Command::Ship(command),
            None => Command::Copy(command),
        };
        self.tell(&command).await
    }

    async fn jump(&self, log: u8, to: u64) -> Shipped {
        self.tell_as_us(|node, epoch| Command::Jump { node, log, epoch, to })
            .await
    }

    /// Tells the cluster something, as this start of the node.
    pub(super) async fn tell_as_us(&self, command: impl FnOnce(u64, u64) -> Command) -> Shipped {
        let Some(Entered { epoch, .. }) = self.entered().await else {
            return Shipped::Stopped;
        };
        self.tell(&command(self.us.node, epoch)).await
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    async fn tell(&self, command: &Command) -> Shipped {
        let reply = match self.way.propose(command).await {
            Ok(reply) => reply,
            Err(why) => return self.is_away(&why),
        };
        self.is_back();
        match reply {
            Reply::Applied(applied) => Shipped::Applied(applied),
            Reply::Gap(next) => Shipped::Gap(next),
            Reply::Fenced => Shipped::Fenced,
            other => self.is_away(&unexpected(&other)),
        }
    }

    /// Generation of the home of an association on this node; 0 if it is not at home here.
    async fn generation_of(&self, association: Uuid) -> Result<u64, String> {
        let known = |homes: &Homes| homes.0.get(&association).copied();
        if let Some(generation) = known(&self.homes.load()) {
            return Ok(generation);
        }
        if self.us.registry.current().tenant(association).is_some() {
            self.announce().await?;
        }
        Ok(known(&self.homes.load()).unwrap_or(0))
    }

    /// Makes the associations of this node known that the cluster does not know, and has it forget those that are gone.
    async fn announce(&self) -> Result<(), String> {
        let mut announced = self.announcing.lock().await;
        let node = self.us.node;
        let mut homes = self.way.homes(node).await?;
        let registry = self.us.registry.current();
        let mut changed = false;
        for tenant in registry.tenants() {
            let association = tenant.association();
            let key = association.key;
            announced.seen.insert(key);
            if homes.0.contains_key(&key) || announced.foreign.contains(&key) {
                continue;
            }
            let name = association.name.clone();
            let create = RegistryCommand::CreateAssociation {
                key,
                name,
                node: None,
            };
            // One that is there already is no failure.
            let _ = self.register(create).await?;
            let place = RegistryCommand::Place { key, node, from: 0 };
            if let Err(refusal) = self.register(place).await? {
                tracing::error!(association = %key, %refusal, "an association of this node is at home elsewhere");
                announced.foreign.insert(key);
            }
            changed = true;
        }
        let gone = homes.0.keys().copied();
        // Only what this start has seen is known to be deleted: a registry that was lost deletes nothing.
        let gone: Vec<_> = gone
            .filter(|key| announced.seen.contains(key) && registry.tenant(*key).is_none())
            .collect();
        for key in gone {
            let _ = self.register(RegistryCommand::DeleteAssociation { key }).await?;
            changed = true;
        }
        if changed {
            homes = self.way.homes(node).await?;
        }
        self.homes.store(Arc::new(homes));
        Ok(())
    }

    async fn register(&self, command: RegistryCommand) -> Result<Result<Outcome, Refusal>, String> {
        match self.way.propose(&Command::Registry(command)).await? {
            Reply::Registry(done) => Ok(done.map(|done| done.outcome)),
            other => Err(unexpected(&other)),
        }
    }

    /// Says once that the cluster is away.
    fn is_away(&self, why: &str) -> Shipped {
        if !self.is_away.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                why,
                "the metadata cluster is away: changes wait, and list/tree is not answered or behind"
            );
        }
        Shipped::Away
    }

    fn is_back(&self) {
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

fn unexpected(reply: &Reply) -> String {
    format!("an answer to something else: {reply:?}")
}
