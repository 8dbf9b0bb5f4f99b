//! What must hold of the rows and the files at any moment at which nothing is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use filegrid_tree::{BlobId, DirId, Id, ROOTS, Row, keys};

use super::life::LOGS;
use crate::disk::sim::SimDisk;
use crate::store::blob_row::{BlobRow, Whereabouts};
use crate::store::log::{Position, footprint};
use crate::store::log_of;
use crate::store::rows::{Map, ModelRows};

/// The rows agree with each other: every row hangs in an association or below a directory that is to be purged, every
/// blob has the references that the files make, and the live bytes of the segments are those of the blobs in them.
pub(super) fn audit(rows: &ModelRows) {
    let map = rows.dump();
    let owners = directories(&map);
    let mut references: BTreeMap<BlobId, BTreeSet<(DirId, String)>> = BTreeMap::new();
    let mut logs: BTreeMap<BlobId, u8> = BTreeMap::new();
    let mut unsummed = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (directory, name, row) in tree(&map) {
        let log = owners.get(&directory);
        let log = log.unwrap_or_else(|| panic!("{name} hangs in {directory}, which is nowhere"));
        match row {
            Row::File(file) => {
                for blob in Row::File(file.clone()).blobs() {
                    references
                        .entry(blob)
                        .or_default()
                        .insert((directory, name.clone()));
                    let other = logs.insert(blob, *log);
                    assert!(
                        other.is_none_or(|other| other == *log),
                        "{blob} is shared by two logs"
                    );
                }
                if file.sha256.is_none() {
                    unsummed.insert(keys::unsummed(directory, &name));
                }
            }
            Row::Dir(made) => drop(places.insert(keys::place(made.id))),
        }
    }
    let mut live: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut known = BTreeMap::new();
    for (key, value) in with_prefix(&map, b'b') {
        let blob = Id(key[1..].try_into().unwrap());
        let row = BlobRow::decode(value).unwrap();
        let count = row.references.len();
        let held: BTreeSet<_> = row.references.into_iter().collect();
        assert_eq!(held.len(), count, "{blob} is referred to twice by one row");
        if let (Whereabouts::Inline(place), Some(log)) = (row.place, logs.get(&blob)) {
            let mut key = vec![b's', *log];
            key.extend_from_slice(&place.segment.to_be_bytes());
            *live.entry(key).or_default() += footprint(place.length as usize) as u64;
        }
        known.insert(blob, held);
    }
    assert_eq!(known, references, "blobs and the files that refer to them");
    let counted = with_prefix(&map, b's')
        .map(|(key, value)| (key.to_vec(), u64::from_be_bytes(value.try_into().unwrap())));
    assert_eq!(
        counted.collect::<BTreeMap<_, _>>(),
        live,
        "live bytes of segments"
    );
    let waiting = with_prefix(&map, b'x').map(|(key, _)| key.to_vec());
    assert_eq!(waiting.collect::<BTreeSet<_>>(), unsummed, "files without a sum");
    // A directory that was taken out of the tree keeps its place until it is purged.
    let gone = with_prefix(&map, b'q').map(|(key, _)| keys::place(keys::split(key).unwrap().0));
    places.extend(gone);
    let held = with_prefix(&map, b'd').map(|(key, _)| key.to_vec());
    assert_eq!(held.collect::<BTreeSet<_>>(), places, "places of directories");
}

/// The large blobs that rows refer to.
pub(super) fn large_blobs(rows: &ModelRows) -> BTreeSet<String> {
    let map = rows.dump();
    let large = with_prefix(&map, b'b').filter(|(_, value)| {
        let row = BlobRow::decode(value).unwrap();
        row.place == Whereabouts::File
    });
    large
        .map(|(key, _)| Id(key[1..].try_into().unwrap()).to_string())
        .collect()
}

/// The large blobs whose files are in a directory of that name.
pub(super) fn blobs_in(disk: &SimDisk, directory: &str) -> BTreeSet<String> {
    let is_in = |path: &std::path::Path| path.components().any(|part| part.as_os_str() == directory);
    let files = disk.files(is_in).into_iter();
    files
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Directories that wait to be purged.
pub(super) fn detached(rows: &ModelRows) -> usize {
    with_prefix(&rows.dump(), b'q').count()
}

/// Segments of a log in which there are files.
pub(super) fn segments_in_use(rows: &ModelRows, log: u8) -> usize {
    let map = rows.dump();
    with_prefix(&map, b's').filter(|(key, _)| key[1] == log).count()
}

/// How far the tree has a log.
pub(super) fn noted(rows: &ModelRows, log: u8) -> Option<Position> {
    let map = rows.dump();
    let noted = map.get([b'a', log].as_slice());
    noted.map(|value| serde_json::from_slice(value).unwrap())
}

/// The last change of a log that the tree has.
pub(super) fn end_of(rows: &ModelRows, log: u8) -> u64 {
    noted(rows, log).map_or(0, |noted| noted.sequence)
}

fn with_prefix(map: &Map, prefix: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (from, to) = ([prefix], [prefix + 1]);
    let range = map.range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice())));
    range.map(|(key, value)| (key.as_ref(), value.as_ref()))
}

fn tree(map: &Map) -> impl Iterator<Item = (DirId, String, Row)> {
    with_prefix(map, b't').map(|(key, value)| {
        let (directory, name) = keys::split(key).unwrap();
        (directory, name.to_owned(), Row::decode(value).unwrap())
    })
}

/// Every directory that can be reached, with the log that owns it.
fn directories(map: &Map) -> BTreeMap<DirId, u8> {
    let mut below: BTreeMap<DirId, Vec<DirId>> = BTreeMap::new();
    let mut found = BTreeMap::from([(ROOTS, 0)]);
    let mut ahead = Vec::new();
    for (directory, name, row) in tree(map) {
        if let Row::Dir(row) = row {
            if directory == ROOTS {
                let association = uuid::Uuid::parse_str(&name).unwrap().into_bytes();
                ahead.push((row.id, log_of(&association, LOGS)));
            } else {
                below.entry(directory).or_default().push(row.id);
            }
        }
    }
    for (key, value) in with_prefix(map, b'q') {
        let association: [u8; 16] = value.try_into().unwrap();
        ahead.push((keys::split(key).unwrap().0, log_of(&association, LOGS)));
    }
    while let Some((directory, log)) = ahead.pop() {
        assert!(
            found.insert(directory, log).is_none(),
            "{directory} hangs in two places"
        );
        let inner = below.remove(&directory).unwrap_or_default();
        ahead.extend(inner.into_iter().map(|directory| (directory, log)));
    }
    found
}
