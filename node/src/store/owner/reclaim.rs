//! Gives back what nothing refers to: files of large blobs, and segments without live bytes.

use std::path::PathBuf;
use std::rc::Rc;

use filegrid_tree::BlobId;

use super::Owner;
use crate::store::StoreError;
use crate::store::blob::blob_path;
use crate::store::log::SegmentInfo;
use crate::store::pins::Pinned;

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

    /// Frees segments that hold nothing live, are applied, and that nobody reads. The tree is persisted first,
    /// since it may depend on their records.
    ///
    /// # Errors
    ///
    /// If the tree cannot be persisted: the node must stop.
    pub fn free_segments(&self) -> Result<usize, StoreError> {
        let free: Vec<_> = self
            .sealed()
            .into_iter()
            .filter(|segment| self.is_free(segment))
            .collect();
        if free.is_empty() {
            return Ok(0);
        }
        self.rows.persist()?;
        for segment in &free {
            self.log.release(segment);
        }
        Ok(free.len())
    }

    /// The next segment that compaction should empty: sealed, applied, the one with the least live bytes, below
    /// half of it.
    #[must_use]
    pub fn sparse_segment(&self) -> Option<SegmentInfo> {
        let live = self.live.borrow();
        let bytes = |segment: &SegmentInfo| live.get(&segment.segment).copied().unwrap_or(0);
        self.sealed()
            .into_iter()
            .filter(|segment| bytes(segment) > 0 && bytes(segment) < u64::from(segment.bytes) / 2)
            .min_by_key(bytes)
    }

    fn is_free(&self, segment: &SegmentInfo) -> bool {
        let used = Pinned::Segment {
            log: self.number,
            segment: segment.segment,
            generation: segment.generation,
        };
        self.live
            .borrow()
            .get(&segment.segment)
            .is_none_or(|bytes| *bytes == 0)
            && !self.all_pins.pinned(used)
    }

    /// Sealed segments whose every record is applied.
    fn sealed(&self) -> Vec<SegmentInfo> {
        let applied = self.applied.get().generation;
        self.log
            .sealed()
            .into_iter()
            .filter(|segment| segment.generation < applied)
            .collect()
    }

    pub(crate) fn blob_file(&self, blob: BlobId) -> PathBuf {
        blob_path(&self.blobs_directory(), blob)
    }
}
