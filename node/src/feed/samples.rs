//! Rows for tests.

use filegrid_tree::{DirId, DirRow, FileRow, Protocol, Row};

/// A file, each number another one.
pub(super) fn file(number: u64) -> Row {
    Row::File(FileRow {
        version: number,
        size: number,
        crc32: 0,
        sha256: None,
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Ftp,
        extents: Vec::new(),
    })
}

/// A directory.
pub(super) fn directory(id: DirId) -> Row {
    Row::Dir(DirRow {
        id,
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
    })
}
