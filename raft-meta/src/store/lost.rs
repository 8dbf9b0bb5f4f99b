//! Entries that the cluster has and the node that they belong to has not: shown to the operator, and never deleted.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use filegrid_tree::{DirId, Id, RowRef, View, keys as tree_keys};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{self, LOST};
use super::live::Rows;
use crate::limits::{LOST_MAX_COUNT, LOST_PAGE_MAX_COUNT};
use crate::machine::MachineError;

/// An entry that a node has found missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The directory that it is in.
    pub directory: Uuid,
    /// Its name; empty for all that is in the directory.
    pub name: String,
    /// What is shown of it.
    pub mark: LostMark,
}

/// What is kept of an entry that is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMark {
    /// The tenant.
    pub association: Uuid,
    /// The node that lacks it.
    pub node: u64,
    /// Its path when that was found.
    pub path: String,
}

/// What is marked, by key.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeSet<Vec<u8>>);

impl Marks {
    /// Notes a mark that is kept.
    pub(super) fn load(&mut self, key: &[u8]) {
        self.0.insert(key.to_vec());
    }

    /// Marks entries. Beyond the bound they are shown by the trees still, and found again.
    pub(super) fn mark(&mut self, entries: &[Lost], rows: &mut Rows) -> Result<(), MachineError> {
        for entry in entries {
            let key = keys::lost(Id(*entry.directory.as_bytes()), &entry.name);
            let value = serde_json::to_vec(&entry.mark);
            let value = value.map_err(|error| MachineError::Damaged(error.to_string()))?;
            if self.0.len() < LOST_MAX_COUNT || self.0.contains(&key) {
                self.0.insert(key.clone());
                rows.push((key, Some(value)));
            }
        }
        Ok(())
    }

    /// Takes the mark of a row away that is written or deleted.
    pub(super) fn clear(&mut self, tree_key: &[u8], rows: &mut Rows) {
        if self.0.is_empty() {
            return;
        }
        let key = keys::lost_of(tree_key);
        if self.0.remove(&key) {
            rows.push((key, None));
        }
    }
}

/// Some of what is marked lost.
///
/// # Layout
///
/// 1 if there is more (1), length of the last key (2, little endian), key, then JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostPage {
    /// Goes on behind this; `None` at the end.
    pub next: Option<Vec<u8>>,
    /// What was found.
    pub entries: Vec<LostEntry>,
}

/// An entry that is lost, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostEntry {
    /// The mark.
    #[serde(flatten)]
    pub mark: LostMark,
    /// Whether it is a directory, with all that is below.
    pub is_dir: bool,
    /// Bytes of a file.
    pub size: u64,
}

impl LostPage {
    /// The entries behind a key, at most so many.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    pub fn of(view: &dyn View, after: &[u8], most: usize) -> Result<Self, MachineError> {
        let most = most.clamp(1, LOST_PAGE_MAX_COUNT);
        let (mut from, to) = tree_keys::all(LOST);
        if !after.is_empty() {
            from = after.to_vec();
            from.push(0);
        }
        let mut found: Vec<(Vec<u8>, LostMark)> = Vec::new();
        let mut next = None;
        let mut unreadable = None;
        view.scan(&from, &to, &mut |key, value| {
            if found.len() >= most {
                next = found.last().map(|(key, _)| key.clone());
                return ControlFlow::Break(());
            }
            match serde_json::from_slice(value) {
                Ok(mark) => {
                    found.push((key.to_vec(), mark));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    unreadable = Some(MachineError::Damaged(format!("a mark cannot be read: {error}")));
                    ControlFlow::Break(())
                }
            }
        })
        .map_err(|error| MachineError::Disk(error.to_string()))?;
        if let Some(error) = unreadable {
            return Err(error);
        }
        let mut entries = Vec::with_capacity(found.len());
        for (key, mark) in found {
            // What stands for all of a directory has no row of its own.
            let mut shown = (true, 0);
            view.get(&keys::tree_of_lost(&key), &mut |row| {
                if let Ok(row) = RowRef::new(row) {
                    shown = (row.is_dir(), row.size());
                }
            })
            .map_err(|error| MachineError::Disk(error.to_string()))?;
            let (is_dir, size) = shown;
            entries.push(LostEntry { mark, is_dir, size });
        }
        Ok(Self { next, entries })
    }

    /// The page's bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        let next = self.next.as_deref().unwrap_or_default();
        to.put_u8(u8::from(self.next.is_some()));
        to.put_u16_le(u16::try_from(next.len()).unwrap_or(u16::MAX));
        to.put_slice(next);
        // Texts and numbers always have a JSON form; no bytes are refused when read.
        to.put_slice(&serde_json::to_vec(&self.entries).unwrap_or_default());
        to.freeze()
    }

    /// Reads a page; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: &[u8]) -> Option<Self> {
        let more = from.try_get_u8().ok()? == 1;
        let length = usize::from(from.try_get_u16_le().ok()?);
        let (next, rest) = from.split_at_checked(length)?;
        Some(Self {
            next: more.then(|| next.to_vec()),
            entries: serde_json::from_slice(rest).ok()?,
        })
    }
}

impl Lost {
    /// An entry of a directory that is lost.
    #[must_use]
    pub fn new(directory: DirId, name: &str, mark: LostMark) -> Self {
        Self {
            directory: Uuid::from_bytes(directory.0),
            name: name.to_owned(),
            mark,
        }
    }
}
