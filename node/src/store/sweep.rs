//! Orphans: files of large blobs that no row refers to, left by uploads that a crash cut off.
//!
//! Swept after all logs are replayed, and only blobs of earlier starts: those of this start may belong to
//! uploads in flight. They go to quarantine first and are removed at a later start, so that a mistake of
//! ours costs space and not data.

use std::path::Path;
use std::rc::Rc;

use filegrid_tree::{BlobId, Id};

use super::owner::read_row;
use super::{Shared, StoreError, log_directory};
use crate::disk::{DirEntry, Disk};

/// What a sweep found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files moved to quarantine.
    pub quarantined: u64,
    /// Files of earlier sweeps that are now gone.
    pub removed: u64,
}

/// Sweeps the large blobs of one log.
///
/// # Errors
///
/// If the disk or the tree cannot be read; nothing is lost then.
pub async fn sweep(shared: &Shared, disk: &Rc<dyn Disk>, log: u8) -> Result<Swept, StoreError> {
    let directory = log_directory(&shared.data, log);
    let quarantine = directory.join("quarantine");
    let mut swept = Swept::default();
    for (name, ..) in list(disk, &quarantine).await? {
        let path = quarantine.join(name);
        disk.remove(&path)
            .await
            .map_err(|error| StoreError::disk("remove", &path, &error))?;
        swept.removed += 1;
    }
    let blobs = directory.join("blobs");
    for (outer, is_directory) in list(disk, &blobs).await? {
        if !is_directory {
            continue;
        }
        let outer = blobs.join(outer);
        for (inner, ..) in list(disk, &outer).await? {
            swept.quarantined += sweep_directory(shared, disk, &outer.join(inner), &quarantine).await?;
        }
    }
    Ok(swept)
}

async fn sweep_directory(
    shared: &Shared,
    disk: &Rc<dyn Disk>,
    directory: &Path,
    quarantine: &Path,
) -> Result<u64, StoreError> {
    let mut moved = 0;
    for (name, ..) in list(disk, directory).await? {
        let Some(blob) = blob_named(&name) else { continue };
        let current = blob.starts() >= shared.state.starts && blob.node() == shared.state.node;
        if current || read_row(shared.rows.snapshot().as_ref(), blob)?.is_some() {
            continue;
        }
        disk.create_dir(quarantine)
            .await
            .map_err(|error| StoreError::disk("create", quarantine, &error))?;
        let from = directory.join(&name);
        disk.rename(&from, &quarantine.join(&name))
            .await
            .map_err(|error| StoreError::disk("quarantine", &from, &error))?;
        moved += 1;
    }
    Ok(moved)
}

fn blob_named(name: &str) -> Option<BlobId> {
    let mut id = [0; 16];
    if name.len() != 32 || !name.is_ascii() {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Id(id))
}

async fn list(disk: &Rc<dyn Disk>, path: &Path) -> Result<Vec<DirEntry>, StoreError> {
    match disk.list(path).await {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::disk("list", path, &error)),
    }
}
