//! Rows of changes that are decided but not applied yet.

use std::collections::HashMap;

use crate::{Change, DirId, Op, Row, View, ViewError, Visit, keys};

/// The rows as they will be once every queued change is applied, where they differ from the tree.
///
/// Each change is pushed with a ticket, a number that rises, and removed with the same when it is applied.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: HashMap<Vec<u8>, (u64, Option<Vec<u8>>)>,
}

impl Overlay {
    /// Adds a change.
    pub fn push(&mut self, ticket: u64, change: &Change) {
        each_row(change, &mut |directory, name, row| {
            self.rows
                .insert(keys::row(directory, name), (ticket, row.map(Row::encode)));
        });
    }

    /// Takes a change out, as far as no later one covers it.
    pub fn remove(&mut self, ticket: u64, change: &Change) {
        each_row(change, &mut |directory, name, _| {
            let key = keys::row(directory, name);
            if self.rows.get(&key).is_some_and(|(of, _)| *of == ticket) {
                self.rows.remove(&key);
            }
        });
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The tree as it will be. Only [`View::get`] sees the overlay; resolving scans nothing.
    #[must_use]
    pub fn over<'a>(&'a self, tree: &'a dyn View) -> Overlaid<'a> {
        Overlaid { overlay: self, tree }
    }
}

/// A tree with an overlay on it.
pub struct Overlaid<'a> {
    overlay: &'a Overlay,
    tree: &'a dyn View,
}

impl View for Overlaid<'_> {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        match self.overlay.rows.get(key) {
            Some((_, Some(row))) => {
                with(row);
                Ok(true)
            }
            Some((_, None)) => Ok(false),
            None => self.tree.get(key, with),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        self.tree.scan(from, to, visit)
    }
}

/// The rows of the tree that a change sets or removes, in order.
pub(crate) fn each_row(change: &Change, with: &mut dyn FnMut(DirId, &str, Option<&Row>)) {
    for op in &change.ops {
        match op {
            Op::Put {
                directory, name, row, ..
            } => with(*directory, name, Some(row)),
            Op::Remove { directory, name, .. } | Op::Detach { directory, name, .. } => {
                with(*directory, name, None)
            }
            Op::Rename {
                from_directory,
                from_name,
                to_directory,
                to_name,
                row,
            } => {
                with(*from_directory, from_name, None);
                with(*to_directory, to_name, Some(row));
            }
            // Rows below a detached directory cannot be reached by any path.
            Op::Purge { .. } => {}
        }
    }
}
