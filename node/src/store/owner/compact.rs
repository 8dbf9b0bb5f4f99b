//! Compaction: copies what is still live in a sparse segment to the head of the log.

use std::rc::Rc;

use filegrid_tree::{BlobId, Id};

use super::apply::read_row;
use super::{Owner, Queued};
use crate::limits;
use crate::store::StoreError;
use crate::store::blob_row::Whereabouts;
use crate::store::log::{NewRecord, Place, RecordKind, SegmentInfo, Space};

impl Owner {
    /// Copies the live blobs of a segment. The segment is freed by a later [`Owner::free_segments`], once the
    /// copies are durable and the tree points at them.
    ///
    /// # Errors
    ///
    /// If the segment is damaged, or the log has no room even in its reserve.
    pub async fn compact(self: &Rc<Self>, segment: &SegmentInfo) -> Result<u64, StoreError> {
        let mut blobs = Vec::new();
        let mut gathered = 0;
        let mut moved = 0;
        let Some(mut reader) = self.log.read_segment(segment) else {
            return Ok(0);
        };
        while let Some(records) = reader.next().await? {
            let view = self.rows.snapshot();
            for (place, payload) in records.blobs() {
                let Some((id, bytes)) = payload.split_first_chunk::<16>() else {
                    continue;
                };
                let blob = Id(*id);
                let live =
                    read_row(view.as_ref(), blob)?.is_some_and(|row| row.place == Whereabouts::Inline(place));
                if live {
                    gathered += bytes.len();
                    moved += bytes.len() as u64;
                    blobs.push((blob, payload.to_vec()));
                }
                if gathered >= limits::BATCH_TARGET_BYTES / 2 {
                    self.relocate(std::mem::take(&mut blobs))?;
                    gathered = 0;
                }
            }
        }
        self.relocate(blobs)?;
        Ok(moved)
    }

    fn relocate(&self, blobs: Vec<(BlobId, Vec<u8>)>) -> Result<(), StoreError> {
        if blobs.is_empty() {
            return Ok(());
        }
        self.writable(Space::Cure)?;
        let parts: Vec<[&[u8]; 1]> = blobs.iter().map(|(_, payload)| [payload.as_slice()]).collect();
        let records: Vec<_> = parts
            .iter()
            .map(|parts| NewRecord {
                kind: RecordKind::MovedBlob,
                sequence: 0,
                parts,
            })
            .collect();
        let appended = self.log.append(&records, Space::Cure)?;
        let places: Vec<(BlobId, Place)> = blobs.iter().map(|(blob, _)| *blob).zip(appended.places).collect();
        self.queue
            .borrow_mut()
            .push_back((appended.batch, Queued::Moved { blobs: places }));
        Ok(())
    }
}
