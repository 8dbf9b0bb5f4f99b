//! The key-value store below the local tree.
//!
//! Rows of the tree, back-references, live counts and applied positions share one keyspace and are changed
//! in one batch, so they always agree with each other. Nothing here is synced on the way: the shard log
//! is the write-ahead log, and [`Rows::persist`] is called before a segment of it is given up.

mod fjall;
mod model;

pub use self::fjall::FjallRows;
pub use self::model::{Map, ModelRows};

use filegrid_tree::View;
use futures::future::BoxFuture;

/// A failure of the row store. It is not retried: the owner fences its log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("local tree: {0}")]
pub struct RowsError(pub String);

/// Changes that become visible together.
#[derive(Debug, Default)]
pub struct RowBatch {
    /// Key, and the new value or `None` to delete; later entries win.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl RowBatch {
    /// Sets a row.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.entries.push((key, Some(value)));
    }

    /// Removes a row; one that is not there is fine.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.entries.push((key, None));
    }
}

/// An ordered key-value store shared by all shards.
pub trait Rows: Send + Sync {
    /// A consistent view of all batches that have been written so far.
    fn snapshot(&self) -> Box<dyn View + Send>;

    /// Applies a batch: visible to every later snapshot, whole or not at all, also after a crash.
    ///
    /// # Errors
    ///
    /// After an error the state is unknown and the process must stop.
    fn write(&self, batch: RowBatch) -> Result<(), RowsError>;

    /// Makes everything written so far survive a power cut. The shard is not held up meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`Rows::write`].
    fn persist(&self) -> BoxFuture<'static, Result<(), RowsError>>;
}
