//! A node between two starts: two logs, each with its owner on a shard of its own, on one disk and one set of rows.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::store::log::{Durability, LogOptions, Position};
use crate::store::rows::{ModelRows, Rows};
use crate::store::{
    AllPins, Opening, Owner, Shared, Spawn, Starts, State, Store, StoreError, log_directory, log_of,
};

/// Logs of the node, and shards.
pub(super) const LOGS: u8 = 2;

/// Small, so that segments are used again and again.
pub(super) const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 128 << 10,
    batch_bytes: 16 << 10,
    reserve_segments: 2,
    ready_segments: 4,
    in_flight: 2,
    durability: Durability::Commit,
};

pub(super) fn data() -> PathBuf {
    PathBuf::from("/data")
}

/// The first association that a log owns.
pub(super) fn association(log: u8) -> [u8; 16] {
    let mut all = (1..=u8::MAX).map(|byte| [byte; 16]);
    all.find(|association| log_of(association, LOGS) == log).unwrap()
}

pub(super) struct Life {
    pub(super) pool: LocalPool,
    /// One a shard.
    pub(super) stores: Vec<Store>,
    /// One a log; log `n` lives on shard `n`.
    pub(super) owners: Vec<Rc<Owner>>,
    pub(super) shared: Shared,
    pub(super) disk: Rc<dyn Disk>,
}

impl Life {
    pub(super) fn open(disk: &SimDisk, rows: &ModelRows) -> Result<Self, StoreError> {
        Self::open_with(disk, rows, OPTIONS)
    }

    /// Starts the node as `node.rs` does: nothing is written to a log before all of them are recovered.
    pub(super) fn open_with(
        disk: &SimDisk,
        rows: &ModelRows,
        options: LogOptions,
    ) -> Result<Self, StoreError> {
        let mut pool = LocalPool::new();
        let disk: Rc<dyn Disk> = Rc::new(disk.clone());
        let (mut senders, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..LOGS {
            let (sender, receiver) = mpsc::unbounded();
            senders.push(sender);
            requests.push(receiver);
        }
        let state = pool.run_until(next_state(&disk))?;
        let closed = state.closed.clone();
        let state = State {
            closed: None,
            ..state
        };
        let shared = Shared {
            starts: Arc::new(Starts::new(data(), state.clone())),
            state: state.clone(),
            chance: None,
            data: data(),
            rows: Arc::new(rows.clone()) as Arc<dyn Rows>,
            pins: AllPins::new(usize::from(LOGS)),
            owners: senders,
            shards: usize::from(LOGS),
            low_water_bytes: 0,
        };
        let (mut stores, mut owners) = (Vec::new(), Vec::new());
        for log in 0..LOGS {
            let opening = Opening {
                number: log,
                logs: LOGS,
                node: state.node,
                starts: state.starts,
                ids: shared.ids(log),
                directory: log_directory(&data(), log),
                options,
                closed: closed.as_ref().map(|closed| closed[usize::from(log)]),
                disk: Rc::clone(&disk),
                rows: Arc::clone(&shared.rows),
                pins: shared.pins.of(usize::from(log)),
                all_pins: shared.pins.clone(),
            };
            let store = Store::new(shared.clone(), log, Rc::clone(&disk));
            let owner = Rc::new(pool.run_until(Owner::open(opening))?);
            store.adopt(log, Rc::clone(&owner));
            stores.push(store);
            owners.push(owner);
        }
        pool.run_until(state.save(&disk, &data()))?;
        let mut life = Self {
            pool,
            stores,
            owners,
            shared,
            disk,
        };
        life.start(requests)?;
        Ok(life)
    }

    fn start(
        &mut self,
        requests: Vec<mpsc::UnboundedReceiver<crate::store::OwnerRequest>>,
    ) -> Result<(), StoreError> {
        let spawner = self.pool.spawner();
        for (owner, requests) in self.owners.iter().zip(requests) {
            let on = spawner.clone();
            let spawn: Spawn = Rc::new(move |task| on.spawn_local(task).unwrap());
            spawner.spawn_local(Rc::clone(owner).write()).unwrap();
            spawner.spawn_local(Rc::clone(owner).run()).unwrap();
            let serve = Store::serve(Rc::clone(owner), requests, spawn);
            spawner.spawn_local(serve).unwrap();
        }
        for log in 0..LOGS {
            let owner = Rc::clone(&self.owners[usize::from(log)]);
            self.pool.run_until(owner.ensure_root(association(log)))?;
        }
        Ok(())
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.pool.spawner().spawn_local(task).unwrap();
    }

    /// The store of the shard on which an association's owner lives.
    pub(super) fn store_of(&self, association: &[u8; 16]) -> &Store {
        &self.stores[usize::from(log_of(association, LOGS))]
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.owners.iter().any(|owner| owner.is_fenced())
    }

    /// Stops the node cleanly.
    pub(super) fn close(&mut self) -> Result<Vec<Position>, StoreError> {
        let mut closed = Vec::new();
        for owner in &self.owners {
            closed.push(self.pool.run_until(owner.close())?);
        }
        let noted = self.shared.starts.close(&self.disk, closed.clone());
        self.pool.run_until(noted)?;
        Ok(closed)
    }
}

async fn next_state(disk: &Rc<dyn Disk>) -> Result<State, StoreError> {
    make(disk, &data(), "/".into()).await?;
    let state = State::next(disk, &data(), LOGS, None).await?;
    for log in 0..LOGS {
        let directory = log_directory(&data(), log);
        make(disk, &directory, data()).await?;
        make(disk, &directory.join("blobs"), directory).await?;
    }
    Ok(state)
}

async fn make(disk: &Rc<dyn Disk>, path: &Path, above: PathBuf) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::disk("create", path, &error);
    disk.create_dir(path).await.map_err(failed)?;
    disk.sync_dir(&above).await.map_err(failed)
}
