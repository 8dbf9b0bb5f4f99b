//! The scrub: reads large blobs again and again, and takes those away that no longer match their checksums.
//!
//! Small blobs are verified whenever they are read. A large one is sent by the kernel, unseen, so what the disk has
//! changed in it is found here and by the pass that sums new files. A blob that is wrong goes to `damaged/`: reading it
//! fails from then on, also after a restart, and no wrong byte is served. It is kept for the operator.

use std::ops::ControlFlow;

use filegrid_tree::{BlobId, ROOTS, Row, TreeError, TreePath, list_dir, lookup, walk};

use super::rows::RowBatch;
use super::{Opened, Piece, Store, StoreError, blob, log_directory};
use crate::limits;
use crate::metrics;
use crate::ring::AlignedBuf;

/// What a step of the scrub came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// So many bytes were read; there is more.
    Bytes(u64),
    /// All files have been gone through.
    Round,
}

/// How far the scrub of a shard is. The position is kept in the tree's storage, so it outlives a restart.
#[derive(Default)]
pub struct Scrub {
    started: bool,
    /// The association and the path gone through last.
    at: Option<([u8; 16], TreePath)>,
    reading: Option<Reading>,
    unsaved_bytes: u64,
}

/// A file that is being read.
struct Reading {
    association: [u8; 16],
    file: Opened,
    extent: usize,
    /// Bytes of the extent, and of the file, that are behind.
    extent_at: u64,
    file_at: u64,
    sum: crc32fast::Hasher,
}

impl Reading {
    fn new(association: [u8; 16], file: Opened) -> Self {
        Self {
            association,
            file,
            extent: 0,
            extent_at: 0,
            file_at: 0,
            sum: crc32fast::Hasher::new(),
        }
    }
}

impl Store {
    /// Reads the next slice of the large files whose owner lives on this shard.
    ///
    /// # Errors
    ///
    /// If the tree or the disk cannot be read. The next step goes on behind the file.
    pub async fn scrub_step(&self, scrub: &mut Scrub) -> Result<Scrubbed, StoreError> {
        if !std::mem::replace(&mut scrub.started, true) {
            scrub.at = self.saved_position()?;
        }
        let Some(mut reading) = scrub.reading.take() else {
            return self.next_file(scrub);
        };
        let version = reading.file.row.version;
        let read = match self.read_on(&mut reading).await {
            // Known from an earlier round, or from a start before this one: once a start is enough.
            Err(StoreError::Damaged(_)) if self.is_unreadable(version) => 0,
            Err(StoreError::Damaged(place)) => {
                tracing::error!(place, "a file cannot be read");
                self.mark_unreadable(version);
                0
            }
            read => read?,
        };
        if read > 0 {
            scrub.unsaved_bytes += read;
            scrub.reading = Some(reading);
        }
        Ok(Scrubbed::Bytes(read))
    }

    /// Verifies the large blobs of one file.
    pub(super) async fn scrub_file(&self, association: [u8; 16], file: Opened) -> Result<(), StoreError> {
        let mut reading = Reading::new(association, file);
        while self.read_on(&mut reading).await? > 0 {}
        Ok(())
    }

