//! Rows in memory, which forget like a disk does: for simulations and tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filegrid_tree::{View, ViewError, Visit};
use futures::future::{BoxFuture, ready};

use super::{RowBatch, Rows, RowsError};

/// Keys and values are shared by all snapshots.
pub type Map = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

/// A row store that can be cut off from its power.
#[derive(Clone, Default)]
pub struct ModelRows(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// What every snapshot sees.
    now: Arc<Map>,
    /// What certainly survives.
    durable: Arc<Map>,
    /// Batches since then, oldest first.
    since: Vec<RowBatch>,
}

impl ModelRows {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store as found after a power cut: what was persisted, and of the later batches a prefix, whose
    /// length `keep` chooses given how many there are.
    #[must_use]
    pub fn power_cut(&self, keep: impl FnOnce(usize) -> usize) -> Self {
        let inner = self.inner();
        let mut map = Map::clone(&inner.durable);
        let kept = keep(inner.since.len());
        for batch in inner.since.iter().take(kept) {
            change(&mut map, batch);
        }
        let map = Arc::new(map);
        Self(Arc::new(Mutex::new(Inner {
            now: Arc::clone(&map),
            durable: map,
            since: Vec::new(),
        })))
    }

    /// Every row, for comparing two stores.
    #[must_use]
    pub fn dump(&self) -> Arc<Map> {
        Arc::clone(&self.inner().now)
    }
}

impl Rows for ModelRows {
    fn snapshot(&self) -> Box<dyn View + Send> {
        Box::new(ModelView(Arc::clone(&self.inner().now)))
    }

    fn write(&self, batch: RowBatch) -> Result<(), RowsError> {
        let mut inner = self.inner();
        change(Arc::make_mut(&mut inner.now), &batch);
        inner.since.push(batch);
        Ok(())
    }

    fn persist(&self) -> BoxFuture<'static, Result<(), RowsError>> {
        let mut inner = self.inner();
        inner.durable = Arc::clone(&inner.now);
        inner.since.clear();
        Box::pin(ready(Ok(())))
    }
}

fn change(map: &mut Map, batch: &RowBatch) {
    for (key, value) in &batch.entries {
        match value {
            Some(value) => map.insert(key.as_slice().into(), value.as_slice().into()),
            None => map.remove(key.as_slice()),
        };
    }
}

struct ModelView(Arc<Map>);

impl View for ModelView {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        Ok(self.0.get(key).map(|value| with(value)).is_some())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        if from < to {
            for (key, value) in self
                .0
                .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
            {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}
