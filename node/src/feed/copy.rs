//! The rows of an association as changes that put them: for a cluster that lacks what the log does not have any more.

use filegrid_tree::{Change, Op, Protocol, Row, TreeError, View};

use super::walk::Walk;

/// Goes through the rows of an association, each directory before what is in it.
pub(super) struct Copy(Walk);

impl Copy {
    pub(super) fn new(association: [u8; 16]) -> Self {
        Self(Walk::new(association))
    }

    /// A change that puts the next rows, at most so many; `None` behind the last one. `view` is the same each time.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub(super) fn next(&mut self, view: &dyn View, most: usize) -> Result<Option<Change>, TreeError> {
        let mut ops = Vec::new();
        while ops.len() < most {
            let left = most - ops.len();
            let run = self.0.next(view, left, &mut |directory, name, row| {
                ops.push(Op::put(directory, name, Row::decode(row)?));
                Ok(())
            })?;
            if run.is_none() {
                break;
            }
        }
        Ok((!ops.is_empty()).then(|| putting(self.0.association(), ops)))
    }
}

/// A change that is not of the log: it has no time of its own.
pub(super) fn putting(association: [u8; 16], ops: Vec<Op>) -> Change {
    Change {
        association,
        time: 0,
        protocol: Protocol::Api,
        ops,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use filegrid_tree::{DirId, Id, ROOTS, Sink, ViewError, Visit, apply, root_name};
    use proptest::prelude::*;

    use super::*;
    use crate::feed::samples::{self, file};

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
        samples::directory(Id(if number == 0 { TENANT } else { id }))
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
