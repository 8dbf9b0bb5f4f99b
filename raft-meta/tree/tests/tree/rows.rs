//! Rows in memory, with the references of blobs counted strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use filegrid_tree::{
    BlobId, Command, DirId, Id, IdMaker, Protocol, ROOTS, Row, Sink, Stamp, View, ViewError, Visit, apply,
    keys, resolve,
};

/// Rows, and which of them refers to which blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) links: BTreeSet<(BlobId, DirId, String)>,
}

impl View for Rows {
    fn get(&self, key: &[u8], with: &mut dyn FnMut(&[u8])) -> Result<bool, ViewError> {
        Ok(self.keys.get(key).map(|row| with(row)).is_some())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), ViewError> {
        for (key, value) in self.keys.range(from.to_vec()..to.to_vec()) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Sink for Rows {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.keys.insert(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.keys.remove(&key);
    }

    fn blob_linked(&mut self, blob: BlobId, directory: DirId, name: &str) {
        let fresh = self.links.insert((blob, directory, name.to_owned()));
        assert!(fresh, "blob {blob} is linked twice to {name}");
    }

    fn blob_released(&mut self, blob: BlobId, directory: DirId, name: &str) {
        let held = self.links.remove(&(blob, directory, name.to_owned()));
        assert!(held, "blob {blob} is released and was not linked to {name}");
    }
}

impl Rows {
    /// The keys with a prefix, without it.
    pub(crate) fn with_prefix(&self, prefix: u8) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let of_prefix = self.keys.iter().filter(|(key, _)| key[0] == prefix);
        of_prefix
            .map(|(key, value)| (key[1..].to_vec(), value.clone()))
            .collect()
    }

    /// The rows as they are keyed: directory, name, row.
    pub(crate) fn rows(&self) -> Vec<(DirId, String, Row)> {
        let of_tree = self.keys.iter().filter(|(key, _)| key[0] == b't');
        of_tree
            .map(|(key, value)| {
                let (directory, name) = keys::split(key).unwrap();
                (directory, name.to_owned(), Row::decode(value).unwrap())
            })
            .collect()
    }

    /// Whether every key is one that the rows call for, and the other way round; whether each blob is linked exactly
    /// to the rows that refer to it.
    pub(crate) fn check(&self) {
        let rows = self.rows();
        let (mut links, mut unsummed, mut places) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut directories = BTreeSet::from([ROOTS]);
        for (directory, name, row) in &rows {
            let key = [&directory.0[..], name.as_bytes()].concat();
            links.extend(
                row.blobs()
                    .into_iter()
                    .map(|blob| (blob, *directory, name.clone())),
            );
            match row {
                Row::Dir(row) => {
                    assert!(
                        directories.insert(row.id),
                        "{} is the id of two directories",
                        row.id
                    );
                    places.insert(row.id, key);
                }
                Row::File(row) if row.sha256.is_none() => {
                    unsummed.insert(key, row.version.to_le_bytes().to_vec());
                }
                Row::File(_) => {}
            }
        }
        assert_eq!(self.links, links, "links of blobs");
        assert_eq!(self.with_prefix(b'x'), unsummed, "files without a sum");
        let detached: BTreeSet<_> = self.with_prefix(b'q').into_keys().map(id).collect();
        for (directory, place) in self.with_prefix(b'd') {
            let directory = id(directory);
            match places.remove(&directory) {
                Some(expected) => assert_eq!(place, expected, "place of {directory}"),
                None => assert!(
                    detached.contains(&directory),
                    "{directory} has a place and no row"
                ),
            }
        }
        assert!(places.is_empty(), "directories without a place: {places:?}");
        for (directory, name, _) in &rows {
            let held = directories.contains(directory) || detached.contains(directory);
            assert!(held, "{name} in {directory} cannot be reached");
        }
    }
}

fn id(bytes: Vec<u8>) -> Id {
    Id(bytes.try_into().unwrap())
}

/// Whose rows they are, where there is one association.
pub(crate) const ASSOCIATION: [u8; 16] = [1; 16];

/// Resolves and applies a command of [`ASSOCIATION`].
pub(crate) fn run(rows: &mut Rows, ids: &mut IdMaker, command: &Command) {
    let stamp = Stamp {
        now_ms: 1,
        version: 1,
        protocol: Protocol::Api,
    };
    let resolved = resolve(rows, ASSOCIATION, stamp, ids, command).unwrap();
    apply(&resolved.change, rows).unwrap();
}
