//! Rows on their way to another member.

use std::ops::ControlFlow;

use filegrid_tree::View as _;

use super::keys::MARK;
use super::live::TreeView;
use crate::machine::{Chunk, MachineError, MachineSnapshot};

/// A view that is sent from the smallest key to the largest.
pub(super) struct StoreSnapshot {
    view: TreeView,
    mark: Option<Vec<u8>>,
    /// Where the next chunk begins.
    from: Vec<u8>,
}

impl StoreSnapshot {
    pub(super) fn new(view: TreeView) -> Result<Self, MachineError> {
        let mark = read(&view, MARK)?;
        let from = Vec::new();
        Ok(Self { view, mark, from })
    }
}

impl MachineSnapshot for StoreSnapshot {
    fn mark(&self) -> Option<&[u8]> {
        self.mark.as_deref()
    }

    fn next(&mut self, max_bytes: usize) -> Result<Option<Chunk>, MachineError> {
        let mut chunk = Chunk::new();
        let mut bytes = 0;
        // No key begins with 0xff.
        let scanned = self.view.scan(&self.from, &[0xff], &mut |key, value| {
            if key == MARK {
                return ControlFlow::Continue(());
            }
            bytes += key.len() + value.len();
            if bytes > max_bytes && !chunk.is_empty() {
                return ControlFlow::Break(());
            }
            chunk.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| MachineError::Disk(error.to_string()))?;
        if let Some((last, _)) = chunk.last() {
            self.from.clone_from(last);
            self.from.push(0);
        }
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

/// The value of a key.
pub(super) fn read(view: &TreeView, key: &[u8]) -> Result<Option<Vec<u8>>, MachineError> {
    let mut value = None;
    view.get(key, &mut |bytes| value = Some(bytes.to_vec()))
        .map_err(|error| MachineError::Disk(error.to_string()))?;
    Ok(value)
}
