//! Orphans: files of large blobs that no row refers to, left by uploads that a crash cut off.
//!
//! Swept after all logs are replayed, and only blobs of earlier starts: those of this start may belong to
//! uploads in flight. They go to quarantine first, under their id and the time (Unix seconds), and are removed
//! [`limits::QUARANTINE_S`] later, however often the node is started meanwhile: a mistake of ours costs space and not
//! data. One that a row refers to after all is brought back.

use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

use filegrid_tree::{BlobId, Id};

use super::blob::blob_path;
use super::owner::read_row;
use super::pins::Pinned;
use super::{Shared, StoreError, log_directory};
use crate::disk::{DirEntry, Disk};
use crate::limits;

/// What was done with orphans.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files moved to quarantine.
    pub quarantined: u64,
    /// Files that were there long enough, and are gone.
    pub removed: u64,
    /// Files that a row refers to, moved back to where they were.
    pub restored: u64,
}

/// Moves the orphans among the large blobs of one log to quarantine, and does what [`tend_quarantine`] does. `now_s` is
/// the time in Unix seconds.
///
/// # Errors
///
/// If the disk or the tree cannot be read; nothing is lost then.
pub async fn sweep(shared: &Shared, disk: &Rc<dyn Disk>, log: u8, now_s: u64) -> Result<Swept, StoreError> {
    let mut swept = tend_quarantine(shared, disk, log, now_s).await?;
    let directory = log_directory(&shared.data, log);
    let quarantine = directory.join("quarantine");
    let blobs = directory.join("blobs");
    for (outer, is_directory) in list(disk, &blobs).await? {
        if !is_directory {
            continue;
        }
        let outer = blobs.join(outer);
        for (inner, ..) in list(disk, &outer).await? {
            let inner = outer.join(inner);
            swept.quarantined += sweep_directory(shared, disk, &inner, &quarantine, now_s).await?;
        }
    }
    Ok(swept)
}

/// Removes what has been in the quarantine of a log for long enough, and brings back what a row refers to.
///
/// # Errors
///
/// If the disk or the tree cannot be read; nothing is lost then.
pub async fn tend_quarantine(
    shared: &Shared,
    disk: &Rc<dyn Disk>,
    log: u8,
    now_s: u64,
) -> Result<Swept, StoreError> {
    let directory = log_directory(&shared.data, log);
    let quarantine = directory.join("quarantine");
    let mut swept = Swept::default();
    for (name, ..) in list(disk, &quarantine).await? {
        let Some((blob, since_s)) = quarantined(&name) else {
            continue;
        };
        let from = quarantine.join(&name);
        if read_row(shared.rows.snapshot().as_ref(), blob)?.is_some() {
            let to = blob_path(&directory.join("blobs"), blob);
            disk.rename(&from, &to)
                .await
                .map_err(|error| StoreError::disk("bring back", &from, &error))?;
            tracing::warn!(%blob, "a blob was in quarantine although it is referred to: it is back");
            swept.restored += 1;
        } else if now_s >= since_s.saturating_add(limits::QUARANTINE_S) {
            disk.remove(&from)
                .await
                .map_err(|error| StoreError::disk("remove", &from, &error))?;
            swept.removed += 1;
        }
    }
    Ok(swept)
}

async fn sweep_directory(
    shared: &Shared,
    disk: &Rc<dyn Disk>,
    directory: &Path,
    quarantine: &Path,
    now_s: u64,
) -> Result<u64, StoreError> {
    let mut moved = 0;
    for (name, ..) in list(disk, directory).await? {
        let Some(blob) = blob_named(&name) else { continue };
        let current = blob.starts() >= shared.state.starts && blob.node() == shared.state.node;
        if current || read_row(shared.rows.snapshot().as_ref(), blob)?.is_some() {
            continue;
        }
        // Deleted meanwhile, and somebody still reads it: it is removed when he is done.
        if shared.pins.pinned(Pinned::Blob(blob)) {
            continue;
        }
        disk.create_dir(quarantine)
            .await
            .map_err(|error| StoreError::disk("create", quarantine, &error))?;
        let from = directory.join(&name);
        match disk
            .rename(&from, &quarantine.join(format!("{name}.{now_s}")))
            .await
        {
            Ok(()) => moved += 1,
            // Deleted meanwhile, and removed already.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::disk("quarantine", &from, &error)),
        }
    }
    Ok(moved)
}

/// The blob, and since when it is in quarantine, in Unix seconds.
fn quarantined(name: &str) -> Option<(BlobId, u64)> {
    let (blob, since_s) = name.split_once('.')?;
    Some((blob_named(blob)?, since_s.parse().ok()?))
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
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::disk("list", path, &error)),
    }
}
