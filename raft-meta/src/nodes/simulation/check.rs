//! What has to be so in the end: the tree of the cluster is the union of the trees of the nodes, and what a node has lost,
//! which is marked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use filegrid_tree::{DirId, ROOTS, RowRef, View, keys, root_name};

use super::compare::directories;
use super::disk::{Log, Rows};
use super::node::{LOGS, Node, Place};
use crate::nodes::Span;
use crate::store::Store;

/// Every row of a store.
pub(super) fn rows(view: &dyn View) -> Rows {
    let mut rows = Rows::default();
    let each = &mut |key: &[u8], value: &[u8]| {
        rows.0.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    view.scan(&[], &[0xff], each).unwrap();
    rows
}

/// The rows of a log that can be reached from its association's root.
fn shown(log: &Log) -> Rows {
    let mut rows = Rows::default();
    for (_, run) in directories(&log.rows, log.association) {
        let each = &mut |name: &str, row: &[u8]| {
            rows.0.insert(keys::row(run.directory, name), row.to_vec());
            ControlFlow::Continue(())
        };
        run.each(&log.rows, each).unwrap();
    }
    rows
}

/// What the cluster shows of an association.
struct Walk<'c> {
    cluster: &'c Rows,
    /// What the node's tree shows: not what was deleted there and waits to be purged.
    node: &'c Rows,
    marks: BTreeSet<(DirId, String)>,
    /// When the directories were made that names lead to: one that was moved may have two, where one is lost.
    found: BTreeMap<DirId, i64>,
    /// Sizes of files, by whether the node has them.
    here: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    seen: usize,
}

impl Walk<'_> {
    /// Goes through a run; `is_lost` if all of it is marked by a directory above.
    fn run(&mut self, span: &Span, is_lost: bool) {
        let mut below = Vec::new();
        let cluster = self.cluster;
        let each = &mut |name: &str, row: &[u8]| {
            let read = RowRef::new(row).unwrap();
            let own = self.node.0.get(&keys::row(span.directory, name));
            let is_here = own.is_some();
            if let Some(own) = own {
                assert_eq!(own, row, "{:?} {name}: {:?}", span.directory, read.to_row());
                self.seen += 1;
            } else {
                let mut marks = [name, ""]
                    .map(|name| (span.directory, name.to_owned()))
                    .into_iter();
                let is_marked = is_lost || marks.any(|mark| self.marks.contains(&mark));
                assert!(
                    is_marked,
                    "only the cluster has {name}, and it is not marked: {:?}",
                    read.to_row()
                );
            }
            match read.directory() {
                Some(directory) => {
                    let made = *self.found.entry(directory).or_insert(read.created_at());
                    assert_eq!(made, read.created_at(), "{directory:?} is two directories");
                    below.push((directory, !is_here));
                }
                None if is_here => drop(self.here.insert(read.size())),
                None => drop(self.lost.insert(read.size())),
            }
            ControlFlow::Continue(())
        };
        span.each(cluster, each).unwrap();
        for (directory, is_lost) in below {
            let (from, to) = (String::new(), None);
            self.run(&Span { directory, from, to }, is_lost);
        }
    }
}

/// Files that were acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// All of them.
    pub(super) kept: usize,
    /// Those that a node has lost and the cluster has, marked.
    pub(super) lost: usize,
}

/// Demands of a node and a member's store what has to be so, and counts what there was to be looked for.
pub(super) fn check(node: &Node, store: &Store) -> Counted {
    let cluster = rows(&store.view());
    let (from, to) = keys::all(b'l');
    let marked = cluster.0.range(from..to);
    let marks: BTreeSet<_> = marked
        .map(|(key, _)| keys::split(key).unwrap())
        .map(|(directory, name)| (directory, name.to_owned()))
        .collect();
    let disk = node.disk.borrow();
    for log in 0..LOGS {
        let of = &disk.logs[usize::from(log)];
        let producer = store.producer(node.id, log).unwrap();
        assert_eq!((producer.applied, producer.rejected), (of.applied(), 0));
        let own = shown(of);
        let mut walk = Walk {
            cluster: &cluster,
            node: &own,
            marks: marks.clone(),
            found: BTreeMap::new(),
            here: BTreeSet::new(),
            lost: BTreeSet::new(),
            seen: 0,
        };
        let root = Span::one(ROOTS, &root_name(&of.association));
        walk.run(&root, false);
        // Directories whose names others have again are found by their ids only.
        let hidden = marks.iter().filter(|(_, name)| name.is_empty());
        for (directory, from) in hidden.cloned() {
            walk.run(
                &Span {
                    directory,
                    from,
                    to: None,
                },
                true,
            );
        }
        assert!(
            walk.seen >= own.0.len(),
            "the cluster lacks rows of node {}",
            node.id
        );
        for kept in node.kept.borrow().iter().filter(|kept| kept.log == log) {
            match kept.place {
                Place::Everywhere => assert!(walk.here.contains(&kept.size), "{kept:?} is not there"),
                Place::Cluster => assert!(walk.lost.contains(&kept.size), "{kept:?} was dropped"),
                Place::Nowhere => {}
            }
        }
    }
    let kept = node.kept.borrow();
    Counted {
        kept: kept.len(),
        lost: kept.iter().filter(|kept| kept.place == Place::Cluster).count(),
    }
}
