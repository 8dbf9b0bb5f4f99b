//! What is known of a directory that one client changes: all that it may hold now.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::rc::Rc;

use filegrid_tree::{RowRef, TreePath, View, walk};

use crate::disk::sim::Random;
use crate::limits::INLINE_MAX_BYTES;

/// The bytes of a file.
#[derive(PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) crc32: u32,
    /// Whether the disk holds other bytes by now.
    pub(super) damaged: Cell<bool>,
}

impl Body {
    pub(super) fn new(bytes: Vec<u8>) -> Rc<Self> {
        let crc32 = crc32fast::hash(&bytes);
        Rc::new(Self {
            bytes,
            crc32,
            damaged: Cell::new(false),
        })
    }

    /// Mostly a small one, at times one that becomes a file, seldom an empty one.
    pub(super) fn random(random: &mut Random) -> Rc<Self> {
        let length = match random.below(30) {
            0 => 0,
            // The scrub looks at no smaller ones.
            1 => INLINE_MAX_BYTES as u64 + 1 + random.below(20_000),
            2..=4 => random.below(LARGE_BYTES),
            _ => random.below(2000),
        };
        Self::new(random.bytes(usize::try_from(length).unwrap()))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {:08x}", self.bytes.len(), self.crc32)
    }
}

/// Beyond this the simulation makes a blob a file of its own.
pub(super) const LARGE_BYTES: u64 = 20_000;

/// What a client asks for, by path.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish(Vec<(String, Rc<Body>)>),
    Move {
        moves: Vec<(String, String)>,
        replace: bool,
    },
    Delete(Vec<String>),
}

/// A directory, and all that is below it, by full path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) dirs: BTreeSet<String>,
    pub(super) files: BTreeMap<String, Rc<Body>>,
}

impl Contents {
    /// What a step makes of it; `None` if the tree has to refuse it.
    pub(super) fn after(&self, step: &Step) -> Option<Self> {
        let mut after = self.clone();
        match step {
            Step::Publish(files) => {
                let last: BTreeMap<_, _> = files.iter().map(|(path, body)| (path, body)).collect();
                for (path, body) in last {
                    after.make_parents(path)?;
                    if after.dirs.contains(path) {
                        return None;
                    }
                    after.files.insert(path.clone(), Rc::clone(body));
                }
            }
            Step::Move { moves, replace } => {
                for (from, to) in moves {
                    after.move_one(from, to, *replace)?;
                }
            }
            Step::Delete(paths) => paths.iter().for_each(|path| after.delete(path)),
        }
        Some(after)
    }

    fn make_parents(&mut self, path: &str) -> Option<()> {
        let above = parent(path);
        if above.is_empty() {
            return Some(());
        }
        self.make_parents(above)?;
        if self.files.contains_key(above) {
            return None;
        }
        self.dirs.insert(above.to_owned());
        Some(())
    }

