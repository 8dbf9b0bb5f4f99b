//! From a durable change to rows.

use std::collections::HashMap;

use filegrid_tree::{BlobId, Change, DirId, RowRef, Sink, View, apply, keys};
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::blob_row::{self, BlobRow, Whereabouts};
use crate::store::log::{Place, Position};
use crate::store::partial::{self, Partial, PartialChange};
use crate::store::partials::Partials;
use crate::store::rows::RowBatch;

/// Bytes that a record with this payload takes in a segment.
fn footprint(place: &Place) -> u64 {
    (u64::from(place.length) + 32).next_multiple_of(8)
}

/// Key of the count of live bytes of a segment: `s`, log, segment (4 bytes, big endian).
#[must_use]
pub(super) fn live_key(log: u8, segment: u32) -> Vec<u8> {
    let mut key = vec![b's', log];
    key.extend_from_slice(&segment.to_be_bytes());
    key
}

/// Key of how far the tree has a log: `a`, log. The value is JSON.
#[must_use]
pub(super) fn position_key(log: u8) -> Vec<u8> {
    vec![b'a', log]
}

/// How far the tree has a log: the value of its [`position_key`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Noted {
    /// Up to where.
    #[serde(flatten)]
    pub position: Position,
    /// Highest version that was given to a file: the next one is higher, whatever the clock says by then.
    pub version: u64,
    /// Sequence that who follows has acknowledged; `None` if nobody ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<u64>,
}

/// What comes of the changes of a batch.
pub(super) struct Applied {
    /// The rows, with how far they bring the tree.
    pub rows: RowBatch,
    /// Large blobs that nothing refers to any more.
    pub dead: Vec<BlobId>,
    /// Whether a segment has lost live bytes.
    pub released: bool,
}

/// Live bytes a segment.
pub(super) type Live = HashMap<u32, u64>;

