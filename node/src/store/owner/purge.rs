//! Takes away, in bounded steps, what hung below deleted directories.

use std::rc::Rc;

use filegrid_tree::{Change, Protocol, purge_step};
use futures::channel::oneshot;

use super::{Owner, Queued, Receipt};
use crate::clock;
use crate::limits;
use crate::store::StoreError;
use crate::store::log::{NewRecord, RecordKind, Space};
use crate::store::record;

impl Owner {
    /// Does one step, if there is anything to purge. Each step is a change of the log like any other, so it
    /// survives a crash, and the next one goes on where it stopped.
    ///
    /// # Errors
    ///
    /// If the tree cannot be read or the log does not take the change.
    pub async fn purge(self: &Rc<Self>) -> Result<bool, StoreError> {
        if !self.detached.get() {
            return Ok(false);
        }
        let mine = |association: &[u8; 16]| crate::store::log_of(association, self.logs) == self.number;
        let step = purge_step(self.rows.snapshot().as_ref(), limits::PURGE_STEP_ENTRIES, &mine)?;
        let Some((association, op)) = step else {
            self.detached.set(false);
            return Ok(false);
        };
        let change = Change {
            association,
            time: clock::now_ms(),
            protocol: Protocol::Api,
            ops: vec![op],
        };
        let applied = self.when_ready(|| self.record(&change)).await?;
        applied.await.map_err(|_| StoreError::Fenced)??;
        Ok(true)
    }

    /// Appends a change that needs no resolving.
    fn record(&self, change: &Change) -> Result<oneshot::Receiver<Result<Receipt, StoreError>>, StoreError> {
        self.writable(Space::Cure)?;
        let sequence = self.sequence.get() + 1;
        let payload = record::encode(change, &[]);
        let parts: [&[u8]; 1] = [&payload];
        let record = NewRecord {
            kind: RecordKind::Change,
            sequence,
            parts: &parts,
        };
        let appended = self.log.append(&[record], Space::Cure)?;
        self.sequence.set(sequence);
        self.overlay.borrow_mut().push(sequence, change);
        let (answer, receiver) = oneshot::channel();
        let queued = Queued::Change {
            change: change.clone(),
            places: Vec::new(),
            staged: Vec::new(),
            sequence,
            payload,
            answer,
        };
        self.queue.borrow_mut().push_back((appended.batch, queued));
        Ok(receiver)
    }
}
