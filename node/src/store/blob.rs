//! Large blobs: one file each, written past the page cache.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_tree::{BlobId, Extent};

use super::StoreError;
use super::pins::PinSet;
use crate::disk::{Access, Disk, DiskFile, OpenHow};
use crate::limits;
use crate::ring::AlignedBuf;

/// `blobs/ab/cd/<id>`: the two levels are the low bytes of the id, which count up, so directories fill evenly.
#[must_use]
pub(super) fn blob_path(blobs: &Path, blob: BlobId) -> PathBuf {
    let [.., outer, inner] = blob.0;
    blobs
        .join(format!("{outer:02x}"))
        .join(format!("{inner:02x}"))
        .join(blob.to_string())
}

/// What the blobs that a shard writes have in common.
pub(super) struct BlobFiles {
    disk: Rc<dyn Disk>,
    /// Directories that are known to be durable, by log and level. Those of an earlier start may not be: a kill between
    /// making a directory and syncing it leaves one that looks as good as any.
    durable: RefCell<HashSet<(u8, u8, u8)>>,
    /// Files that were given up.
    abandoned: RefCell<Vec<PathBuf>>,
    /// Bytes of the disk that blobs leave to others.
    low_water_bytes: u64,
}

impl BlobFiles {
    pub(super) fn new(disk: Rc<dyn Disk>, low_water_bytes: u64) -> Self {
        Self {
            disk,
            durable: RefCell::default(),
            abandoned: RefCell::default(),
            low_water_bytes,
        }
    }

    /// Removes files that were given up. One that cannot be removed is left to the sweep of the next start.
    pub(super) async fn remove_abandoned(&self) {
        let abandoned = std::mem::take(&mut *self.abandoned.borrow_mut());
        for path in abandoned {
            if let Err(error) = self.disk.remove(&path).await {
                tracing::debug!(path = %path.display(), %error, "an unfinished blob stays for the next sweep");
            }
        }
    }

    /// Makes the two levels above a blob, each synced into the one above it.
    async fn make_parents(&self, log: u8, blobs: &Path, blob: BlobId) -> Result<(), StoreError> {
        let [.., outer, inner] = blob.0;
        if self.durable.borrow().contains(&(log, outer, inner)) {
            return Ok(());
        }
        let outer_path = blobs.join(format!("{outer:02x}"));
        let inner_path = outer_path.join(format!("{inner:02x}"));
        for (directory, above) in [(&outer_path, blobs), (&inner_path, outer_path.as_path())] {
            let failed = |error: std::io::Error| StoreError::disk("create", directory, &error);
            self.disk.create_dir(directory).await.map_err(failed)?;
            self.disk.sync_dir(above).await.map_err(failed)?;
        }
        self.durable.borrow_mut().insert((log, outer, inner));
        Ok(())
    }
}

/// A large blob that is being written. Dropped before [`BlobWriter::finish`] has succeeded, its file is removed soon.
pub struct BlobWriter {
    name: Name,
    file: Rc<dyn DiskFile>,
    blob: BlobId,
    /// Bytes written, padding not counted.
    length: u64,
    /// Bytes of space given to the file.
    allocated: u64,
    sum: crc32fast::Hasher,
    pin: PinSet,
}

/// The name of a file that is given up unless it is kept.
struct Name {
    files: Rc<BlobFiles>,
    path: PathBuf,
    kept: bool,
}

impl Drop for Name {
    fn drop(&mut self) {
        if !self.kept {
            let path = std::mem::take(&mut self.path);
            self.files.abandoned.borrow_mut().push(path);
        }
    }
}

impl BlobWriter {
    /// Creates the file of a blob, durably named: its directory and any new parent are synced.
    ///
    /// # Errors
    ///
    /// If the disk refuses; that fails this upload alone.
    pub(super) async fn create(
        files: Rc<BlobFiles>,
        (log, blobs): (u8, &Path),
        blob: BlobId,
        pin: PinSet,
    ) -> Result<Self, StoreError> {
        files.make_parents(log, blobs, blob).await?;
        let path = blob_path(blobs, blob);
        let how = OpenHow {
            access: Access::ReadWrite,
            create_new: true,
            direct: true,
            dsync: false,
        };
        let opened = files.disk.open(&path, how).await;
        let file = opened.map_err(|error| StoreError::disk("create", &path, &error))?;
        Ok(Self {
            name: Name {
                files,
                path,
                kept: false,
            },
            file,
            blob,
            length: 0,
            allocated: 0,
            sum: crc32fast::Hasher::new(),
            pin,
        })
    }

    /// Appends. All buffers but the last hold a multiple of [`limits::BLOCK_BYTES`]; the buffer comes back.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or would have less room than blobs must leave.
    pub async fn write(&mut self, mut buffer: AlignedBuf) -> Result<AlignedBuf, StoreError> {
        let bytes = buffer.len();
        self.sum.update(&buffer);
        let padded = bytes.next_multiple_of(limits::BLOCK_BYTES);
        buffer.resize_zeroed(padded);
        let end = self.length + padded as u64;
        if end > self.allocated {
            let more = (end - self.allocated).max(
                self.allocated
                    .clamp(limits::BLOB_ALLOCATE_MIN_BYTES, limits::BLOB_ALLOCATE_MAX_BYTES),
            );
            self.allocate(more).await?;
        }
        let (written, buffer) = self.file.write_at(buffer, self.length).await;
        written.map_err(|error| self.failed("write", &error))?;
        self.length += bytes as u64;
        Ok(buffer)
    }

    async fn allocate(&mut self, more: u64) -> Result<(), StoreError> {
        // The log and the tree must be able to go on when an upload does not end.
        let free = self.name.files.disk.free_bytes(&self.name.path).await;
        let free = free.map_err(|error| self.failed("ask for the room for", &error))?;
        if free < self.name.files.low_water_bytes.saturating_add(more) {
            return Err(StoreError::Full);
        }
        self.file
            .allocate(self.allocated, more)
            .await
            .map_err(|error| self.failed("allocate", &error))?;
        self.allocated += more;
        Ok(())
    }

    /// Makes the blob durable. It is pinned as long as the set lives.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub async fn finish(mut self) -> Result<(Extent, PinSet), StoreError> {
        let padded = self.length.next_multiple_of(limits::BLOCK_BYTES as u64);
        if padded < self.allocated {
            self.file
                .truncate(padded)
                .await
                .map_err(|error| self.failed("truncate", &error))?;
        }
        self.file
            .sync_data()
            .await
            .map_err(|error| self.failed("sync", &error))?;
        if let Some(parent) = self.name.path.parent() {
            self.name
                .files
                .disk
                .sync_dir(parent)
                .await
                .map_err(|error| self.failed("sync the directory of", &error))?;
        }
        let extent = Extent {
            blob: self.blob,
            offset: 0,
            length: self.length,
            crc32: self.sum.finalize(),
        };
        self.name.kept = true;
        Ok((extent, self.pin))
    }

    /// Bytes written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> StoreError {
        StoreError::disk(what, &self.name.path, error)
    }
}
