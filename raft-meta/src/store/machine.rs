//! The machine: commands in, rows and replies out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use filegrid_tree::{BlobId, Change, DirId, Op, Sink, apply, keys as tree_keys};
use tokio::sync::watch;
use tokio::time::Instant;

use super::history::History;
use super::install::StoreInstall;
use super::keys::{self, MARK};
use super::live::{Live, Rows, TreeView};
use super::lost::Marks;
use super::snapshot::{StoreSnapshot, read};
use super::{Batch, Command, Producer, ProducerShown, Registered, Reply, Shipped, Start, Verdict, directory};
use crate::limits::REJECTED_KEPT_MAX_COUNT;
use crate::machine::{Machine, MachineError, MachineInstall, MachineSnapshot};
use crate::registry::{self, Position, Registry, Row, RowChange};

/// What a member holds.
pub struct Store(Arc<Shared>);

pub(super) struct Shared {
    pub(super) home: PathBuf,
    live: ArcSwap<Live>,
    state: Mutex<State>,
    /// The registry of the last batch, for readers.
    registry: ArcSwap<Registry>,
    /// Its position, for those who wait for another.
    position: watch::Sender<Position>,
}

/// What follows a position of the registry.
#[derive(Debug)]
pub enum Since {
    /// These changes, none if it is as it was; they are in order.
    Changes(Vec<RowChange>),
    /// Nobody knows: this is all of it.
    All(Arc<Registry>),
}

/// What is kept in memory beside the rows. Changed entry by entry; a batch that cannot be written ends the process.
#[derive(Default)]
struct State {
    registry: Registry,
    producers: BTreeMap<(u64, u8), Producer>,
    /// When something that each log has sent was last applied here.
    heard: BTreeMap<(u64, u8), Instant>,
    lost: Marks,
    history: History,
}

impl Store {
    /// Opens the store in a directory, making it when it is not there. Blocks.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used or its content is damaged.
    pub fn open(home: &Path) -> Result<Self, MachineError> {
        let live = Live::open(&directory::current(home)?)?;
        directory::sync(home)?;
        let state = State::load(&live.view())?;
        Ok(Self(Arc::new(Shared {
            home: home.to_owned(),
            live: ArcSwap::new(live),
            registry: ArcSwap::from_pointee(state.registry.clone()),
            position: watch::Sender::new(state.registry.position()),
            state: Mutex::new(state),
        })))
    }

    /// The tree of all nodes as it is now.
    #[must_use]
    pub fn view(&self) -> TreeView {
        self.0.live.load().view()
    }

    /// The registry as it is now.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.0.registry.load_full()
    }

    /// The position of the registry, to wait for another.
    #[must_use]
    pub fn registry_position(&self) -> watch::Receiver<Position> {
        self.0.position.subscribe()
    }

    /// What has become of the registry since it was at a position, and where it is now.
    #[must_use]
    pub fn registry_since(&self, position: Position) -> (Since, Position) {
        let state = self.0.state();
        let now = state.registry.position();
        let since = if position == now {
            Since::Changes(Vec::new())
        } else {
            match state.history.since(position) {
                Some(changes) => Since::Changes(changes),
                None => Since::All(Arc::new(state.registry.clone())),
            }
        };
        (since, now)
    }

    /// How far a log of a node has come.
    #[must_use]
    pub fn producer(&self, node: u64, log: u8) -> Option<Producer> {
        self.0.state().producers.get(&(node, log)).copied()
    }

    /// The newest time by a node's clock of which it has told; `None` if it has told nothing yet.
    #[must_use]
    pub fn heard_ms(&self, node: u64) -> Option<i64> {
        let state = self.0.state();
        let logs = state.producers.range((node, 0)..=(node, u8::MAX));
        let heard = logs.map(|(_, producer)| producer.as_of_ms).max();
        heard.filter(|heard| *heard > 0)
    }

    /// How far all logs have come, by node and number.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerShown> {
        let state = self.0.state();
        let all = state.producers.iter();
        let shown = all.map(|((node, log), known)| ProducerShown {
            node: *node,
            log: *log,
            known: *known,
            heard_ms: state.heard.get(&(*node, *log)).map(|at| {
                let heard_ms = at.elapsed().as_millis();
                u64::try_from(heard_ms).unwrap_or(u64::MAX)
            }),
        });
        shown.collect()
    }

    /// All changes of the node that an association is at home on, up to this time by its clock, are applied; `None` if it
    /// has no home, or that has told nothing yet.
    #[must_use]
    pub fn as_of_ms(&self, association: uuid::Uuid) -> Option<i64> {
        let state = self.0.state();
        let node = state.registry.tenant(association)?.association().home?.node;
        let logs = state.producers.range((node, 0)..=(node, u8::MAX));
        logs.map(|(_, producer)| producer.as_of_ms).min()
    }
}

