//! What a node has on its disk: logs of changes, and the rows that they make. All of it is durable.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use filegrid_journal::sim::Random;
use filegrid_tree::{
    Base, BlobId, Change, Command, DirId, FileContent, IdMaker, Op, Protocol, Publication, RowRef, Sink,
    Stamp, TreePath, View, ViewError, Visit, apply, purge_step, resolve,
};

/// Rows by their keys, as the trees of node and cluster keep them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rows(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

impl View for Rows {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        Ok(self.0.get(key).map(|row| with(row)).is_some())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Sink for Rows {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.remove(&key);
    }

    fn blob_linked(&mut self, _: BlobId, _: DirId, _: &str) {}

    fn blob_released(&mut self, _: BlobId, _: DirId, _: &str) {}
}

/// A log, and the tree of the one association that is in it.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) association: [u8; 16],
    pub(super) rows: Rows,
    /// Sequence of the last change that is not kept any more.
    given_up: u64,
    changes: VecDeque<Vec<u8>>,
    version: u64,
}

/// The disk.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) logs: Vec<Log>,
    /// Whether the cluster has ever let the node in. Before that it takes nothing.
    pub(super) is_known: bool,
    pub(super) starts: u32,
    /// Lives of the node, also those that an older disk knows nothing of: names that are made in one are made in no other.
    pub(super) lives: u32,
    /// Number of the last start that the cluster has let in, as this disk knows it.
    pub(super) epoch: u64,
}

impl Disk {
    /// A fresh one, with a log for each association.
    pub(super) fn new(associations: &[[u8; 16]]) -> Self {
        let log = |association: &[u8; 16]| Log {
            association: *association,
            rows: Rows::default(),
            given_up: 0,
            changes: VecDeque::new(),
            version: 0,
        };
        Self {
            logs: associations.iter().map(log).collect(),
            is_known: false,
            starts: 0,
            lives: 0,
            epoch: 0,
        }
    }
}

impl Log {
    /// Sequence of the last change.
    pub(super) fn applied(&self) -> u64 {
        self.given_up + self.changes.len() as u64
    }

    /// Changes behind a sequence, at most so many; none if those are not kept any more.
    pub(super) fn after(&self, sequence: u64, most: usize) -> Vec<Vec<u8>> {
        let Some(from) = sequence.checked_sub(self.given_up) else {
            return Vec::new();
        };
        let from = usize::try_from(from).unwrap();
        self.changes.iter().skip(from).take(most).cloned().collect()
    }

    /// Gives up changes up to a sequence.
    pub(super) fn give_up(&mut self, sequence: u64) {
        while self.given_up < sequence && self.changes.pop_front().is_some() {
            self.given_up += 1;
        }
    }

    fn push(&mut self, change: &Change) {
        apply(change, &mut self.rows).unwrap();
        self.changes.push_back(change.encode());
    }

    /// Does what a client wants, if the tree allows it; says whether anything happened.
    pub(super) fn change(&mut self, ids: &mut IdMaker, command: &Command) -> bool {
        let stamp = Stamp {
            now_ms: i64::try_from(self.applied()).unwrap(),
            version: self.version + 1,
            protocol: Protocol::Api,
        };
        let Ok(resolved) = resolve(&self.rows, self.association, stamp, ids, command) else {
            return false;
        };
        self.version += 10;
        let happens = !resolved.change.ops.is_empty();
        if happens {
            self.push(&resolved.change);
        }
        happens
    }

    /// Whether a file of a size is there.
    pub(super) fn has(&self, size: u64) -> bool {
        let (from, to) = filegrid_tree::keys::all(b't');
        let mut rows = self.rows.0.range(from..to);
        rows.any(|(_, row)| RowRef::new(row).unwrap().size() == size)
    }

    /// Takes away some of what was deleted.
    pub(super) fn purge(&mut self) {
        if let Some((association, op)) = purge_step(&self.rows, 3, &|_| true).unwrap() {
            self.push(&putting(association, vec![op]));
        }
    }
}

/// A change without a time of its own.
pub(super) fn putting(association: [u8; 16], ops: Vec<Op>) -> Change {
    Change {
        association,
        time: 0,
        protocol: Protocol::Api,
        ops,
    }
}

/// Publishes a file that its size tells from all others.
fn publish(path: &str, size: u64) -> Command {
    let file = Publication {
        path: TreePath::parse(path).unwrap(),
        content: FileContent {
            extents: Vec::new(),
            size,
            crc32: 0,
            sha256: None,
        },
        base: Base::Any,
        mtime: None,
    };
    Command::Publish {
        files: vec![file],
        make_parents: true,
    }
}

/// A file that is kept, in a directory that no other life makes: whoever has lost one and makes another of its name hides
/// what was in the first.
pub(super) fn keep(random: &mut Random, life: u32, size: u64) -> Command {
    publish(&format!("/kept-{life}-{}/{size}", random.below(6)), size)
}

/// What a client does that nobody counts: files that are replaced and deleted, directories that move.
pub(super) fn noise(random: &mut Random, life: u32, size: u64) -> Command {
    let path = |text: String| TreePath::parse(&text).unwrap();
    let (one, other) = (random.below(6), random.below(6));
    match random.below(5) {
        0 => publish(&format!("/replaced-{one}"), size),
        1 => publish(&format!("/scratch-{one}/f{other}/g"), size),
        2 => Command::Delete {
            paths: vec![
                path(format!("/scratch-{one}")),
                path(format!("/replaced-{other}")),
            ],
            root: path("/".to_owned()),
        },
        3 => Command::Move {
            moves: vec![(
                path(format!("/kept-{life}-{one}")),
                path(format!("/moved-{size}")),
            )],
            replace: false,
        },
        _ => Command::MakeDir {
            path: path(format!("/empty-{one}/{other}")),
            parents: true,
            existing_ok: true,
        },
    }
}
