//! Gives back what nothing refers to: files of large blobs, and segments without live bytes.

use std::path::PathBuf;
use std::rc::Rc;

use filegrid_tree::BlobId;

use super::Owner;
use super::apply::{Noted, note};
use crate::store::StoreError;
use crate::store::blob::blob_path;
use crate::store::log::{SegmentInfo, Space};
use crate::store::pins::Pinned;
use crate::store::rows::{RowBatch, RowsError};

impl Owner {
    /// Removes the files of large blobs that are neither referred to nor pinned. A file that cannot be removed
    /// is left to the sweep of the next start.
    pub async fn remove_dead_blobs(self: &Rc<Self>) {
        let dead = std::mem::take(&mut *self.dead.borrow_mut());
        let (held, free): (Vec<_>, Vec<_>) = dead
            .into_iter()
            .partition(|blob| self.all_pins.pinned(Pinned::Blob(*blob)));
        self.dead.borrow_mut().extend(held);
        for blob in free {
            let path = self.blob_file(blob);
            if let Err(error) = self.disk.remove(&path).await
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove a blob; the next start will");
            }
        }
    }

    /// Gives back segments that hold nothing live, and empties one that holds little. Does nothing unless something has
    /// happened since the last time.
    ///
    /// # Errors
    ///
    /// If the tree cannot be persisted, which fences the log, or the log does not take the copies.
    pub async fn reclaim(self: &Rc<Self>) -> Result<(), StoreError> {
        self.writable(Space::Cure)?;
        if !self.look_again.replace(false) {
            return Ok(());
        }
        let (free, sparse) = self.look();
        if !free.is_empty() {
            self.release(&free).await?;
        }
        if let Some(segment) = sparse {
            // There may be more, and this one becomes free.
            self.look_again.set(true);
            self.compact(&segment).await?;
        }
        Ok(())
    }

    /// Full segments that are of no more use, and the one that compaction should empty: all of it applied, less than
    /// half live, least of all.
    fn look(&self) -> (Vec<SegmentInfo>, Option<SegmentInfo>) {
        let applied = self.applied.get().generation;
        let (live, compacted) = (self.live.borrow(), self.compacted.borrow());
        let mut free = Vec::new();
        let mut sparse: Option<(u64, SegmentInfo)> = None;
        self.log.each_sealed(&mut |segment| {
            let bytes = live.get(&segment.segment).copied().unwrap_or(0);
            let better =
                sparse.is_none_or(|(least, _)| bytes < least) && bytes < u64::from(segment.bytes) / 2;
            if segment.generation >= applied || !better && bytes > 0 {
                return;
            }
            if self.all_pins.pinned(self.pin_of(&segment)) {
                // Copying does not free it now. Whoever reads will be done some time.
                self.look_again.set(true);
            } else if !self.follow.has(self.log.last_sequence(&segment)) {
                // Who follows needs it. What is acknowledged later makes us look again.
            } else if bytes == 0 {
                free.push(segment);
            } else if !compacted.contains(&segment.generation) {
                sparse = Some((bytes, segment));
            }
        });
        (free, sparse.map(|(_, segment)| segment))
    }

    /// Lets segments be used again. The tree may need their records until it is persisted, and it has to know that the
    /// log goes on behind them.
    async fn release(&self, free: &[SegmentInfo]) -> Result<(), StoreError> {
        // What is given up must not be sought for who follows.
        if self.noted.get() != self.applied.get() || self.follow.shipped().is_some() {
            let noted = Noted {
                position: self.applied.get(),
                version: self.version.get(),
                shipped: self.follow.shipped(),
            };
            let mut rows = RowBatch::default();
            note(self.number, &noted, &mut rows)?;
            self.rows.write(rows).map_err(|error| self.fenced_by(error))?;
            self.noted.set(noted.position);
        }
        self.log.sync().await?;
        self.rows.persist().await.map_err(|error| self.fenced_by(error))?;
        for segment in free {
            self.compacted.borrow_mut().remove(&segment.generation);
            self.log.release(segment);
        }
        Ok(())
    }

    fn fenced_by(&self, error: RowsError) -> StoreError {
        let error = error.into();
        self.fence(&error);
        error
    }

    fn pin_of(&self, segment: &SegmentInfo) -> Pinned {
        Pinned::Segment {
            log: self.number,
            segment: segment.segment,
            generation: segment.generation,
        }
    }

    pub(crate) fn blob_file(&self, blob: BlobId) -> PathBuf {
        blob_path(&self.blobs_directory(), blob)
    }
}
