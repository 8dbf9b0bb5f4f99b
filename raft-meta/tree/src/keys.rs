//! Keys of the rows.
//!
//! | key | value |
//! |---|---|
//! | `t`, directory (16), name | the row of a file or a directory, [`crate::Row`] |
//! | `d`, directory (16) | its parent (16) and name |
//! | `x`, directory (16), name | version (8, little endian) of a file without a SHA-256 |
//! | `q`, directory (16) | association (16): detached, to be purged |
//!
//! `a`, `b`, `p` and `s` belong to the node's store, which also notes the association behind the version of an `x`.

use crate::{DirId, Id};

fn named(prefix: u8, directory: DirId, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(17 + name.len());
    key.push(prefix);
    key.extend_from_slice(&directory.0);
    key.extend_from_slice(name.as_bytes());
    key
}

/// Key of a row.
#[must_use]
pub fn row(directory: DirId, name: &str) -> Vec<u8> {
    named(b't', directory, name)
}

/// Key of a directory's place.
#[must_use]
pub fn place(directory: DirId) -> Vec<u8> {
    named(b'd', directory, "")
}

/// Key of a file that waits for its SHA-256.
#[must_use]
pub fn unsummed(directory: DirId, name: &str) -> Vec<u8> {
    named(b'x', directory, name)
}

/// Key of a detached directory.
#[must_use]
pub fn detached(directory: DirId) -> Vec<u8> {
    named(b'q', directory, "")
}

/// The keys of all rows of a directory behind a name: from, to (exclusive).
#[must_use]
pub fn rows_after(directory: DirId, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let mut from = row(directory, after.unwrap_or(""));
    if after.is_some() {
        from.push(0);
    }
    // No name holds the byte 0xff: names are UTF-8.
    let mut to = row(directory, "");
    to.push(0xff);
    (from, to)
}

/// Every key with a prefix byte: from, to (exclusive).
#[must_use]
pub fn all(prefix: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![prefix], vec![prefix + 1])
}

/// Directory and name of a key made by one of these.
#[must_use]
pub fn split(key: &[u8]) -> Option<(DirId, &str)> {
    let (id, name) = key.get(1..)?.split_first_chunk::<16>()?;
    Some((Id(*id), std::str::from_utf8(name).ok()?))
}
