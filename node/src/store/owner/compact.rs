//! Compaction: copies what is still live in a sparse segment to the head of the log.

use std::rc::Rc;

use filegrid_tree::{BlobId, Id};
use futures::channel::oneshot;

use super::apply::read_row;
use super::{Owner, Queued};
use crate::limits;
use crate::store::StoreError;
use crate::store::blob_row::Whereabouts;
use crate::store::log::{NewRecord, Place, RecordKind, SegmentInfo, Space};

/// A blob and the payload of its record.
type Copied = (BlobId, Vec<u8>);

impl Owner {
    /// Copies the live blobs of a segment, some at a time, so that it takes little memory and changes of clients come
    /// in between. When it returns, the tree points at the copies.
    ///
    /// # Errors
    ///
    /// If the log has no room even in its reserve, or is fenced. A damaged segment is reported and left as it is.
    pub(super) async fn compact(self: &Rc<Self>, segment: &SegmentInfo) -> Result<(), StoreError> {
        let moved = match self.copy(segment).await {
            Ok(moved) => moved,
            Err(StoreError::Damaged(place)) => {
                tracing::error!(log = self.number, place, "a segment of the log is damaged");
                self.compacted.borrow_mut().insert(segment.generation);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.compacted.borrow_mut().insert(segment.generation);
        let left = self.live.borrow().get(&segment.segment).copied().unwrap_or(0);
        if left > 0 {
            tracing::error!(
                log = self.number,
                segment = segment.segment,
                bytes = left,
                "a segment of the log holds files that cannot be found in it"
            );
        }
        tracing::info!(
            log = self.number,
            segment = segment.segment,
            bytes = moved,
            "compacted a segment"
        );
        Ok(())
    }

    async fn copy(self: &Rc<Self>, segment: &SegmentInfo) -> Result<u64, StoreError> {
        let (mut blobs, mut gathered, mut moved) = (Vec::new(), 0, 0);
        let Some(mut reader) = self.log.read_segment(segment) else {
            return Ok(0);
        };
        while let Some(records) = reader.next().await? {
            for (place, payload) in records.blobs() {
                let Some((id, _)) = payload.split_first_chunk::<16>() else {
                    continue;
                };
                if self.is_at(Id(*id), place)? {
                    gathered += payload.len();
                    blobs.push((Id(*id), payload.to_vec()));
                }
                if gathered >= limits::BATCH_TARGET_BYTES / 2 {
                    moved += self.relocate(std::mem::take(&mut blobs)).await?;
                    gathered = 0;
                }
            }
        }
        Ok(moved + self.relocate(blobs).await?)
    }

    fn is_at(&self, blob: BlobId, place: Place) -> Result<bool, StoreError> {
        let row = read_row(self.rows.snapshot().as_ref(), blob)?;
        Ok(row.is_some_and(|row| row.place == Whereabouts::Inline(place)))
    }

    /// Writes copies, and waits until the tree points at them.
    async fn relocate(&self, blobs: Vec<Copied>) -> Result<u64, StoreError> {
        if blobs.is_empty() {
            return Ok(0);
        }
        let parts: Vec<[&[u8]; 1]> = blobs.iter().map(|(_, payload)| [payload.as_slice()]).collect();
        let records: Vec<_> = parts
            .iter()
            .map(|parts| NewRecord {
                kind: RecordKind::MovedBlob,
                sequence: 0,
                parts,
            })
            .collect();
        let append = || {
            self.writable(Space::Cure)?;
            Ok(self.log.append(&records, Space::Cure)?)
        };
        let appended = self.when_ready(append).await?;
        let bytes = blobs.iter().map(|(_, payload)| payload.len() as u64).sum();
        let places: Vec<(BlobId, Place)> = blobs.iter().map(|(blob, _)| *blob).zip(appended.places).collect();
        let (done, applied) = oneshot::channel();
        self.queue
            .borrow_mut()
            .push_back((appended.batch, Queued::Moved { blobs: places, done }));
        applied.await.map_err(|_| StoreError::Fenced)?;
        Ok(bytes)
    }
}
