//! Rows on fjall, an LSM tree.

use std::path::Path;

use filegrid_tree::{View, ViewError, Visit};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::{RowBatch, Rows, RowsError};
use crate::limits;

/// The row store of a running node.
pub struct FjallRows {
    database: Database,
    keyspace: Keyspace,
}

impl FjallRows {
    /// Opens the store in a directory, making it when it is not there. Blocks.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used or its content is damaged.
    pub fn open(path: &Path) -> Result<Self, RowsError> {
        // The journal is handed to the system only when the buffer is full or at `persist`: what a crash
        // takes from it is replayed from the shard log.
        let database = Database::builder(path)
            .manual_journal_persist(true)
            .cache_size(limits::TREE_CACHE_BYTES)
            .worker_threads(1)
            .open()
            .map_err(broken)?;
        let keyspace = database
            .keyspace("tree", || {
                KeyspaceCreateOptions::default()
                    .manual_journal_persist(true)
                    .max_memtable_size(limits::TREE_MEMTABLE_BYTES)
            })
            .map_err(broken)?;
        Ok(Self { database, keyspace })
    }
}

impl Rows for FjallRows {
    fn snapshot(&self) -> Box<dyn View + Send> {
        Box::new(FjallView {
            snapshot: self.database.snapshot(),
            keyspace: self.keyspace.clone(),
        })
    }

    fn write(&self, batch: RowBatch) -> Result<(), RowsError> {
        let mut writes = self.database.batch();
        for (key, value) in batch.entries {
            match value {
                Some(value) => writes.insert(&self.keyspace, key, value),
                None => writes.remove(&self.keyspace, key),
            }
        }
        writes.commit().map_err(broken)
    }

    fn persist(&self) -> BoxFuture<'static, Result<(), RowsError>> {
        let (done, result) = oneshot::channel();
        let database = self.database.clone();
        // Rare enough for a thread of its own.
        let thread = std::thread::Builder::new()
            .name("tree-sync".into())
            .spawn(move || {
                // Nobody waits any more: synced all the same.
                let _ = done.send(database.persist(PersistMode::SyncAll).map_err(broken));
            });
        let gone = |error: &dyn std::fmt::Display| RowsError(format!("cannot be synced: {error}"));
        Box::pin(async move {
            thread.map_err(|error| gone(&error))?;
            result.await.map_err(|error| gone(&error))?
        })
    }
}

struct FjallView {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl View for FjallView {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        match self.snapshot.get(&self.keyspace, key).map_err(unreadable)? {
            Some(value) => {
                with(&value);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        for row in self.snapshot.range(&self.keyspace, from..to) {
            let (key, value) = row.into_inner().map_err(unreadable)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn broken(error: fjall::Error) -> RowsError {
    RowsError(error.to_string())
}

fn unreadable(error: fjall::Error) -> ViewError {
    ViewError(error.to_string())
}
