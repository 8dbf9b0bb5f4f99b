//! A snapshot that is being taken from another member.

use std::sync::Arc;

use super::directory;
use super::keys::MARK;
use super::live::Live;
use super::machine::Shared;
use crate::machine::{Chunk, MachineError, MachineInstall};

/// Rows gathered in a directory beside the live one. Dropped unfinished, the directory goes.
pub(super) struct StoreInstall {
    shared: Arc<Shared>,
    fresh: Arc<Live>,
    last: Vec<u8>,
    finished: bool,
}

impl StoreInstall {
    pub(super) fn begin(shared: Arc<Shared>) -> Result<Self, MachineError> {
        let fresh = Live::open(&directory::fresh(&shared.home)?)?;
        Ok(Self {
            shared,
            fresh,
            last: Vec::new(),
            finished: false,
        })
    }
}

impl MachineInstall for StoreInstall {
    fn put(&mut self, chunk: Chunk) -> Result<(), MachineError> {
        for (key, _) in &chunk {
            if *key <= self.last || key == MARK {
                return Err(MachineError::Damaged(
                    "rows of a snapshot are out of order".to_owned(),
                ));
            }
            self.last.clone_from(key);
        }
        let rows = chunk.into_iter().map(|(key, value)| (key, Some(value)));
        self.fresh.write(rows.collect())
    }

    fn finish(mut self: Box<Self>, mark: &[u8]) -> Result<(), MachineError> {
        self.fresh.write(vec![(MARK.to_vec(), Some(mark.to_vec()))])?;
        self.fresh.persist()?;
        directory::sync(&self.shared.home)?;
        self.shared.replace(&self.fresh)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for StoreInstall {
    fn drop(&mut self) {
        if !self.finished {
            self.fresh.retire();
        }
    }
}
