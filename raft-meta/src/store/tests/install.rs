//! Snapshots sent and taken.

use std::path::PathBuf;

use super::*;
use crate::machine::{Machine, MachineError};
use crate::store::live::Live;

fn full() -> World {
    let mut world = World::with_home();
    let names: Vec<_> = (0..500).map(|number| format!("{number:04}")).collect();
    let changes = names.iter().map(|name| put(1, name)).collect();
    world.one(Command::Ship(batch(1, 1, changes)));
    world
}

/// Sends all of one store to another, in chunks of at most so many bytes.
fn send(from: &Store, to: &Store, max_bytes: usize) -> Result<(), MachineError> {
    let mut snapshot = from.snapshot()?;
    let mut install = to.install()?;
    while let Some(chunk) = snapshot.next(max_bytes)? {
        let bytes: usize = chunk.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes <= max_bytes || chunk.len() == 1, "{bytes}");
        install.put(chunk)?;
    }
    install.finish(snapshot.mark().unwrap())
}

fn directories(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.directory.path().join("meta")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    paths.sort();
    paths
}

#[test]
fn a_snapshot_makes_an_equal_store() {
    let from = full();
    for max_bytes in [1, 1000, 1 << 20] {
        let mut to = World::with_home();
        to.one(Command::Ship(batch(1, 1, vec![put(1, "only here")])));
        let (before, old) = (to.rows(), to.store.view());
        send(&from.store, &to.store, max_bytes).unwrap();
        assert_eq!(to.rows(), from.rows());
        assert_eq!(to.store.registry(), from.store.registry());
        assert_eq!(to.store.producer(NODE, 0), from.store.producer(NODE, 0));
        // Who was reading goes on reading what there was.
        let mut seen = Vec::new();
        old.scan(&[], &[0xff], &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, before);
        drop(old);
        assert_eq!(directories(&to).len(), 1, "the old rows are gone");
        let mut to = to.reopen();
        assert_eq!(to.rows(), from.rows());
        assert_eq!(
            to.one(Command::Ship(batch(1, 501, vec![put(1, "next")]))),
            Reply::Applied(501)
        );
    }
}

#[test]
fn a_snapshot_does_not_change_while_it_is_sent() {
    let mut from = full();
    let (before, mark) = (from.rows(), from.store.applied().unwrap());
    let mut snapshot = from.store.snapshot().unwrap();
    let mut sent = snapshot.next(1000).unwrap().unwrap();
    from.one(Command::Ship(batch(
        1,
        501,
        vec![put(1, "later"), put(1, "0000 before")],
    )));
    while let Some(chunk) = snapshot.next(1000).unwrap() {
        sent.extend(chunk);
    }
    assert_eq!(snapshot.mark(), mark.as_deref());
    let rows: Vec<_> = before.into_iter().filter(|(key, _)| key != keys::MARK).collect();
    assert_eq!(sent, rows);
}

#[test]
fn an_unfinished_snapshot_leaves_nothing() {
    let from = full();
    let to = World::with_home();
    let before = to.rows();
    let mut install = to.store.install().unwrap();
    install
        .put(from.store.snapshot().unwrap().next(1000).unwrap().unwrap())
        .unwrap();
    assert_eq!(directories(&to).len(), 2);
    drop(install);
    assert_eq!(directories(&to).len(), 1);
    assert_eq!(to.rows(), before);
}

#[test]
fn a_snapshot_that_a_crash_left_is_removed_at_the_next_start() {
    let to = World::with_home();
    let before = to.rows();
    let left = to.directory.path().join("meta/rows-2");
    drop(Live::open(&left).unwrap());
    assert!(left.is_dir());
    let to = to.reopen();
    assert_eq!(directories(&to).len(), 1);
    assert_eq!(to.rows(), before);
}

#[test]
fn rows_out_of_order_are_refused() {
    let to = World::new();
    let chunk = |keys: &[&[u8]]| keys.iter().map(|key| (key.to_vec(), Vec::new())).collect();
    let mut install = to.store.install().unwrap();
    install.put(chunk(&[b"t1", b"t2"])).unwrap();
    for wrong in [&[b"t2"][..], &[b"t1"], &[b"t3", b"t3"]] {
        let keys: Vec<&[u8]> = wrong.iter().map(|key| &key[..]).collect();
        assert!(matches!(install.put(chunk(&keys)), Err(MachineError::Damaged(_))));
    }
    let mut install = to.store.install().unwrap();
    assert!(install.put(chunk(&[b"m"])).is_err(), "the mark comes at the end");
}

#[test]
fn rows_without_the_name_of_the_live_ones_are_not_taken_for_none() {
    let world = full();
    let home = world.directory.path().join("meta");
    drop(world.store);
    std::fs::remove_file(home.join("current")).unwrap();
    let refused = Store::open(&home);
    assert!(matches!(refused, Err(MachineError::Damaged(_))));
}
