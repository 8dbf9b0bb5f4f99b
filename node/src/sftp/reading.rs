//! A file that is open for reading.

use filegrid_tree::TreePath;

use super::attributes::Told;
use crate::error::Error;
use crate::metrics::{self, Via};
use crate::read::Ahead;
use crate::store::Opened;

/// A file as it was when it was opened.
pub(super) struct Reading {
    pub(super) path: TreePath,
    opened: Opened,
    ahead: Ahead,
    via: Via,
    /// Bytes that were read.
    pub(super) read: u64,
}

impl Reading {
    pub(super) fn new(path: TreePath, opened: Opened, via: Via) -> Self {
        Self {
            path,
            opened,
            ahead: Ahead::default(),
            via,
            read: 0,
        }
    }

    pub(super) fn told(&self) -> Told {
        Told::of_file(&self.opened.row)
    }

    /// How many bytes there are from `at` on, at most `most`.
    pub(super) fn rest(&self, at: u64, most: usize) -> usize {
        let rest = self.opened.row.size.saturating_sub(at);
        usize::try_from(rest).unwrap_or(usize::MAX).min(most)
    }

    /// Fills `out` from `at` on; fewer bytes only at the end.
    pub(super) async fn fill(&mut self, at: u64, out: &mut [u8]) -> Result<usize, Error> {
        let filled = self.ahead.fill(&self.opened.content, at, out).await?;
        self.read += filled as u64;
        metrics::mine().via(self.via).sent.add(filled as u64);
        Ok(filled)
    }
}
