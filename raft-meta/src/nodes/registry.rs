//! The registry on its way to nodes, which follow it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::REGISTRY_PART_MAX_BYTES;
use crate::registry::{Position, Registry, Row, RowChange};

/// An item of [`REGISTRY`](super::REGISTRY).
///
/// # Layout
///
/// One byte of kind, then, of rows, JSON: an array of [`RowChange`] or [`Row`].
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryItem {
    /// All that the cluster knew a moment ago is told.
    Sign,
    /// Changes behind those before; `true` if more belong to them.
    Changes(Vec<RowChange>, bool),
    /// Rows of the whole registry, in the order of [`Registry::rows`]; `true` if more follow.
    Rows(Vec<Row>, bool),
}

const SIGN: u8 = 0;
const CHANGES: u8 = 1;
const CHANGES_AND_MORE: u8 = 2;
const ROWS: u8 = 3;
const ROWS_AND_MORE: u8 = 4;

impl RegistryItem {
    /// Reads one; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let kind = from.try_get_u8().ok()?;
        match kind {
            SIGN => from.is_empty().then_some(Self::Sign),
            CHANGES | CHANGES_AND_MORE => {
                let changes = serde_json::from_slice(&from).ok()?;
                Some(Self::Changes(changes, kind == CHANGES_AND_MORE))
            }
            ROWS | ROWS_AND_MORE => {
                let rows = serde_json::from_slice(&from).ok()?;
                Some(Self::Rows(rows, kind == ROWS_AND_MORE))
            }
            _ => None,
        }
    }

    /// The sign's bytes.
    #[must_use]
    pub fn sign() -> Bytes {
        Bytes::from_static(&[SIGN])
    }

    /// The items that carry changes.
    #[must_use]
    pub fn of_changes(changes: Vec<RowChange>) -> Vec<Bytes> {
        parts(changes, CHANGES, CHANGES_AND_MORE)
    }

    /// The items that carry a whole registry.
    #[must_use]
    pub fn of_registry(registry: &Registry) -> Vec<Bytes> {
        parts(registry.rows(), ROWS, ROWS_AND_MORE)
    }
}

fn parts(rows: impl IntoIterator<Item = impl serde::Serialize>, last: u8, and_more: u8) -> Vec<Bytes> {
    let begin = || {
        let mut part = BytesMut::new();
        part.put_slice(&[and_more, b'[']);
        part
    };
    let (mut items, mut part) = (Vec::new(), begin());
    for row in rows {
        if part.len() > REGISTRY_PART_MAX_BYTES {
            part.put_u8(b']');
            items.push(std::mem::replace(&mut part, begin()).freeze());
        }
        if part.len() > 2 {
            part.put_u8(b',');
        }
        // A row always has a JSON form.
        part.put_slice(&serde_json::to_vec(&row).unwrap_or_default());
    }
    part.put_u8(b']');
    if let Some(kind) = part.first_mut() {
        *kind = last;
    }
    items.push(part.freeze());
    items
}

/// Where to follow the registry from: the body of [`REGISTRY`](super::REGISTRY).
///
/// # Layout
///
/// Revision (8), chain (4), little endian.
#[must_use]
pub fn write_position(position: Position) -> Bytes {
    let mut to = BytesMut::with_capacity(12);
    to.put_u64_le(position.revision);
    to.put_u32_le(position.chain);
    to.freeze()
}

/// Reads a position; `None` if the bytes are none.
pub(super) fn read_position(mut from: Bytes) -> Option<Position> {
    let position = Position {
        revision: from.try_get_u64_le().ok()?,
        chain: from.try_get_u32_le().ok()?,
    };
    from.is_empty().then_some(position)
}

/// What has become of a registry that follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// It is known to be all that the cluster knew a moment ago.
    Sign,
    /// These changes have led to it from the one before.
    Changes(Vec<RowChange>),
    /// It is another one.
    All,
}

/// A registry that follows the cluster's.
#[derive(Debug, Clone, Default)]
pub struct Following {
    registry: Registry,
    changes: Vec<RowChange>,
    rows: Vec<Row>,
}

impl Following {
    /// One that goes on from a registry.
    #[must_use]
    pub fn from(registry: Registry) -> Self {
        Self {
            registry,
            ..Self::default()
        }
    }

    /// The registry as it was when an item was last complete.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes an item; what has become of the registry, if it is as the cluster's was, and not between two states of that.
    pub fn take(&mut self, item: RegistryItem) -> Option<Taken> {
        match item {
            RegistryItem::Sign => Some(Taken::Sign),
            RegistryItem::Changes(changes, more) => {
                self.changes.extend(changes);
                (!more).then(|| {
                    let changes = std::mem::take(&mut self.changes);
                    changes
                        .iter()
                        .for_each(|change| self.registry.put(change.clone()));
                    Taken::Changes(changes)
                })
            }
            RegistryItem::Rows(rows, more) => {
                self.rows.extend(rows);
                (!more).then(|| {
                    self.registry = std::mem::take(&mut self.rows).into_iter().collect();
                    Taken::All
                })
            }
        }
    }
}
