//! Compares the rows of a log's associations with the cluster's: what shipping has missed, whatever the reason.
//!
//! What the cluster lacks is put there. What only the cluster has, this node has lost: it is marked, and never taken away.

use std::collections::BTreeMap;

use filegrid_meta::nodes::{Digest, Digester, Span, behind};
use filegrid_meta::store::{Lost, LostMark};
use filegrid_tree::{DirId, Op, Row, TreeError, View};
use uuid::Uuid;

use super::walk::Walk;
use crate::limits::{COMPARE_ROWS, COMPARE_RUN_ROWS};

/// A round through all rows of a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    /// What is still to be walked.
    associations: Vec<[u8; 16]>,
    walk: Option<Walk>,
}

/// A run of rows, and what it is here.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) association: [u8; 16],
    /// Path of the directory; `None` for the row of the root.
    pub(super) path: Option<String>,
    pub(super) span: Span,
    pub(super) digest: Digest,
}

impl Round {
    pub(super) fn through(associations: Vec<[u8; 16]>) -> Self {
        Self {
            associations,
            walk: None,
        }
    }

    /// Whether all was walked.
    pub(super) fn is_over(&self) -> bool {
        self.associations.is_empty() && self.walk.is_none()
    }

    /// The next runs; none at the end of the round.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub(super) fn next(&mut self, view: &dyn View) -> Result<Vec<Run>, TreeError> {
        let (mut runs, mut rows) = (Vec::new(), 0);
        // A run without rows costs as much as a row.
        while rows + runs.len() < COMPARE_ROWS {
            let Some(walk) = self.walk.as_mut() else {
                match self.associations.pop() {
                    Some(association) => self.walk = Some(Walk::new(association)),
                    None => break,
                }
                continue;
            };
            let path = walk.path();
            let mut digester = Digester::default();
            let span = walk.next(view, COMPARE_RUN_ROWS, &mut |_, name, row| {
                rows += 1;
                digester.add(name, row);
                Ok(())
            })?;
            match span {
                Some(span) => runs.push(Run {
                    association: walk.association(),
                    path,
                    span,
                    digest: digester.done(),
                }),
                None => self.walk = None,
            }
        }
        Ok(runs)
    }
}

/// How some rows differ.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// What the cluster lacks.
    pub(super) put: Vec<Op>,
    /// What this node has lost.
    pub(super) lost: Vec<Lost>,
}

/// Whose rows are compared.
pub(super) struct Whose<'p> {
    pub(super) node: u64,
    pub(super) association: [u8; 16],
    /// Path of the directory; `None` for the row of the root.
    pub(super) path: Option<&'p str>,
}

/// How the rows of a directory here and in the cluster differ.
///
/// # Errors
///
/// If a row cannot be read.
pub(super) fn differences(
    whose: &Whose<'_>,
    directory: DirId,
    mut ours: BTreeMap<String, Vec<u8>>,
    theirs: Vec<(String, Vec<u8>)>,
) -> Result<Differences, TreeError> {
    let mut found = Differences::default();
    for (name, their_row) in theirs {
        let mark = || LostMark {
            association: Uuid::from_bytes(whose.association),
            node: whose.node,
            path: whose.path_of(&name),
        };
        let Some(our_row) = ours.remove(&name) else {
            found.lost.push(Lost::new(directory, &name, mark()));
            continue;
        };
        if our_row == their_row {
            continue;
        }
        let (ours, theirs) = (Row::decode(&our_row)?, Row::decode(&their_row)?);
        if let Row::Dir(gone) = theirs
            && !matches!(&ours, Row::Dir(dir) if dir.id == gone.id)
        {
            // Its name is taken by another: what it holds is found by its id only.
            found.lost.push(Lost::new(gone.id, "", mark()));
        }
        found.put.push(Op::put(directory, &name, ours));
    }
    for (name, row) in ours {
        found.put.push(Op::put(directory, &name, Row::decode(&row)?));
    }
    Ok(found)
}

