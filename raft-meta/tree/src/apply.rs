//! From changes to rows. Decides nothing.

use crate::{BlobId, Change, DirId, Op, PurgedEntry, Row, TreeError, keys};

/// Where the effects of a change go.
pub trait Sink {
    /// A row is set.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);
    /// A row is removed, if it is there.
    fn delete(&mut self, key: Vec<u8>);
    /// A row now refers to a blob.
    fn blob_linked(&mut self, blob: BlobId, directory: DirId, name: &str);
    /// A row no longer refers to a blob.
    fn blob_released(&mut self, blob: BlobId, directory: DirId, name: &str);
}

/// Hands the effects of a change to a sink, in order.
///
/// # Errors
///
/// Never today; a change that a later version of the format cannot apply will be refused here.
pub fn apply(change: &Change, sink: &mut dyn Sink) -> Result<(), TreeError> {
    for op in &change.ops {
        one(&change.association, op, sink);
    }
    Ok(())
}

fn one(association: &[u8; 16], op: &Op, sink: &mut dyn Sink) {
    match op {
        Op::Put {
            directory,
            name,
            row,
            released,
            linked,
            was_unsummed,
        } => {
            // Linked first: a blob that the new row shares with the old one is never without a reference.
            linked
                .iter()
                .for_each(|blob| sink.blob_linked(*blob, *directory, name));
            released
                .iter()
                .for_each(|blob| sink.blob_released(*blob, *directory, name));
            if *was_unsummed && unsummed(row).is_none() {
                sink.delete(keys::unsummed(*directory, name));
            }
            put_row(*directory, name, row, sink);
        }
        Op::Remove {
            directory,
            name,
            released,
        } => {
            released
                .iter()
                .for_each(|blob| sink.blob_released(*blob, *directory, name));
            sink.delete(keys::unsummed(*directory, name));
            sink.delete(keys::row(*directory, name));
        }
        Op::Rename {
            from_directory,
            from_name,
            to_directory,
            to_name,
            row,
        } => {
            for blob in row.blobs() {
                sink.blob_linked(blob, *to_directory, to_name);
                sink.blob_released(blob, *from_directory, from_name);
            }
            if unsummed(row).is_some() {
                sink.delete(keys::unsummed(*from_directory, from_name));
            }
            sink.delete(keys::row(*from_directory, from_name));
            put_row(*to_directory, to_name, row, sink);
        }
        Op::Detach { directory, name, id } => {
            sink.delete(keys::row(*directory, name));
            sink.put(keys::detached(*id), association.to_vec());
        }
        Op::Purge {
            directory,
            entries,
            done,
        } => purge(association, *directory, entries, *done, sink),
    }
}

fn put_row(directory: DirId, name: &str, row: &Row, sink: &mut dyn Sink) {
    if let Some(version) = unsummed(row) {
        sink.put(keys::unsummed(directory, name), version.to_le_bytes().to_vec());
    }
    if let Row::Dir(made) = row {
        let mut place = directory.0.to_vec();
        place.extend_from_slice(name.as_bytes());
        sink.put(keys::place(made.id), place);
    }
    sink.put(keys::row(directory, name), row.encode());
}

fn purge(association: &[u8; 16], directory: DirId, entries: &[PurgedEntry], done: bool, sink: &mut dyn Sink) {
    for entry in entries {
        match entry {
            PurgedEntry::File { name, released } => {
                released
                    .iter()
                    .for_each(|blob| sink.blob_released(*blob, directory, name));
                sink.delete(keys::unsummed(directory, name));
                sink.delete(keys::row(directory, name));
            }
            PurgedEntry::Dir { name, id } => {
                sink.delete(keys::row(directory, name));
                sink.put(keys::detached(*id), association.to_vec());
            }
        }
    }
    if done {
        sink.delete(keys::detached(directory));
        sink.delete(keys::place(directory));
    }
}

/// The version of a file that waits for its SHA-256.
fn unsummed(row: &Row) -> Option<u64> {
    match row {
        Row::File(file) if file.sha256.is_none() => Some(file.version),
        _ => None,
    }
}
