//! Makes the directory of a member from a backup: the beginning of a new cluster that goes on where the backup was taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::{BackupError, BackupReader, Header};
use crate::host;
use crate::machine::{Machine as _, MachineError};
use crate::raft::first_mark;
use crate::store::{Store, restored_row};

impl From<MachineError> for BackupError {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Disk(why) => Self::Disk(std::io::Error::other(why)),
            MachineError::Damaged(why) => Self::Damaged(why),
        }
    }
}

/// Makes `data`, which must not be there, with what the backup in `file` holds, for a cluster of `members`. Members of one
/// cluster are all made from the same file with the same members. Blocks.
///
/// # Ensures
///
/// The nodes' starts that were let in after the backup, or by what comes of the members of the past, are told apart from
/// those that the new cluster lets in.
///
/// # Crash
///
/// `data` is there when all that is in it is durable, or not at all; what was begun is left beside it, and removed by the
/// next try.
///
/// # Errors
///
/// If the backup is not whole, `data` is there, or the disk refuses.
pub fn restore(file: &Path, data: &Path, members: &BTreeMap<u64, String>) -> Result<Header, BackupError> {
    if members.is_empty() {
        return Err(BackupError::Refused("members: at least one".to_owned()));
    }
    if data.try_exists()? {
        return Err(BackupError::Refused(format!(
            "{} is there already: a cluster is restored into a new directory",
            data.display()
        )));
    }
    // All of it first, so that nothing is made of half a backup.
    BackupReader::open(open(file)?)?.verify()?;
    let sum = sum_of(file)?;
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let fresh = data.with_file_name(name);
    if fresh.try_exists()? {
        std::fs::remove_dir_all(&fresh)?;
    }
    let lock = host::take(&fresh).map_err(BackupError::Refused)?;
    let header = fill(&fresh, BackupReader::open(open(file)?)?, sum, members)?;
    drop(lock);
    File::open(&fresh)?.sync_all()?;
    std::fs::rename(&fresh, data)?;
    let parent = data.canonicalize()?;
    if let Some(parent) = parent.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(header)
}

fn fill<R: Read>(
    home: &Path,
    mut backup: BackupReader<R>,
    sum: u32,
    members: &BTreeMap<u64, String>,
) -> Result<Header, BackupError> {
    let store = Arc::new(Store::open(&home.join("rows"))?);
    let mut install = store.install()?;
    while let Some(rows) = backup.next_rows()? {
        let rows = rows.into_iter().map(|(key, value)| restored_row(key, value));
        install.put(rows.collect::<Result<_, _>>()?)?;
    }
    let header = backup.header().clone();
    install.finish(&first_mark(header.applied, sum, members))?;
    Ok(header)
}

fn open(file: &Path) -> Result<BufReader<File>, BackupError> {
    Ok(BufReader::with_capacity(1 << 20, File::open(file)?))
}

/// CRC32 of all of a file.
fn sum_of(file: &Path) -> Result<u32, BackupError> {
    let mut from = open(file)?;
    let mut sum = crc32fast::Hasher::new();
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 {
            return Ok(sum.finalize());
        }
        sum.update(bytes.get(..read).unwrap_or_default());
    }
}
