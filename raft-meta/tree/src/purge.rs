//! Taking away, step by step, what hung below detached directories.

use std::ops::ControlFlow;

use crate::{CHANGE_MAX_BYTES, DirId, Id, Op, PurgedEntry, Row, RowRef, TreeError, View, keys};

/// A step ends once it weighs this much: files may have many blobs, and the last of them still fits into a change.
const STEP_TARGET_BYTES: usize = CHANGE_MAX_BYTES / 4;

/// The next step for a detached directory whose association `mine` accepts: at most `max` entries of it, fewer if they
/// have many blobs, and its association. `None` when nothing is left.
///
/// # Errors
///
/// If rows cannot be read.
pub fn purge_step(
    view: &dyn View,
    max: usize,
    mine: &dyn Fn(&[u8; 16]) -> bool,
) -> Result<Option<([u8; 16], Op)>, TreeError> {
    let (from, to) = keys::all(b'q');
    let mut found: Option<(DirId, [u8; 16])> = None;
    view.scan(&from, &to, &mut |key, value| {
        if let (Some((directory, _)), Ok(association)) = (keys::split(key), value.try_into())
            && mine(&association)
        {
            found = Some((directory, association));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let Some((directory, association)) = found else {
        return Ok(None);
    };
    let (entries, done) = entries(view, directory, max)?;
    Ok(Some((
        association,
        Op::Purge {
            directory,
            entries,
            done,
        },
    )))
}

fn entries(view: &dyn View, directory: DirId, max: usize) -> Result<(Vec<PurgedEntry>, bool), TreeError> {
    let (from, to) = keys::rows_after(directory, None);
    let mut entries = Vec::new();
    let mut done = true;
    let mut failed = None;
    let mut weight = 0;
    view.scan(&from, &to, &mut |key, value| {
        if entries.len() >= max || weight >= STEP_TARGET_BYTES {
            done = false;
            return ControlFlow::Break(());
        }
        match entry(key, value) {
            Ok(entry) => {
                weight += entry.weight();
                entries.push(entry);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok((entries, done)), Err)
}

fn entry(key: &[u8], value: &[u8]) -> Result<PurgedEntry, TreeError> {
    let (_, name) = keys::split(key).ok_or_else(|| TreeError::Damaged("a key cannot be read".to_owned()))?;
    let name = name.to_owned();
    match RowRef::new(value)? {
        RowRef::Dir(row) => Ok(PurgedEntry::Dir {
            name,
            id: Id(row.id.0),
        }),
        RowRef::File(_) => Ok(PurgedEntry::File {
            name,
            released: Row::decode(value)?.blobs(),
        }),
    }
}
