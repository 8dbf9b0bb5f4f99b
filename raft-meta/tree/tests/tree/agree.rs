//! What the tree says about every path, beside what the model says.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use filegrid_tree::{Extent, FileRow, Row, TreePath, View, list_dir, lookup, walk};

use crate::model::{Entry, File, Model};
use crate::plan::Place;
use crate::rows::Rows;
use crate::twin::{ASSOCIATIONS, Twin};

/// Stands for the SHA-256 of a content.
pub(crate) fn sum_of(extents: &[Extent]) -> [u8; 32] {
    let mut sum = [7_u8; 32];
    for extent in extents {
        sum.rotate_left(5);
        for (byte, more) in sum.iter_mut().zip(extent.blob.0) {
            *byte = byte.wrapping_mul(3) ^ more;
        }
    }
    sum
}

pub(crate) fn agree(twin: &Twin) {
    twin.rows.check();
    twin.ahead.check();
    versions(&twin.ahead);
    for (model, association) in twin.models.iter().zip(ASSOCIATIONS) {
        for path in model.paths() {
            let expected = model.entries.get(path.components());
            for (seen, how) in [
                (&twin.ahead as &dyn View, "applied"),
                (&twin.overlay.over(&twin.rows), "queued"),
            ] {
                let found = lookup(seen, association, &path).unwrap();
                assert_eq!(
                    found.as_ref().map(shown),
                    expected.cloned().map(plain),
                    "{path} {how}"
                );
            }
        }
        lists(&twin.ahead, association, model);
        walks(&twin.ahead, association, model);
    }
}

/// The row as an entry without an identity.
fn shown(row: &Row) -> Entry {
    match row {
        Row::Dir(row) => Entry {
            ident: 0,
            created_at: row.created_at,
            updated_at: row.updated_at,
            mtime: row.mtime,
            protocol: row.protocol,
            file: None,
        },
        Row::File(row) => Entry {
            ident: 0,
            created_at: row.created_at,
            updated_at: row.updated_at,
            mtime: row.mtime,
            protocol: row.protocol,
            file: Some(File {
                version: row.version,
                size: row.size,
                crc32: row.crc32,
                sha256: row.sha256,
                extents: row.extents.clone(),
            }),
        },
    }
}

fn plain(entry: Entry) -> Entry {
    Entry { ident: 0, ..entry }
}

/// No two contents of an association have one version, and no sum is another content's.
fn versions(rows: &Rows) {
    let mut seen = BTreeSet::new();
    for (_, name, row) in rows.rows() {
        if let Row::File(FileRow {
            version,
            sha256,
            extents,
            ..
        }) = row
        {
            assert!(
                seen.insert(version),
                "{name} shares version {version} with another file"
            );
            assert!(
                sha256.is_none_or(|sha256| sha256 == sum_of(&extents)),
                "sum of {name}"
            );
        }
    }
}

fn lists(rows: &Rows, association: [u8; 16], model: &Model) {
    for (names, entry) in model.entries.iter().filter(|(_, entry)| entry.file.is_none()) {
        let path = path(names);
        let Some(Row::Dir(row)) = lookup(rows, association, &path).unwrap() else {
            panic!("{path} is no directory: {entry:?}");
        };
        let below: Vec<_> = model
            .entries
            .iter()
            .filter(|(child, _)| child.len() == names.len() + 1 && child.starts_with(names))
            .map(|(child, entry)| (child[names.len()].clone(), entry.file.is_none()))
            .collect();
        for after in [None, Some("a"), Some("a!"), Some("zz")] {
            let mut listed = Vec::new();
            list_dir(rows, row.id, after, &mut |name, row| {
                listed.push((name.to_owned(), row.is_dir()));
                ControlFlow::Continue(())
            })
            .unwrap();
            let behind = below.iter().filter(|(name, _)| Some(name.as_str()) > after);
            assert_eq!(
                listed,
                behind.cloned().collect::<Vec<_>>(),
                "{path} after {after:?}"
            );
        }
    }
}