impl Whose<'_> {
    fn path_of(&self, name: &str) -> String {
        match self.path {
            Some(above) => format!("{above}/{name}"),
            None => "/".to_owned(),
        }
    }
}

/// The part of a run that a page of the cluster's rows is of, and what follows it.
pub(super) fn split(span: Span, last: Option<&str>) -> (Span, Option<Span>) {
    let Some(last) = last else { return (span, None) };
    let rest = Span {
        from: behind(last),
        ..span.clone()
    };
    let part = Span {
        to: Some(behind(last)),
        ..span
    };
    (part, Some(rest))
}

#[cfg(test)]
mod tests {
    use filegrid_tree::Id;
    use proptest::prelude::*;

    use super::*;
    use crate::feed::samples::{self, file};

    const DIRECTORY: DirId = Id([1; 16]);
    const WHOSE: Whose<'_> = Whose {
        node: 3,
        association: [9; 16],
        path: Some("/above"),
    };

    fn directory(id: u8) -> Row {
        samples::directory(Id([id; 16]))
    }

    fn row() -> impl Strategy<Value = Vec<u8>> {
        let row = prop_oneof![(0..3_u64).prop_map(file), (1..3_u8).prop_map(directory)];
        row.prop_map(|row| row.encode())
    }

    fn rows() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
        prop::collection::btree_map("[a-d]{1,2}", row(), 0..12)
    }

    proptest! {
        #[test]
        fn the_cluster_gets_what_it_lacks_and_what_only_it_has_is_marked(ours in rows(), theirs in rows()) {
            let sent = theirs.clone().into_iter().collect();
            let found = differences(&WHOSE, DIRECTORY, ours.clone(), sent).unwrap();
            let mut after = theirs.clone();
            for op in &found.put {
                let Op::Put { directory, name, row, .. } = op else { panic!("{op:?}") };
                prop_assert_eq!(*directory, DIRECTORY);
                prop_assert_ne!(theirs.get(name), Some(&row.encode()), "{} was right", name);
                after.insert(name.clone(), row.encode());
            }
            let only_theirs: Vec<_> = theirs.keys().filter(|name| !ours.contains_key(*name)).cloned().collect();
            let lost: Vec<_> = found.lost.iter().filter(|lost| !lost.name.is_empty()).collect();
            prop_assert_eq!(lost.iter().map(|lost| lost.name.clone()).collect::<Vec<_>>(), only_theirs.clone());
            for lost in lost {
                prop_assert_eq!(&lost.mark.path, &format!("/above/{}", lost.name));
            }
            after.retain(|name, _| !only_theirs.contains(name));
            prop_assert_eq!(after, ours);
        }
    }

    #[test]
    fn a_directory_whose_name_another_has_taken_is_lost_by_its_id() {
        for other in [directory(2), file(1)] {
            let ours = BTreeMap::from([("x".to_owned(), other.encode())]);
            let theirs = vec![("x".to_owned(), directory(5).encode())];
            let found = differences(&WHOSE, DIRECTORY, ours, theirs).unwrap();
            assert_eq!(found.put.len(), 1);
            let [lost] = found.lost.as_slice() else {
                panic!("{:?}", found.lost)
            };
            assert_eq!(
                (lost.directory, lost.name.as_str()),
                (Uuid::from_bytes([5; 16]), "")
            );
        }
        // The same directory at another time is that directory.
        let mut changed = directory(5);
        if let Row::Dir(row) = &mut changed {
            row.mtime = 2;
        }
        let ours = BTreeMap::from([("x".to_owned(), changed.encode())]);
        let theirs = vec![("x".to_owned(), directory(5).encode())];
        let found = differences(&WHOSE, DIRECTORY, ours, theirs).unwrap();
        assert_eq!((found.put.len(), found.lost.len()), (1, 0));
    }
}