impl Machine for Store {
    fn applied(&self) -> Result<Option<Vec<u8>>, MachineError> {
        read(&self.view(), MARK)
    }

    fn apply(&self, entries: Vec<Option<Vec<u8>>>, mark: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let mut state = self.0.state();
        let position = state.registry.position();
        let mut rows = Rows::new();
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            replies.push(match entry {
                Some(command) => state.apply(Command::decode(&command)?, &mut rows)?.encode(),
                None => Vec::new(),
            });
        }
        rows.push((MARK.to_vec(), Some(mark.to_vec())));
        self.0.live.load().write(rows)?;
        if state.registry.position() != position {
            self.0.registry.store(Arc::new(state.registry.clone()));
            self.0.position.send_replace(state.registry.position());
        }
        Ok(replies)
    }

    fn persist(&self) -> Result<(), MachineError> {
        self.0.live.load().persist()
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, MachineError> {
        Ok(Box::new(StoreSnapshot::new(self.view())?))
    }

    fn install(&self) -> Result<Box<dyn MachineInstall>, MachineError> {
        Ok(Box::new(StoreInstall::begin(Arc::clone(&self.0))?))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other rows, which are durable, in the place of the live ones.
    pub(super) fn replace(&self, fresh: &Arc<Live>) -> Result<(), MachineError> {
        let loaded = State::load(&fresh.view())?;
        let mut state = self.state();
        directory::point(&self.home, fresh.path())?;
        self.live.swap(Arc::clone(fresh)).retire();
        self.registry.store(Arc::new(loaded.registry.clone()));
        self.position.send_replace(loaded.registry.position());
        *state = loaded;
        Ok(())
    }
}

impl State {
    fn load(view: &TreeView) -> Result<Self, MachineError> {
        let mut state = Self::default();
        for_each(view, keys::REGISTRY, |_, value| {
            let row: Row = serde_json::from_slice(value).map_err(|error| damaged("the registry", &error))?;
            state.registry.put(RowChange::Put(row));
            Ok(())
        })?;
        for_each(view, keys::PRODUCERS, |key, value| {
            let key = keys::split_producer(key).ok_or_else(|| damaged("a producer", &"its key"))?;
            let producer = serde_json::from_slice(value).map_err(|error| damaged("a producer", &error))?;
            state.producers.insert(key, producer);
            Ok(())
        })?;
        for_each(view, keys::LOST, |key, _| {
            state.lost.load(key);
            Ok(())
        })?;
        Ok(state)
    }

    fn apply(&mut self, command: Command, rows: &mut Rows) -> Result<Reply, MachineError> {
        match command {
            Command::Registry(command) => self.change_registry(&command, rows),
            Command::Ship(batch) => self.ship(&batch, rows),
            Command::Copy(batch) => self.copy(&batch, rows),
            Command::Enter { node, logs, start } => self.enter(node, logs, start, None, rows),
            Command::Return {
                node,
                logs,
                start,
                epoch,
            } => {
                let known = || self.producers.range((node, 0)..=(node, u8::MAX));
                if known().all(|(_, producer)| producer.may_return(epoch)) {
                    self.enter(node, logs, start, Some(epoch), rows)
                } else if start.nonce != 0
                    && known()
                        .all(|(_, producer)| producer.start.nonce == start.nonce && producer.epoch > epoch)
                {
                    // It was let in again, and nobody heard the answer.
                    self.enter(node, logs, start, None, rows)
                } else {
                    Ok(Reply::Fenced)
                }
            }
            Command::Jump {
                node,
                log,
                epoch,
                from,
                to,
            } => match self.sender_at(node, log, epoch, &[from, to]) {
                Ok(producer) => {
                    let producer = Producer {
                        applied: to,
                        ..producer
                    };
                    self.put_producer(node, log, producer, rows)?;
                    Ok(Reply::Applied(to))
                }
                Err(refused) => Ok(refused),
            },
            Command::Lost {
                node,
                log,
                epoch,
                at,
                entries,
            } => match self.sender_at(node, log, epoch, &[at]) {
                Ok(_) => {
                    self.lost.mark(&entries, rows)?;
                    Ok(Reply::Applied(at))
                }
                Err(refused) => Ok(refused),
            },
            Command::Compared {
                node,
                log,
                epoch,
                compared,
            } => {
                let Some(producer) = self.sender(node, log, epoch) else {
                    return Ok(Reply::Fenced);
                };
                let producer = Producer {
                    compared,
                    rejected_before: producer.rejected,
                    ..producer
                };
                self.put_producer(node, log, producer, rows)?;
                Ok(Reply::Applied(producer.applied))
            }
        }
    }

    fn change_registry(
        &mut self,
        command: &registry::Command,
        rows: &mut Rows,
    ) -> Result<Reply, MachineError> {
        let before = self.registry.position();
        let mut applied = match self.registry.apply(command) {
            Ok(applied) => applied,
            Err(refusal) => return Ok(Reply::Registry(Err(refusal))),
        };
        if let registry::Command::CreateAssociation { node: Some(node), .. } = command
            && self.has_rejected(*node)
        {
            // Some of it may be of this one, which the cluster had forgotten: it is sent once more.
            let compare = registry::Command::Compare { node: *node };
            if let Ok(more) = self.registry.apply(&compare) {
                applied.rows.extend(more.rows);
            }
        }
        if let registry::Command::DeleteAssociation { key } = command {
            let root = filegrid_tree::root_name(key.as_bytes());
            rows.push((tree_keys::row(filegrid_tree::ROOTS, &root), None));
        }
        let mut bytes = 0;
        for change in &applied.rows {
            let (key, value) = match change {
                RowChange::Put(row) => (keys::registry(&row.key()), Some(json(row)?)),
                RowChange::Remove(key) => (keys::registry(key), None),
            };
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            rows.push((key, value));
        }
        if !applied.rows.is_empty() {
            self.history.push(before, applied.rows, bytes);
        }
        Ok(Reply::Registry(Ok(Registered {
            outcome: applied.outcome,
            revision: self.registry.revision(),
        })))
    }

    /// Whether changes of a node were rejected since its rows were last compared on request.
    fn has_rejected(&self, node: u64) -> bool {
        let mut logs = self.producers.range((node, 0)..=(node, u8::MAX));
        logs.any(|(_, producer)| producer.rejected > producer.rejected_before)
    }

    fn ship(&mut self, batch: &Batch, rows: &mut Rows) -> Result<Reply, MachineError> {
        let Some(mut producer) = self.producers.get(&(batch.node, batch.log)).copied() else {
            return Ok(Reply::Fenced);
        };
        let new = match producer.judge(batch.epoch, batch.first, batch.changes.len()) {
            Verdict::Fenced => return Ok(Reply::Fenced),
            Verdict::Gap => return Ok(Reply::Gap(producer.applied.saturating_add(1))),
            Verdict::From(at) => batch.changes.get(at..).unwrap_or_default(),
        };
        for shipped in new {
            producer.applied = producer.applied.saturating_add(1);
            if let Err(reason) = self.change(batch.node, shipped, rows)? {
                if producer.rejected < REJECTED_KEPT_MAX_COUNT {
                    let key = keys::rejected(batch.node, batch.log, producer.applied);
                    rows.push((key, Some(json(&reason)?)));
                }
                producer.rejected += 1;
            }
        }
        producer.as_of_ms = producer.as_of_ms.max(batch.as_of_ms);
        self.put_producer(batch.node, batch.log, producer, rows)?;
        Ok(Reply::Applied(producer.applied))
    }

    fn copy(&mut self, batch: &Batch, rows: &mut Rows) -> Result<Reply, MachineError> {
        let at = batch.first.saturating_sub(1);
        if let Err(refused) = self.sender_at(batch.node, batch.log, batch.epoch, &[at]) {
            return Ok(refused);
        }
        for shipped in &batch.changes {
            // Rows of an association that is at home elsewhere are that node's to tell.
            let _ = self.change(batch.node, shipped, rows)?;
        }
        Ok(Reply::Applied(at))
    }

    /// How far a log has come, if the sender is the last start of its node.
    fn sender(&self, node: u64, log: u8, epoch: u64) -> Option<Producer> {
        let producer = self.producers.get(&(node, log)).copied();
        producer.filter(|producer| producer.epoch == epoch)
    }

    /// The same, if the log is at one of these sequences; or what the sender is told.
    fn sender_at(&self, node: u64, log: u8, epoch: u64, at: &[u64]) -> Result<Producer, Reply> {
        let producer = self.sender(node, log, epoch).ok_or(Reply::Fenced)?;
        if at.contains(&producer.applied) {
            Ok(producer)
        } else {
            Err(Reply::Gap(producer.applied.saturating_add(1)))
        }
    }

    /// Applies a change, or says why it is rejected.
    fn change(
        &mut self,
        node: u64,
        shipped: &Shipped,
        rows: &mut Rows,
    ) -> Result<Result<(), String>, MachineError> {
        // A member that cannot read what others can must not go on without it.
        let change = Change::decode(&shipped.change).map_err(|error| damaged("a change", &error))?;
        // What a tenant leaves behind is purged when the tenant is gone, or has moved.
        let purges = change.ops.iter().all(|op| matches!(op, Op::Purge { .. }));
        if !purges && let Err(reason) = self.is_home(node, shipped.generation, &change) {
            return Ok(Err(reason));
        }
        apply(&change, &mut Tree(rows, &mut self.lost)).map_err(|error| damaged("a change", &error))?;
        Ok(Ok(()))
    }

    fn is_home(&self, node: u64, generation: u64, change: &Change) -> Result<(), String> {
        let key = uuid::Uuid::from_bytes(change.association);
        let tenant = self.registry.tenant(key);
        let tenant = tenant.ok_or_else(|| format!("there is no association {key}"))?;
        match tenant.association().home {
            Some(home) if home.node == node && home.generation == generation => Ok(()),
            Some(home) => Err(format!(
                "the association {key} is at home on node {:016x}, generation {}, not on {node:016x}, \
                 generation {generation}",
                home.node, home.generation
            )),
            None => Err(format!("the association {key} has no home")),
        }
    }

    /// Lets a start in, with a number above those that are known and above that which it had before, if it had one: a node
    /// tells by it which of its commands were refused.
    fn enter(
        &mut self,
        node: u64,
        logs: u8,
        start: Start,
        before: Option<u64>,
        rows: &mut Rows,
    ) -> Result<Reply, MachineError> {
        let known = self.producers.range((node, 0)..=(node, u8::MAX));
        let known = known
            .map(|(_, producer)| (producer.epoch, producer.start))
            .max_by_key(|known| known.0);
        let (known, last) = known.unzip();
        let start = start.behind(last);
        let epoch = match known {
            // It was let in, and nobody heard the answer.
            Some(known) if last == Some(start) && before.is_none() => known,
            known => known.max(before).unwrap_or(0).saturating_add(1),
        };
        let mut applied = Vec::with_capacity(usize::from(logs));
        let mut compared = Vec::with_capacity(usize::from(logs));
        for log in 0..logs {
            let mut producer = self.producers.get(&(node, log)).copied().unwrap_or_default();
            producer.epoch = epoch;
            producer.start = start;
            applied.push(producer.applied);
            compared.push(producer.compared.number);
            self.put_producer(node, log, producer, rows)?;
        }
        Ok(Reply::Entered {
            epoch,
            applied,
            compared,
            number: start.number,
        })
    }

    fn put_producer(
        &mut self,
        node: u64,
        log: u8,
        producer: Producer,
        rows: &mut Rows,
    ) -> Result<(), MachineError> {
        rows.push((keys::producer(node, log), Some(json(&producer)?)));
        self.heard.insert((node, log), Instant::now());
        self.producers.insert((node, log), producer);
        Ok(())
    }
}

/// Takes the rows that a cluster answers from; the rest is the node's own housekeeping.
struct Tree<'r>(&'r mut Rows, &'r mut Marks);

impl Sink for Tree<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if key.first() == Some(&b't') {
            self.1.clear(&key, self.0);
            self.0.push((key, Some(value)));
        }
    }

    fn delete(&mut self, key: Vec<u8>) {
        if key.first() == Some(&b't') {
            self.1.clear(&key, self.0);
            self.0.push((key, None));
        }
    }

    fn blob_linked(&mut self, _blob: BlobId, _directory: DirId, _name: &str) {}

    fn blob_released(&mut self, _blob: BlobId, _directory: DirId, _name: &str) {}
}

/// Hands each row of a kind to `with`.
fn for_each(
    view: &TreeView,
    kind: u8,
    mut with: impl FnMut(&[u8], &[u8]) -> Result<(), MachineError>,
) -> Result<(), MachineError> {
    use filegrid_tree::View as _;
    let (from, to) = tree_keys::all(kind);
    let mut done = Ok(());
    view.scan(&from, &to, &mut |key, value| {
        done = with(key, value);
        if done.is_ok() {
            std::ops::ControlFlow::Continue(())
        } else {
            std::ops::ControlFlow::Break(())
        }
    })
    .map_err(|error| MachineError::Disk(error.to_string()))?;
    done
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, MachineError> {
    serde_json::to_vec(value).map_err(|error| damaged("a row", &error))
}

fn damaged(what: &str, error: &dyn std::fmt::Display) -> MachineError {
    MachineError::Damaged(format!("{what} cannot be read: {error}"))
}
