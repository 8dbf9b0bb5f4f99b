//! An open directory of rows, and views of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use filegrid_tree::{View, ViewError, Visit};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _, Snapshot};

use crate::limits::{STORE_CACHE_BYTES, STORE_MEMTABLE_BYTES};
use crate::machine::MachineError;

/// Rows that change together: key, and the new value or `None` to remove. Later ones win.
pub(super) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// An open directory of rows.
pub(super) struct Live {
    // Dropped in this order: the directory goes last.
    keyspace: Keyspace,
    database: Database,
    directory: Directory,
}

struct Directory {
    path: PathBuf,
    obsolete: AtomicBool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            // The next start removes it.
            tracing::info!(path = %self.path.display(), %error, "rows of an old snapshot are left behind");
        }
    }
}

impl Live {
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, MachineError> {
        // The journal is handed to the system only when its buffer is full or at `persist`: what a crash takes from
        // it is applied again from the Raft log.
        let database = Database::builder(path)
            .manual_journal_persist(true)
            .cache_size(STORE_CACHE_BYTES)
            .worker_threads(1)
            .open()
            .map_err(broken)?;
        let keyspace = database
            .keyspace("rows", || {
                KeyspaceCreateOptions::default()
                    .manual_journal_persist(true)
                    .max_memtable_size(STORE_MEMTABLE_BYTES)
            })
            .map_err(broken)?;
        Ok(Arc::new(Self {
            keyspace,
            database,
            directory: Directory {
                path: path.to_owned(),
                obsolete: AtomicBool::new(false),
            },
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Has the directory removed once nobody reads it any more.
    pub(super) fn retire(&self) {
        self.directory.obsolete.store(true, Ordering::Release);
    }

    pub(super) fn write(&self, rows: Rows) -> Result<(), MachineError> {
        let mut batch = self.database.batch();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(broken)
    }

    pub(super) fn persist(&self) -> Result<(), MachineError> {
        self.database.persist(PersistMode::SyncAll).map_err(broken)
    }

    pub(super) fn view(self: &Arc<Self>) -> TreeView {
        TreeView {
            snapshot: self.database.snapshot(),
            live: Arc::clone(self),
        }
    }
}

/// The rows as they are at one moment.
pub struct TreeView {
    snapshot: Snapshot,
    live: Arc<Live>,
}

impl View for TreeView {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        let value = self.snapshot.get(&self.live.keyspace, key);
        match value.map_err(|error| ViewError(error.to_string()))? {
            Some(value) => {
                with(&value);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        for row in self.snapshot.range(&self.live.keyspace, from..to) {
            let (key, value) = row.into_inner().map_err(|error| ViewError(error.to_string()))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn broken(error: fjall::Error) -> MachineError {
    MachineError::Disk(error.to_string())
}