    /// Finds the next file, looking at a bounded number of entries.
    fn next_file(&self, scrub: &mut Scrub) -> Result<Scrubbed, StoreError> {
        if scrub.unsaved_bytes >= limits::SCRUB_SAVE_BYTES {
            self.save_position(scrub.at.as_ref())?;
            scrub.unsaved_bytes = 0;
        }
        let (association, after) = match scrub.at.take() {
            Some((association, after)) => (association, Some(after)),
            None => match self.association_after(None)? {
                Some(first) => (first, None),
                None => return Ok(Scrubbed::Round),
            },
        };
        let view = self.view();
        let (mut looked_at, mut found, mut last) = (0, None, None);
        let root = TreePath::root();
        walk(
            view.as_ref(),
            association,
            &root,
            after.as_ref(),
            &mut |path, row| {
                looked_at += 1;
                let large = row.size() > limits::INLINE_MAX_BYTES as u64;
                if large {
                    found = Some(TreePath::found(path));
                }
                if large || looked_at >= limits::SCRUB_LOOK_MAX_COUNT {
                    last = Some(TreePath::found(path));
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            },
        )?;
        if let Some(path) = found {
            scrub.reading = match self.open(&association, &path) {
                Ok(Opened { row, content }) => {
                    let content = content.past_cache();
                    Some(Reading::new(association, Opened { row, content }))
                }
                Err(StoreError::Tree(TreeError::NotFound(_) | TreeError::IsDirectory(_))) => None,
                Err(error) => {
                    scrub.at = Some((association, path));
                    return Err(error);
                }
            };
        }
        scrub.at = match last {
            Some(path) => Some((association, path)),
            None => self
                .association_after(Some(&association))?
                .map(|next| (next, root)),
        };
        if scrub.at.is_none() {
            self.save_position(None)?;
            return Ok(Scrubbed::Round);
        }
        Ok(Scrubbed::Bytes(0))
    }

    /// Reads the next slice of a file; 0 at its end.
    async fn read_on(&self, reading: &mut Reading) -> Result<u64, StoreError> {
        let piece = reading
            .file
            .content
            .piece(reading.file_at, limits::SUM_SLICE_BYTES as u64)
            .await?;
        let (Some(piece), Some(extent)) = (piece, reading.file.row.extents.get(reading.extent)) else {
            return Ok(0);
        };
        let length = piece.length();
        let intact = match &piece {
            // Verified when it was read.
            Piece::Bytes { .. } => true,
            Piece::File { .. } => {
                let whole = read_large(&piece, &mut reading.sum).await?;
                let done = reading.extent_at + length >= extent.length;
                whole && (!done || std::mem::take(&mut reading.sum).finalize() == extent.crc32)
            }
        };
        if !intact {
            self.quarantine(&reading.association, extent.blob).await?;
            return Ok(0);
        }
        reading.file_at += length;
        reading.extent_at += length;
        if reading.extent_at >= extent.length {
            (reading.extent, reading.extent_at) = (reading.extent + 1, 0);
        }
        metrics::mine().scrubbed.add(length);
        Ok(length)
    }

    /// Takes a blob away that does not match its checksum.
    async fn quarantine(&self, association: &[u8; 16], blob: BlobId) -> Result<(), StoreError> {
        let directory = log_directory(&self.0.shared.data, self.log_of(association));
        let (from, damaged) = (
            blob::blob_path(&directory.join("blobs"), blob),
            directory.join("damaged"),
        );
        let to = damaged.join(blob.to_string());
        tracing::error!(
            %blob,
            moved_to = %to.display(),
            "a blob does not match its checksum: the files that it belongs to cannot be read any more"
        );
        metrics::mine().blobs_damaged.add(1);
        let disk = &self.0.disk;
        let failed = |error: std::io::Error| StoreError::disk("quarantine", &from, &error);
        disk.create_dir(&damaged).await.map_err(failed)?;
        disk.sync_dir(&directory).await.map_err(failed)?;
        disk.rename(&from, &to).await.map_err(failed)?;
        disk.sync_dir(&damaged).await.map_err(failed)?;
        let parent = from.parent().unwrap_or(&directory);
        disk.sync_dir(parent).await.map_err(failed)
    }

    /// The next association of this shard, in the order of the roots' names.
    fn association_after(&self, after: Option<&[u8; 16]>) -> Result<Option<[u8; 16]>, StoreError> {
        let after = after.map(filegrid_tree::root_name);
        let mut next = None;
        list_dir(self.view().as_ref(), ROOTS, after.as_deref(), &mut |name, _| {
            next = uuid::Uuid::parse_str(name)
                .ok()
                .map(uuid::Uuid::into_bytes)
                .filter(|association| self.owns(association));
            if next.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(next)
    }

    /// Key of the scrub's position: `v`, a log of this shard. The value is the association and the path, empty at
    /// the end of a round.
    fn position_key(&self) -> Option<Vec<u8>> {
        let log = self.0.local.borrow().keys().min().copied()?;
        Some(vec![b'v', log])
    }

    fn saved_position(&self) -> Result<Option<([u8; 16], TreePath)>, StoreError> {
        let Some(key) = self.position_key() else {
            return Ok(None);
        };
        let mut found = None;
        let view = self.view();
        view.get(&key, &mut |value| {
            found = value.split_first_chunk::<16>().and_then(|(association, path)| {
                let path = TreePath::found(std::str::from_utf8(path).ok()?);
                Some((*association, path))
            });
        })
        .map_err(|error| StoreError::Disk(error.to_string()))?;
        // An association that is gone, or another shard's by now, says nothing.
        let usable = |(association, _): &([u8; 16], TreePath)| {
            let root = lookup(view.as_ref(), *association, &TreePath::root());
            self.owns(association) && matches!(root, Ok(Some(Row::Dir(_))))
        };
        Ok(found.filter(usable))
    }

    fn save_position(&self, at: Option<&([u8; 16], TreePath)>) -> Result<(), StoreError> {
        let Some(key) = self.position_key() else {
            return Ok(());
        };
        let mut value = Vec::new();
        if let Some((association, path)) = at {
            value.extend_from_slice(association);
            value.extend_from_slice(path.to_string().as_bytes());
        }
        let mut batch = RowBatch::default();
        batch.put(key, value);
        Ok(self.0.shared.rows.write(batch)?)
    }
}

/// Adds a piece of a large blob to a sum; `false` if the file is too short for it.
async fn read_large(piece: &Piece, sum: &mut crc32fast::Hasher) -> Result<bool, StoreError> {
    let buffer = AlignedBuf::with_capacity(limits::SUM_SLICE_BYTES + limits::BLOCK_BYTES);
    let (buffer, range) = piece.read_blocks(buffer).await?;
    Ok(match range.and_then(|range| buffer.get(range)) {
        Some(bytes) => {
            sum.update(bytes);
            true
        }
        None => false,
    })
}
