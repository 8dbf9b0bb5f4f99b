//! Large blobs: one file each, written past the page cache.

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

/// A large blob that is being written. Dropped before [`BlobWriter::finish`], it leaves a file that nothing
/// refers to; [`BlobWriter::discard`] takes it away at once, the sweep of the next start otherwise.
pub struct BlobWriter {
    disk: Rc<dyn Disk>,
    file: Rc<dyn DiskFile>,
    path: PathBuf,
    blob: BlobId,
    /// Bytes written, padding not counted.
    length: u64,
    /// Bytes of space given to the file.
    allocated: u64,
    sum: crc32fast::Hasher,
    pin: PinSet,
}

impl BlobWriter {
    /// Creates the file of a blob, durably named: its directory and any new parent are synced.
    ///
    /// # Errors
    ///
    /// If the disk refuses; that fails this upload alone.
    pub(super) async fn create(
        disk: Rc<dyn Disk>,
        blobs: &Path,
        blob: BlobId,
        pin: PinSet,
    ) -> Result<Self, StoreError> {
        let path = blob_path(blobs, blob);
        let how = OpenHow {
            access: Access::ReadWrite,
            create_new: true,
            direct: true,
            dsync: false,
        };
        let file = match disk.open(&path, how).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_parents(&disk, blobs, &path).await?;
                disk.open(&path, how).await
            }
            opened => opened,
        };
        let file = file.map_err(|error| StoreError::disk("create", &path, &error))?;
        let sum = crc32fast::Hasher::new();
        Ok(Self {
            disk,
            file,
            path,
            blob,
            length: 0,
            allocated: 0,
            sum,
            pin,
        })
    }

    /// Appends. All buffers but the last hold a multiple of [`limits::BLOCK_BYTES`]; the buffer comes back.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
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
            self.file
                .allocate(self.allocated, more)
                .await
                .map_err(|error| self.failed("allocate", &error))?;
            self.allocated += more;
        }
        let (written, buffer) = self.file.write_at(buffer, self.length).await;
        written.map_err(|error| self.failed("write", &error))?;
        self.length += bytes as u64;
        Ok(buffer)
    }

    /// Makes the blob durable.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub async fn finish(self) -> Result<(Extent, PinSet), StoreError> {
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
        if let Some(parent) = self.path.parent() {
            self.disk
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
        Ok((extent, self.pin))
    }

    /// Takes away an unfinished blob.
    pub async fn discard(self) {
        if let Err(error) = self.disk.remove(&self.path).await {
            tracing::debug!(path = %self.path.display(), %error, "an unfinished blob stays for the next sweep");
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> StoreError {
        StoreError::disk(what, &self.path, error)
    }
}

/// Makes the two levels above a blob, each synced into the one above it.
async fn make_parents(disk: &Rc<dyn Disk>, blobs: &Path, path: &Path) -> Result<(), StoreError> {
    let Some(inner) = path.parent() else { return Ok(()) };
    let Some(outer) = inner.parent() else {
        return Ok(());
    };
    for (directory, above) in [(outer, blobs), (inner, outer)] {
        let failed = |error: std::io::Error| StoreError::disk("create", directory, &error);
        disk.create_dir(directory).await.map_err(failed)?;
        disk.sync_dir(above).await.map_err(failed)?;
    }
    Ok(())
}