/// From everything that is there, behind everything that is there or could be, in pages of every size.
fn walks(rows: &Rows, association: [u8; 16], model: &Model) {
    let cursors: Vec<_> = std::iter::once(None)
        .chain(model.paths().into_iter().map(Some))
        .collect();
    let tops: Vec<_> = model.entries.keys().map(|names| path(names)).collect();
    // All cursors for the root; for what is below each cursor is tried on some.
    for (at, after) in cursors.iter().enumerate() {
        let root = TreePath::root();
        let chosen = tops.iter().skip(at % 3).step_by(3).chain([&root]);
        for top in chosen {
            let (found, walked) = pages(rows, association, top, after.as_ref(), 1 + at % 5);
            assert_eq!(found, model.entries.contains_key(top.components()));
            let expected: Vec<_> = model
                .entries
                .iter()
                .filter(|(names, _)| names.starts_with(top.components()))
                .filter(|(names, _)| {
                    after.as_ref().is_none_or(|after| {
                        after.strip_prefix(top).is_some() && names.as_slice() > after.components()
                    })
                })
                .map(|(names, entry)| (path(names).to_string(), entry.file.as_ref().map(|file| file.size)))
                .collect();
            assert_eq!(walked, expected, "{top} after {after:?}");
        }
    }
}

type Walked = Vec<(String, Option<u64>)>;

fn pages(
    rows: &Rows,
    association: [u8; 16],
    top: &TreePath,
    after: Option<&TreePath>,
    page: usize,
) -> (bool, Walked) {
    let (mut walked, mut after) = (Walked::new(), after.cloned());
    loop {
        let begun = walked.len();
        let found = walk(rows, association, top, after.as_ref(), &mut |path, row| {
            walked.push((path.to_owned(), (!row.is_dir()).then(|| row.size())));
            match walked.len() - begun == page {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .unwrap();
        assert!(walked.len() - begun <= page, "the walk goes on after a break");
        assert!(walked.len() <= rows.keys.len(), "the walk goes round");
        match walked.last() {
            Some((last, _)) if walked.len() - begun == page => after = Some(TreePath::parse(last).unwrap()),
            _ => return (found, walked),
        }
    }
}

fn path(names: &[String]) -> TreePath {
    TreePath::parse(&names.join("/")).unwrap()
}

impl Model {
    /// Every path that is there, and some that are not: beside and below each.
    pub(crate) fn paths(&self) -> Vec<TreePath> {
        let mut paths = BTreeSet::from([TreePath::root()]);
        for names in self.entries.keys() {
            let path = path(names);
            let below = |name: &str| path.join(&TreePath::parse(name).unwrap());
            paths.extend([below("a"), below("zz")]);
            if let (Some(above), Some(name)) = (path.parent(), path.name()) {
                paths.insert(above.join(&TreePath::parse(&format!("{name}!")).unwrap()));
            }
            paths.insert(path);
        }
        paths.into_iter().collect()
    }

    /// Where a step happens.
    pub(crate) fn place(&self, place: &Place) -> TreePath {
        match place {
            Place::Named(path) => path.clone(),
            Place::There(at) => path(self.nth(*at, |names, _| !names.is_empty())),
            Place::In(at, name) => {
                let above = path(self.nth(*at, |_, entry| entry.file.is_none()));
                above.join(&TreePath::parse(name).unwrap())
            }
        }
    }

    /// One of the paths that are there and wanted; the root if there are none.
    fn nth(&self, at: usize, wanted: impl Fn(&[String], &Entry) -> bool) -> &[String] {
        let all: Vec<_> = self
            .entries
            .iter()
            .filter(|(names, entry)| wanted(names, entry))
            .collect();
        all.get(at % all.len().max(1)).map_or(&[], |(names, _)| names)
    }

    /// Learns the versions that the tree has given to new contents, each higher than all before; says the highest.
    pub(crate) fn learn(&mut self, rows: &Rows, association: [u8; 16], before: u64) -> u64 {
        let mut highest = before;
        for (names, entry) in &mut self.entries {
            let Some(file) = entry.file.as_mut().filter(|file| file.version == 0) else {
                continue;
            };
            let Some(Row::File(row)) = lookup(rows, association, &path(names)).unwrap() else {
                panic!("{names:?} is a file");
            };
            assert!(row.version > before, "{names:?} is new and has an old version");
            file.version = row.version;
            highest = highest.max(row.version);
        }
        highest
    }
}
