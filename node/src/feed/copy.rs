//! The rows of an association as changes that put them: for a cluster that lacks what the log does not have any more.

use std::ops::ControlFlow;

use filegrid_tree::{Change, DirId, Op, Protocol, ROOTS, Row, TreeError, View, keys, list_dir, root_name};

/// Goes through the rows of an association, each directory before what is in it.
pub(super) struct Copy {
    association: [u8; 16],
    /// From the root down to where it is: a directory, and the name that was last seen in it.
    levels: Vec<(DirId, Option<String>)>,
    has_root: bool,
}

impl Copy {
    pub(super) fn new(association: [u8; 16]) -> Self {
        Self {
            association,
            levels: Vec::new(),
            has_root: false,
        }
    }

    /// A change that puts the next rows, at most so many; `None` behind the last one. `view` is the same each time.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub(super) fn next(&mut self, view: &dyn View, most: usize) -> Result<Option<Change>, TreeError> {
        let mut ops = Vec::new();
        if !std::mem::replace(&mut self.has_root, true) {
            self.root(view, &mut ops)?;
        }
        while ops.len() < most
            && let Some((directory, after)) = self.levels.last_mut()
        {
            let below = some_of(view, *directory, after, most, &mut ops)?;
            match below {
                Below::Directory(id) => self.levels.push((id, None)),
                Below::End => drop(self.levels.pop()),
                Below::More => {}
            }
        }
        Ok((!ops.is_empty()).then_some(Change {
            association: self.association,
            time: 0,
            protocol: Protocol::Api,
            ops,
        }))
    }

    fn root(&mut self, view: &dyn View, ops: &mut Vec<Op>) -> Result<(), TreeError> {
        let name = root_name(&self.association);
        let mut found = None;
        view.get(&keys::row(ROOTS, &name), &mut |bytes| {
            found = Some(Row::decode(bytes))
        })?;
        if let Some(row) = found {
            let row = row?;
            if let Row::Dir(root) = &row {
                self.levels.push((root.id, None));
            }
            ops.push(Op::put(ROOTS, &name, row));
        }
        Ok(())
    }
}

/// What comes next in a directory.
enum Below {
    /// What is in the directory that was last put.
    Directory(DirId),
    /// More of its rows.
    More,
    /// Nothing.
    End,
}

/// Puts rows of a directory behind `after`, up to the first that is a directory itself.
fn some_of(
    view: &dyn View,
    directory: DirId,
    after: &mut Option<String>,
    most: usize,
    ops: &mut Vec<Op>,
) -> Result<Below, TreeError> {
    let mut below = Below::End;
    let mut last = None;
    let mut unreadable = None;
    list_dir(view, directory, after.as_deref(), &mut |name, row| {
        let row = match row.to_row() {
            Ok(row) => row,
            Err(error) => {
                unreadable = Some(error);
                return ControlFlow::Break(());
            }
        };
        if let Row::Dir(made) = &row {
            below = Below::Directory(made.id);
        }
        ops.push(Op::put(directory, name, row));
        last = Some(name.to_owned());
        if matches!(below, Below::End) && ops.len() >= most {
            below = Below::More;
        }
        if matches!(below, Below::End) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = unreadable {
        return Err(error);
    }
    if last.is_some() {
        *after = last;
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use filegrid_tree::{DirRow, FileRow, Id, Sink, ViewError, Visit, apply};
    use proptest::prelude::*;

    use super::*;

    const TENANT: [u8; 16] = [1; 16];

    #[derive(Debug, Default, PartialEq)]
    struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

    impl View for Rows {
        fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
            let value = self.0.get(key);
            value.into_iter().for_each(|value| with(value));
            Ok(value.is_some())
        }

        fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
            for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
                if visit(key, value).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    impl Sink for Rows {
        fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
            if key.first() == Some(&b't') {
                self.0.insert(key, value);
            }
        }
        fn delete(&mut self, _: Vec<u8>) {}
        fn blob_linked(&mut self, _: Id, _: DirId, _: &str) {}
        fn blob_released(&mut self, _: Id, _: DirId, _: &str) {}
    }

    fn directory(number: usize) -> Row {
        let mut id = TENANT;
        id[..8].copy_from_slice(&number.to_be_bytes());
        Row::Dir(DirRow {
            id: if number == 0 { Id(TENANT) } else { Id(id) },
            created_at: 1,
            updated_at: None,
            mtime: 1,
            protocol: Protocol::Api,
        })
    }

    fn file(size: u64) -> Row {
        Row::File(FileRow {
            version: 1,
            size,
            crc32: 0,
            sha256: None,
            created_at: 1,
            updated_at: None,
            mtime: 1,
            protocol: Protocol::Ftp,
            extents: Vec::new(),
        })
    }

    proptest! {
        /// Each entry names the directory that it is in, by its place among those before.
        #[test]
        fn the_copy_of_a_tree_is_that_tree(
            entries in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
            most in 1..7_usize,
        ) {
            let mut rows = Rows::default();
            let mut made = vec![directory(0)];
            let mut change = |at: DirId, name: &str, row: &Row| {
                let change = Change {
                    association: TENANT,
                    time: 1,
                    protocol: Protocol::Api,
                    ops: vec![Op::put(at, name, row.clone())],
                };
                apply(&change, &mut rows).unwrap();
            };
            change(ROOTS, &root_name(&TENANT), &made[0]);
            for (number, (at, is_directory)) in entries.iter().enumerate() {
                let Row::Dir(above) = at.get(&made).clone() else { unreachable!() };
                let row = if *is_directory { directory(number + 1) } else { file(number as u64) };
                change(above.id, &format!("e{}", number * 7 % 40), &row);
                if *is_directory {
                    made.push(row);
                }
            }
            let copied: Rows = {
                let mut copied = Rows::default();
                let mut copy = Copy::new(TENANT);
                while let Some(change) = copy.next(&rows, most).unwrap() {
                    prop_assert!(change.ops.len() <= most);
                    apply(&change, &mut copied).unwrap();
                }
                copied
            };
            prop_assert_eq!(copied, rows);
        }
    }

    #[test]
    fn an_association_without_rows_has_no_copy() {
        let rows = Rows::default();
        assert!(Copy::new(TENANT).next(&rows, 10).unwrap().is_none());
    }
}