    fn move_one(&mut self, from: &str, to: &str, replace: bool) -> Option<()> {
        if let Some(body) = self.files.get(from).cloned() {
            if !self.dirs.contains(parent(to)) || self.dirs.contains(to) {
                return None;
            }
            if self.files.contains_key(to) && !replace {
                return None;
            }
            self.files.remove(from);
            self.files.insert(to.to_owned(), body);
            return Some(());
        }
        let into_itself = to == from || to.starts_with(&format!("{from}/"));
        let taken = self.dirs.contains(to) || self.files.contains_key(to);
        if !self.dirs.contains(from) || !self.dirs.contains(parent(to)) || into_itself || taken {
            return None;
        }
        let renamed = |path: &String| match path.strip_prefix(from) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
            _ => path.clone(),
        };
        self.dirs = self.dirs.iter().map(renamed).collect();
        let files = self.files.iter();
        self.files = files
            .map(|(path, body)| (renamed(path), Rc::clone(body)))
            .collect();
        Some(())
    }

    fn delete(&mut self, path: &str) {
        let below = format!("{path}/");
        let stays = |held: &str| held != path && !held.starts_with(&below);
        self.dirs.retain(|held| stays(held));
        self.files.retain(|held, _| stays(held));
    }

    /// Whether it is what a view shows; `found` as [`shown`] gives it.
    pub(super) fn is(&self, found: &BTreeMap<String, Shown>) -> bool {
        let files = self.files.iter().map(|(path, body)| {
            let row = (body.bytes.len() as u64, body.crc32);
            (path, Some(row))
        });
        let mut expected: BTreeMap<_, _> = files.collect();
        expected.extend(self.dirs.iter().map(|path| (path, None)));
        expected
            .into_iter()
            .eq(found.iter().map(|(path, row)| (path, *row)))
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// Size and CRC32 of a file; `None` for a directory.
pub(super) type Shown = Option<(u64, u32)>;

/// Everything at and below a path in one view of the tree.
pub(super) fn shown(view: &dyn View, association: [u8; 16], path: &TreePath) -> BTreeMap<String, Shown> {
    let mut found = BTreeMap::new();
    walk(view, association, path, None, &mut |path, row| {
        let row = match row {
            RowRef::File(file) => Some((file.size.to_native(), file.crc32.to_native())),
            RowRef::Dir(_) => None,
        };
        assert!(
            found.insert(path.to_owned(), row).is_none(),
            "{path} is shown twice"
        );
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// What a directory held from one of its changes on.
pub(super) struct Held {
    /// Sequences that the change may have: of one that was not acknowledged but seen to have happened, several.
    pub(super) sequences: RangeInclusive<u64>,
    pub(super) contents: Contents,
}

impl Held {
    pub(super) fn since(sequence: u64, contents: Contents) -> Self {
        Self {
            sequences: sequence..=sequence,
            contents,
        }
    }
}

/// A directory that one client changes.
pub(super) struct Group {
    pub(super) association: [u8; 16],
    /// The log that owns it.
    pub(super) log: u8,
    /// Its path.
    pub(super) path: String,
    /// What it held after each of its changes.
    pub(super) history: Vec<Held>,
    /// What it holds if a change has happened whose outcome is unknown.
    pub(super) pending: Option<Contents>,
}

pub(super) type SharedGroup = Rc<RefCell<Group>>;

impl Group {
    pub(super) fn new(association: [u8; 16], log: u8, path: &str) -> SharedGroup {
        Rc::new(RefCell::new(Self {
            association,
            log,
            path: path.to_owned(),
            history: vec![Held::since(0, Contents::default())],
            pending: None,
        }))
    }

    pub(super) fn tree_path(&self) -> TreePath {
        TreePath::parse(&self.path).unwrap()
    }

    pub(super) fn acknowledged(&self) -> &Contents {
        &self.history.last().unwrap().contents
    }

    /// The highest sequence that its last change may have.
    fn last(&self) -> u64 {
        *self.history.last().unwrap().sequences.end()
    }

    /// What it may hold at this moment.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Contents> {
        std::iter::once(self.acknowledged()).chain(&self.pending)
    }

    /// Notes that the step that is pending was acknowledged as a change.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        if let Some(contents) = self.pending.take() {
            let before = self.last();
            assert!(
                sequence > before,
                "{}: change {sequence} was acknowledged behind change {before}",
                self.path
            );
            self.history.push(Held::since(sequence, contents));
        }
    }

    /// What the view shows is one of what it may hold: whole, or not at all.
    pub(super) fn check(&self, view: &dyn View) {
        let found = shown(view, self.association, &self.tree_path());
        assert!(
            self.candidates().any(|contents| contents.is(&found)),
            "{} holds {found:?}\nbut may only hold {:?}",
            self.path,
            self.candidates().collect::<Vec<_>>()
        );
    }

    /// Takes what a view shows for what it holds from change `end` on: nothing is under way.
    pub(super) fn decide(&mut self, view: &dyn View, end: u64) {
        self.check(view);
        let found = shown(view, self.association, &self.tree_path());
        if let Some(contents) = self.pending.take().filter(|contents| contents.is(&found)) {
            let sequences = self.last() + 1..=end;
            self.history.push(Held { sequences, contents });
        }
    }

    /// Takes what was found after a start for what it holds, if it may be. `end` is the last change of the log; with
    /// `may_lose` changes behind it may be gone although they were acknowledged. Says whether some are.
    pub(super) fn recovered(&mut self, view: &dyn View, end: u64, may_lose: bool) -> bool {
        let last = self.last();
        let kept = self.history.partition_point(|held| *held.sequences.end() <= end);
        let lost = kept < self.history.len();
        assert!(
            may_lose || !lost,
            "{}: change {last} was acknowledged, but the log ends at {end}",
            self.path
        );
        if lost {
            // A change that was seen to have happened may be of those that are kept.
            let next = self.history.drain(kept..).next();
            let next = next.filter(|held| *held.sequences.start() <= end);
            self.pending = next.map(|held| held.contents);
        }
        self.decide(view, end);
        let held = self.history.pop().map(|held| Held::since(0, held.contents));
        self.history = held.into_iter().collect();
        lost
    }
}
