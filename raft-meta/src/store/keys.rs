//! Keys of the rows that are not the tree's.

use filegrid_tree::{DirId, keys as tree_keys};

use crate::registry::RowKey;

/// The mark of what was applied.
pub(super) const MARK: &[u8] = b"m";
/// First byte of the keys of registry rows.
pub(super) const REGISTRY: u8 = b'r';
/// First byte of the keys of producers.
pub(super) const PRODUCERS: u8 = b'n';
/// First byte of the keys of changes that were rejected.
pub(super) const REJECTED: u8 = b'j';
/// First byte of the keys of entries that are marked lost.
pub(super) const LOST: u8 = b'l';

/// Key of a producer.
pub(super) fn producer(node: u64, log: u8) -> Vec<u8> {
    let mut key = vec![PRODUCERS];
    key.extend_from_slice(&node.to_be_bytes());
    key.push(log);
    key
}

/// Node and log of a producer's key.
pub(super) fn split_producer(key: &[u8]) -> Option<(u64, u8)> {
    match key.get(1..)?.split_first_chunk()? {
        (node, [log]) => Some((u64::from_be_bytes(*node), *log)),
        _ => None,
    }
}

/// Key of a change that was rejected.
pub(super) fn rejected(node: u64, log: u8, sequence: u64) -> Vec<u8> {
    let mut key = with_kind(&producer(node, log), REJECTED);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Node, log and sequence of the key of a change that was rejected.
pub(super) fn split_rejected(key: &[u8]) -> Option<(u64, u8, u64)> {
    let (front, sequence) = key.split_last_chunk()?;
    let (node, log) = split_producer(front)?;
    Some((node, log, u64::from_be_bytes(*sequence)))
}

/// Key of the mark of an entry that is lost.
pub(super) fn lost(directory: DirId, name: &str) -> Vec<u8> {
    lost_of(&tree_keys::row(directory, name))
}

/// Key of the mark of a row of the tree.
pub(super) fn lost_of(tree_key: &[u8]) -> Vec<u8> {
    with_kind(tree_key, LOST)
}

/// Key of the row that a mark is of.
pub(super) fn tree_of_lost(key: &[u8]) -> Vec<u8> {
    with_kind(key, b't')
}

fn with_kind(key: &[u8], kind: u8) -> Vec<u8> {
    let mut key = key.to_vec();
    if let Some(first) = key.first_mut() {
        *first = kind;
    }
    key
}

/// Key of a registry row. An association comes before what is its own.
pub(super) fn registry(row: &RowKey) -> Vec<u8> {
    let mut key = vec![REGISTRY];
    let (kind, first, second) = match row {
        RowKey::Revision => (b'0', &[][..], &[][..]),
        RowKey::Association(association) => (b'1', &association.as_bytes()[..], &[][..]),
        RowKey::User(association, access_key) => (b'2', &association.as_bytes()[..], access_key.as_bytes()),
        RowKey::Account(association, id) => (b'3', &association.as_bytes()[..], &id.to_be_bytes()[..]),
        RowKey::Key(kid) => (b'4', kid.as_bytes(), &[][..]),
        RowKey::Operator => (b'6', &[][..], &[][..]),
        RowKey::Chain => (b'7', &[][..], &[][..]),
        RowKey::TakenOver(node) => (b'8', &node.to_be_bytes()[..], &[][..]),
        RowKey::Node(node) => (b'9', &node.to_be_bytes()[..], &[][..]),
        RowKey::Compare(node) => (b'a', &node.to_be_bytes()[..], &[][..]),
        RowKey::BareName(name) => (b'5', name.as_bytes(), &[][..]),
    };
    key.push(kind);
    key.extend_from_slice(first);
    key.extend_from_slice(second);
    key
}
