//! The store of a member, on a disk that loses what was not made durable.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::machine::{Chunk, Machine, MachineError, MachineInstall, MachineSnapshot};
use crate::nodes::Nodes;
use crate::raft::Member;
use crate::raft::tests::hosts::SimMachine;
use crate::store::Store;
use crate::wire::Service;

/// All rows, and the mark that belongs to them.
#[derive(Clone, Default)]
struct Rows {
    rows: Chunk,
    mark: Option<Vec<u8>>,
}

impl Rows {
    fn of(store: &Store) -> Result<Self, MachineError> {
        let mut snapshot = store.snapshot()?;
        let mark = snapshot.mark().map(<[u8]>::to_vec);
        let mut rows = Chunk::new();
        while let Some(more) = snapshot.next(usize::MAX)? {
            rows.extend(more);
        }
        Ok(Self { rows, mark })
    }
}

/// Clones share the store.
#[derive(Clone)]
pub(super) struct SimStore {
    store: Arc<Store>,
    durable: Arc<Mutex<Rows>>,
    _home: Arc<TempDir>,
}

impl SimStore {
    pub(super) fn new() -> Self {
        Self::with(Rows::default())
    }

    fn with(rows: Rows) -> Self {
        // What survives is decided here, so a directory in memory will do.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let home = home.unwrap();
        let store = Store::open(home.path()).unwrap();
        if let Some(mark) = &rows.mark {
            let mut install = store.install().unwrap();
            install.put(rows.rows.clone()).unwrap();
            install.finish(mark).unwrap();
        }
        Self {
            store: Arc::new(store),
            durable: Arc::new(Mutex::new(rows)),
            _home: Arc::new(home),
        }
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn keep(&self) -> Result<(), MachineError> {
        let rows = Rows::of(&self.store)?;
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }
}

impl SimMachine for SimStore {
    fn machine(&self) -> Arc<dyn Machine> {
        Arc::new(self.clone())
    }

    fn application(&self, member: &Member) -> Arc<dyn Service> {
        Arc::new(Nodes::new(member.clone(), Arc::clone(&self.store)))
    }

    fn after_power_cut(&self, more: bool) -> Self {
        Self::with(if more {
            Rows::of(&self.store).unwrap()
        } else {
            self.durable
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }
}

impl Machine for SimStore {
    fn applied(&self) -> Result<Option<Vec<u8>>, MachineError> {
        self.store.applied()
    }

    fn apply(&self, entries: Vec<Option<Vec<u8>>>, mark: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        self.store.apply(entries, mark)
    }

    fn persist(&self) -> Result<(), MachineError> {
        self.keep()
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, MachineError> {
        self.store.snapshot()
    }

    fn install(&self) -> Result<Box<dyn MachineInstall>, MachineError> {
        Ok(Box::new(Install {
            taken: self.store.install()?,
            store: self.clone(),
        }))
    }
}

struct Install {
    taken: Box<dyn MachineInstall>,
    store: SimStore,
}

impl MachineInstall for Install {
    fn put(&mut self, chunk: Chunk) -> Result<(), MachineError> {
        self.taken.put(chunk)
    }

    fn finish(self: Box<Self>, mark: &[u8]) -> Result<(), MachineError> {
        self.taken.finish(mark)?;
        self.store.keep()
    }
}
