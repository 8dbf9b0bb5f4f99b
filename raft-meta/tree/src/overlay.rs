//! Rows of changes that are decided but not applied yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::{Change, DirId, Op, PurgedEntry, Row, RowRef, View, ViewError, Visit, keys};

/// Rows of directories that are remembered: those on the way to where many write.
const DIRECTORIES_MAX_COUNT: usize = 4096;

/// The rows as they will be once every queued change is applied, where they differ from the tree.
///
/// Each change is pushed with a ticket, a number that rises, and removed with the same when it is applied. All changes
/// of the tree have to pass through here: rows of directories that were read are remembered until one touches them.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: HashMap<Vec<u8>, (u64, Option<Vec<u8>>)>,
    directories: RefCell<HashMap<Vec<u8>, Vec<u8>>>,
}

impl Overlay {
    /// Adds a change.
    pub fn push(&mut self, ticket: u64, change: &Change) {
        let directories = self.directories.get_mut();
        each_row(change, &mut |directory, name, row| {
            let key = keys::row(directory, name);
            directories.remove(&key);
            self.rows.insert(key, (ticket, row.map(Row::encode)));
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

    /// The tree as it will be. A scan looks at all that is queued, so it is for the few commands that need one.
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
            None => self.get_applied(key, with),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        let rows = self.overlay.rows.iter();
        let mut queued: Vec<(&[u8], Option<&[u8]>)> = rows
            .map(|(key, (_, row))| (key.as_slice(), row.as_deref()))
            .filter(|(key, _)| (from..to).contains(key))
            .collect();
        queued.sort_unstable();
        let mut queued = queued.into_iter().peekable();
        let mut ended = false;
        self.tree.scan(from, to, &mut |key, row| {
            while let Some((earlier, queued)) = queued.next_if(|(queued, _)| *queued < key) {
                if queued.is_some_and(|row| visit(earlier, row).is_break()) {
                    ended = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match queued.next_if(|(queued, _)| *queued == key) {
                Some((_, Some(row))) => visit(key, row),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, row),
            };
            ended = flow.is_break();
            flow
        })?;
        for (key, row) in queued.filter(|_| !ended) {
            if row.is_some_and(|row| visit(key, row).is_break()) {
                break;
            }
        }
        Ok(())
    }
}

impl Overlaid<'_> {
    fn get_applied(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        if let Some(row) = self.overlay.directories.borrow().get(key) {
            with(row);
            return Ok(true);
        }
        self.tree.get(key, &mut |row| {
            if RowRef::new(row).is_ok_and(|row| row.is_dir()) {
                let mut directories = self.overlay.directories.borrow_mut();
                if directories.len() >= DIRECTORIES_MAX_COUNT {
                    directories.clear();
                }
                directories.insert(key.to_owned(), row.to_owned());
            }
            with(row);
        })
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
            // No path reaches these rows, but a sum names its file by directory and name: it must not bring it back.
            Op::Purge {
                directory, entries, ..
            } => {
                for PurgedEntry::File { name, .. } | PurgedEntry::Dir { name, .. } in entries {
                    with(*directory, name, None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{DirRow, Id, Protocol};

    /// Rows in memory that count how often they are asked.
    #[derive(Default)]
    struct Rows(BTreeMap<Vec<u8>, Vec<u8>>, std::cell::Cell<u32>);

    impl View for Rows {
        fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
            self.1.set(self.1.get() + 1);
            Ok(self.0.get(key).map(|row| with(row)).is_some())
        }

        fn scan(&self, _: &[u8], _: &[u8], _: &mut Visit<'_>) -> Result<(), ViewError> {
            Ok(())
        }
    }

    fn directory(mtime: i64) -> Row {
        Row::Dir(DirRow {
            id: Id([1; 16]),
            created_at: 1,
            updated_at: None,
            mtime,
            protocol: Protocol::Api,
        })
    }

    fn put(mtime: i64) -> Change {
        Change {
            association: [0; 16],
            time: 1,
            protocol: Protocol::Api,
            ops: vec![Op::Put {
                directory: Id([0; 16]),
                name: "d".to_owned(),
                row: directory(mtime),
                released: Vec::new(),
                linked: Vec::new(),
                was_unsummed: false,
            }],
        }
    }

    fn read(overlay: &Overlay, rows: &Rows) -> Option<Row> {
        let mut found = None;
        let key = keys::row(Id([0; 16]), "d");
        let with = &mut |row: &[u8]| found = Row::decode(row).ok();
        overlay.over(rows).get(&key, with).unwrap();
        found
    }

    #[test]
    fn a_remembered_directory_is_the_one_last_written() {
        let key = keys::row(Id([0; 16]), "d");
        let (mut overlay, mut rows) = (Overlay::default(), Rows::default());
        assert_eq!(read(&overlay, &rows), None);
        rows.0.insert(key.clone(), directory(1).encode());
        assert_eq!(read(&overlay, &rows), Some(directory(1)));
        let asked = rows.1.get();
        assert_eq!(read(&overlay, &rows), Some(directory(1)));
        assert_eq!(rows.1.get(), asked, "the second look needs no row of the tree");
        overlay.push(7, &put(2));
        assert_eq!(read(&overlay, &rows), Some(directory(2)));
        rows.0.insert(key, directory(2).encode());
        overlay.remove(7, &put(2));
        assert_eq!(read(&overlay, &rows), Some(directory(2)));
        assert!(overlay.is_empty());
    }
}