/// Gathers the rows of the changes of one batch.
pub(super) struct Applier<'a> {
    log: u8,
    view: &'a dyn View,
    live: &'a mut Live,
    partials: &'a mut Partials,
    /// Where blobs are that the changes of this batch bring along. No row knows them yet.
    places: &'a dyn Fn(BlobId) -> Option<Place>,
    out: RowBatch,
    /// Blob rows that this batch has changed: the view does not show them yet.
    blobs: HashMap<BlobId, Option<BlobRow>>,
    touched: Vec<u32>,
    dead: Vec<BlobId>,
    released: bool,
    failed: Option<StoreError>,
    association: [u8; 16],
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        log: u8,
        view: &'a dyn View,
        live: &'a mut Live,
        partials: &'a mut Partials,
        places: &'a dyn Fn(BlobId) -> Option<Place>,
    ) -> Self {
        Self {
            log,
            view,
            live,
            partials,
            places,
            out: RowBatch::default(),
            blobs: HashMap::new(),
            touched: Vec::new(),
            dead: Vec::new(),
            released: false,
            failed: None,
            association: [0; 16],
        }
    }

    /// Adds a change.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        self.association = change.association;
        apply(change, self)?;
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Adds a relocation by compaction: takes effect only if there is still a row that refers to the blob.
    pub(super) fn moved(&mut self, blob: BlobId, to: Place) -> Result<(), StoreError> {
        let Some(mut row) = self.row(blob)? else {
            return Ok(());
        };
        if let Whereabouts::Inline(from) = row.place {
            self.count(&from, false);
            self.count(&to, true);
            row.place = Whereabouts::Inline(to);
            self.blobs.insert(blob, Some(row));
        }
        Ok(())
    }

    /// Adds what happens to a partial.
    pub(super) fn partial(&mut self, change: &PartialChange) -> Result<(), StoreError> {
        match change {
            PartialChange::Kept(key, partial) => self.keep(key, partial),
            PartialChange::Ended(key) => self.end_partial(key),
        }
    }

    fn keep(&mut self, key: &[u8], partial: &Partial) -> Result<(), StoreError> {
        // Linked first: a blob that it shares with the one before is never without a reference.
        for blob in partial.blobs() {
            self.link(blob, partial.id, "")?;
        }
        self.end_partial(key)?;
        self.out.put(key.to_vec(), partial.encode());
        self.partials.insert(key.to_vec(), partial);
        Ok(())
    }

    fn end_partial(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let Some(known) = self.partials.remove(key) else {
            return Ok(());
        };
        self.out.delete(key.to_vec());
        for blob in known.blobs {
            self.release(blob, known.id, "")?;
        }
        Ok(())
    }

    /// A row of the tree is set or removed: partials whose file is another by now, or whose directory is gone, end.
    fn overtake(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let Some((directory, name)) = keys::split(key) else {
            return Ok(());
        };
        let ended = match key.first() {
            Some(b't') => {
                let row = value.map(RowRef::new).transpose()?;
                let version = row.and_then(|row| row.version());
                let mut of_name = self.partials.of_name(directory, name);
                of_name.retain(|(_, base)| base.is_none() || *base != version);
                of_name
            }
            Some(b'q') => self.partials.below(&partial::entries(directory)),
            _ => Vec::new(),
        };
        ended.iter().try_for_each(|(key, _)| self.end_partial(key))
    }

    /// What has come of the changes.
    pub(super) fn finish(mut self, noted: &Noted) -> Result<Applied, StoreError> {
        for (blob, row) in std::mem::take(&mut self.blobs) {
            match row {
                Some(row) => self.out.put(blob_row::key(blob), row.encode()),
                None => self.out.delete(blob_row::key(blob)),
            }
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        for segment in std::mem::take(&mut self.touched) {
            let key = live_key(self.log, segment);
            match self.live.get(&segment) {
                Some(bytes) if *bytes > 0 => self.out.put(key, bytes.to_be_bytes().to_vec()),
                _ => self.out.delete(key),
            }
        }
        note(self.log, noted, &mut self.out)?;
        Ok(Applied {
            rows: self.out,
            dead: self.dead,
            released: self.released,
        })
    }

    fn row(&self, blob: BlobId) -> Result<Option<BlobRow>, StoreError> {
        if let Some(row) = self.blobs.get(&blob) {
            return Ok(row.clone());
        }
        read_row(self.view, blob)
    }

    fn count(&mut self, place: &Place, add: bool) {
        let bytes = self.live.entry(place.segment).or_insert(0);
        *bytes = if add {
            *bytes + footprint(place)
        } else {
            self.released = true;
            bytes.saturating_sub(footprint(place))
        };
        self.touched.push(place.segment);
    }

    fn link(&mut self, blob: BlobId, directory: DirId, name: &str) -> Result<(), StoreError> {
        let reference = (directory, name.to_owned());
        // A blob that has just been written has no row, so the tree is not asked.
        if let Some(place) = (self.places)(blob)
            && !self.blobs.contains_key(&blob)
        {
            self.count(&place, true);
            let row = BlobRow {
                place: Whereabouts::Inline(place),
                references: vec![reference],
            };
            self.blobs.insert(blob, Some(row));
            return Ok(());
        }
        let mut row = match self.row(blob)? {
            Some(row) => row,
            None => {
                let place = (self.places)(blob).map_or(Whereabouts::File, Whereabouts::Inline);
                if let Whereabouts::Inline(place) = place {
                    self.count(&place, true);
                }
                BlobRow {
                    place,
                    references: Vec::new(),
                }
            }
        };
        row.references.push(reference);
        self.blobs.insert(blob, Some(row));
        Ok(())
    }

    fn release(&mut self, blob: BlobId, directory: DirId, name: &str) -> Result<(), StoreError> {
        let Some(mut row) = self.row(blob)? else {
            return Err(StoreError::Damaged(format!(
                "blob {blob} is released but has no row"
            )));
        };
        row.references
            .retain(|(held, as_name)| !(*held == directory && as_name == name));
        if !row.references.is_empty() {
            self.blobs.insert(blob, Some(row));
            return Ok(());
        }
        match row.place {
            Whereabouts::Inline(place) => self.count(&place, false),
            Whereabouts::File => self.dead.push(blob),
        }
        self.blobs.insert(blob, None);
        Ok(())
    }

    fn note(&mut self, result: Result<(), StoreError>) {
        if let (Err(error), None) = (result, &self.failed) {
            self.failed = Some(error);
        }
    }
}

impl Sink for Applier<'_> {
    fn put(&mut self, key: Vec<u8>, mut value: Vec<u8>) {
        if !self.partials.is_empty() {
            let result = self.overtake(&key, Some(&value));
            self.note(result);
        }
        // Rows that wait for their SHA-256 carry the association, so that the sum finds its owner.
        if key.first() == Some(&b'x') {
            value.extend_from_slice(&self.association);
        }
        self.out.put(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        if !self.partials.is_empty() {
            let result = self.overtake(&key, None);
            self.note(result);
        }
        self.out.delete(key);
    }

    fn blob_linked(&mut self, blob: BlobId, directory: DirId, name: &str) {
        let result = self.link(blob, directory, name);
        self.note(result);
    }

    fn blob_released(&mut self, blob: BlobId, directory: DirId, name: &str) {
        let result = self.release(blob, directory, name);
        self.note(result);
    }
}

/// Notes how far the tree has a log.
pub(super) fn note(log: u8, noted: &Noted, rows: &mut RowBatch) -> Result<(), StoreError> {
    let value = serde_json::to_vec(noted).map_err(|error| StoreError::Bug(error.to_string()))?;
    rows.put(position_key(log), value);
    Ok(())
}

/// The row of a blob.
pub(crate) fn read_row(view: &dyn View, blob: BlobId) -> Result<Option<BlobRow>, StoreError> {
    let mut row = None;
    let found = view
        .get(&blob_row::key(blob), &mut |bytes| row = BlobRow::decode(bytes))
        .map_err(|error| StoreError::Disk(error.to_string()))?;
    if found && row.is_none() {
        return Err(StoreError::Damaged(format!(
            "the row of blob {blob} cannot be read"
        )));
    }
    Ok(row)
}
