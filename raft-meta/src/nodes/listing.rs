//! Pages of the tree.

use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use filegrid_tree::{Protocol, RowRef, TreeError, TreePath, View, lookup, walk};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Event;
use crate::limits::LIST_PAGE_MAX_BYTES;

/// Asks for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    /// The tenant.
    pub association: Uuid,
    /// What is listed, with all that is below.
    pub path: String,
    /// Goes on strictly behind this path.
    pub after: Option<String>,
    /// Changes that the page has to show.
    pub shows: Vec<Event>,
    /// How long it may wait for those, in milliseconds.
    pub patience_ms: u64,
    /// Most entries of the page.
    pub entries: u64,
}

/// A page.
///
/// # Layout
///
/// Little endian: 1 if the path exists (1), 1 if there is more (1), all changes up to this time are shown: Unix
/// milliseconds, the lowest number if nothing is known (8); then the entries as [`Listed`] writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Whether the path that was asked for exists.
    pub found: bool,
    /// Whether there may be more behind the last entry.
    pub more: bool,
    /// All changes of the association's node up to this time are shown, by that node's clock; `None` if the cluster knows
    /// no node.
    pub as_of_ms: Option<i64>,
    /// The entries, one after the other.
    entries: Bytes,
}

/// An entry of a page.
///
/// # Layout
///
/// Little endian: flags (1): 1 a directory, 2 was replaced, 4 has a SHA-256; protocol (1); size, time of the last write,
/// of the first, of the last replacement (8 each); SHA-256 (32); length of the path (4), path. What the flags deny is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The whole path.
    pub path: &'a str,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file.
    pub size: u64,
    /// SHA-256 of a file, once computed.
    pub sha256: Option<&'a [u8; 32]>,
    /// Last writer.
    pub protocol: Protocol,
    /// Time of the last write, Unix milliseconds.
    pub mtime: i64,
    /// Time of the first.
    pub created_at: i64,
    /// Time it was last replaced.
    pub updated_at: Option<i64>,
}

const DIRECTORY: u8 = 1;
const REPLACED: u8 = 2;
const SUMMED: u8 = 4;
const PROTOCOLS: [Protocol; 5] = [
    Protocol::Api,
    Protocol::Ftp,
    Protocol::Ftps,
    Protocol::Sftp,
    Protocol::Scp,
];

impl ListRequest {
    /// The request's bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        // Texts and numbers always have a JSON form; no bytes are refused when read.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads a request; `None` if the bytes are none.
    #[must_use]
    pub fn read(from: &[u8]) -> Option<Self> {
        serde_json::from_slice(from).ok()
    }
}

impl Page {
    /// The next entries below a path, as `view` has them.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub fn of(
        view: &dyn View,
        association: [u8; 16],
        path: &TreePath,
        after: Option<&TreePath>,
        most: u64,
    ) -> Result<Self, TreeError> {
        let mut entries = BytesMut::new();
        let mut left = most;
        // Behind the first page the path itself need not be there any more.
        let found = after.is_some() || lookup(view, association, path)?.is_some();
        let mut more = false;
        walk(view, association, path, after, &mut |path, row| {
            if left == 0 {
                more = true;
                return ControlFlow::Break(());
            }
            Listed::new(path, &row).write(&mut entries);
            left -= 1;
            more = entries.len() >= LIST_PAGE_MAX_BYTES;
            if more {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(Self {
            found,
            more,
            as_of_ms: None,
            entries: entries.freeze(),
        })
    }

    /// With how new it is.
    #[must_use]
    pub fn as_of(self, as_of_ms: Option<i64>) -> Self {
        Self { as_of_ms, ..self }
    }

    /// The page's bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(10 + self.entries.len());
        to.put_u8(u8::from(self.found));
        to.put_u8(u8::from(self.more));
        to.put_i64_le(self.as_of_ms.unwrap_or(i64::MIN));
        to.put_slice(&self.entries);
        to.freeze()
    }

    /// Reads a page; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let page = Self {
            found: from.try_get_u8().ok()? == 1,
            more: from.try_get_u8().ok()? == 1,
            as_of_ms: Some(from.try_get_i64_le().ok()?).filter(|time| *time != i64::MIN),
            entries: from,
        };
        let mut rest = &*page.entries;
        while !rest.is_empty() {
            Listed::read(&mut rest)?;
        }
        Some(page)
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Listed<'_>> {
        let mut rest = &*self.entries;
        std::iter::from_fn(move || Listed::read(&mut rest))
    }
}

impl<'a> Listed<'a> {
    /// The entry of a row.
    #[must_use]
    pub fn new(path: &'a str, row: &'a RowRef<'_>) -> Self {
        Self {
            path,
            is_dir: row.is_dir(),
            size: row.size(),
            sha256: row.sha256(),
            protocol: row.protocol(),
            mtime: row.mtime(),
            created_at: row.created_at(),
            updated_at: row.updated_at(),
        }
    }

    fn write(&self, to: &mut BytesMut) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        to.put_u8(
            flag(self.is_dir, DIRECTORY)
                | flag(self.updated_at.is_some(), REPLACED)
                | flag(self.sha256.is_some(), SUMMED),
        );
        let protocol = PROTOCOLS.iter().position(|known| *known == self.protocol);
        to.put_u8(u8::try_from(protocol.unwrap_or_default()).unwrap_or_default());
        to.put_u64_le(self.size);
        to.put_i64_le(self.mtime);
        to.put_i64_le(self.created_at);
        to.put_i64_le(self.updated_at.unwrap_or_default());
        to.put_slice(self.sha256.unwrap_or(&[0; 32]));
        to.put_u32_le(u32::try_from(self.path.len()).unwrap_or(u32::MAX));
        to.put_slice(self.path.as_bytes());
    }

    fn read(from: &mut &'a [u8]) -> Option<Self> {
        let flags = from.try_get_u8().ok()?;
        let protocol = *PROTOCOLS.get(usize::from(from.try_get_u8().ok()?))?;
        let size = from.try_get_u64_le().ok()?;
        let mtime = from.try_get_i64_le().ok()?;
        let created_at = from.try_get_i64_le().ok()?;
        let updated_at = from.try_get_i64_le().ok()?;
        let (sha256, rest) = from.split_first_chunk::<32>()?;
        *from = rest;
        let length = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
        let (path, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(Self {
            path: std::str::from_utf8(path).ok()?,
            is_dir: flags & DIRECTORY != 0,
            size,
            sha256: (flags & SUMMED != 0).then_some(sha256),
            protocol,
            mtime,
            created_at,
            updated_at: (flags & REPLACED != 0).then_some(updated_at),
        })
    }
}
