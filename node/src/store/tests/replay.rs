//! What a start does with the changes that the tree has not seen.

use std::rc::Rc;

use filegrid_tree::{Command, Protocol, Row, TreePath, lookup};

use super::audit;
use super::client::publish;
use super::group::Body;
use super::life::{Life, association, data};
use super::reader::read;
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::store::rows::{ModelRows, RowBatch, Rows};
use crate::store::{InlineBlob, StoreError, log_directory};

const LOG: u8 = 0;
/// More changes than are replayed in one step.
const MANY: usize = 1200;

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn commit(life: &mut Life, command: Command) -> Result<(), StoreError> {
    let store = life.stores[usize::from(LOG)].clone();
    let done = store.commit(association(LOG), Protocol::Api, command, Vec::new(), Vec::new());
    life.pool.run_until(done).map(drop)
}

fn upload(life: &mut Life, name: &str, body: &Rc<Body>) {
    let store = life.stores[usize::from(LOG)].clone();
    let file = [(name, Rc::clone(body))];
    life.pool
        .run_until(publish(&store, association(LOG), &file))
        .unwrap();
}

/// The rows of blobs.
fn blobs(rows: &ModelRows) -> Vec<(Vec<u8>, Vec<u8>)> {
    let map = rows.dump();
    let blobs = map.iter().filter(|(key, _)| key[0] == b'b');
    blobs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_blob_that_was_moved_stays_where_it_is_when_its_file_is_renamed_much_later() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let mut random = Random::new(1);
    let kept = Body::new(random.bytes(3000));
    upload(&mut life, "/kept", &kept);
    // A segment of files that are deleted again, so that it is worth emptying.
    for file in 0..12 {
        upload(&mut life, &format!("/{file}"), &Body::new(random.bytes(10_000)));
    }
    let first = blobs(&rows);
    let doomed = (0..12).map(|file| path(&format!("/{file}"))).collect();
    let delete = Command::Delete {
        paths: doomed,
        root: TreePath::root(),
    };
    commit(&mut life, delete).unwrap();
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    life.pool.run_until(owner.reclaim()).unwrap();
    let moved = blobs(&rows);
    assert!(
        moved.len() == 1 && !first.contains(&moved[0]),
        "nothing was moved"
    );
    for mtime in 0..MANY {
        let mtime = i64::try_from(mtime).unwrap();
        let path = path("/kept");
        commit(&mut life, Command::SetTime { path, mtime }).unwrap();
    }
    let rename = Command::Move {
        moves: vec![(path("/kept"), path("/renamed"))],
        replace: false,
    };
    commit(&mut life, rename).unwrap();
    let before = blobs(&rows);
    drop(life);
    // The tree is as old as can be.
    let (disk, rows) = (disk.power_cycle(Faults::default()), rows.power_cut(|_| 0));
    assert!(blobs(&rows).is_empty());
    let mut life = Life::open(&disk, &rows).unwrap();
    assert_eq!(blobs(&rows), before);
    audit::audit(&rows);
    let store = life.stores[usize::from(LOG)].clone();
    let found = life.pool.run_until(read(&store, &association(LOG), "/renamed"));
    assert_eq!(found.unwrap(), Some(kept.bytes.clone()));
}

#[test]
fn a_damaged_first_block_that_the_tree_is_past_hides_nothing_behind_it() {
    // Magic, version, generation, offset, sum.
    for byte in [0, 4, 8, 12, 15, 16, 60] {
        let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
        let mut life = Life::open(&disk, &rows).unwrap();
        let bodies = [1, 2, 3].map(|seed| Body::new(Random::new(seed).bytes(100)));
        for (name, body) in ["/a", "/b", "/last"].iter().zip(&bodies) {
            upload(&mut life, name, body);
        }
        drop(life);
        // The tree lacks the last change, which no later batch knows durable.
        let (disk, rows) = (
            disk.power_cycle(Faults::default()),
            rows.power_cut(|batches| batches - 1),
        );
        let log = log_directory(&data(), LOG).join("log");
        for (segment, _) in disk.files(|path| path.parent() == Some(&log)) {
            disk.flip_bit(&segment, 8 * byte);
        }
        let mut life = Life::open(&disk, &rows).unwrap();
        let store = life.stores[usize::from(LOG)].clone();
        for (name, body) in ["/b", "/last"].iter().zip(&bodies[1..]) {
            let found = life.pool.run_until(read(&store, &association(LOG), name));
            assert_eq!(found.unwrap().as_ref(), Some(&body.bytes), "byte {byte}: {name}");
        }
    }
}

#[test]
fn versions_go_on_where_a_clock_that_was_ahead_had_taken_them() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let body = Body::new(b"x".to_vec());
    upload(&mut life, "/first", &body);
    drop(life);
    // As if the clock had been some thousand years ahead.
    const AHEAD: u64 = 1 << 56;
    let key = vec![b'a', LOG];
    let mut noted: serde_json::Value = serde_json::from_slice(&rows.dump()[key.as_slice()]).unwrap();
    noted["version"] = AHEAD.into();
    let mut batch = RowBatch::default();
    batch.put(key, serde_json::to_vec(&noted).unwrap());
    rows.write(batch).unwrap();
    let mut last = AHEAD;
    let mut rows = rows.power_cut(|batches| batches);
    let mut disk = disk.kill(Faults::default());
    for name in ["/second", "/third", "/fourth"] {
        let mut life = Life::open(&disk, &rows).unwrap();
        upload(&mut life, name, &body);
        let view = life.stores[0].view();
        let row = lookup(view.as_ref(), association(LOG), &path(name)).unwrap();
        let Some(Row::File(row)) = row else {
            panic!("{row:?}")
        };
        assert!(
            row.version > last,
            "{name} has version {} behind {last}",
            row.version
        );
        last = row.version;
        drop(life);
        // Of this change only the log is left.
        rows = rows.power_cut(|_| 0);
        disk = disk.power_cycle(Faults::default());
    }
}

#[test]
fn a_log_that_went_on_without_changes_is_followed_from_where_it_is_kept() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let mut random = Random::new(1);
    let store = life.stores[usize::from(LOG)].clone();
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    upload(&mut life, "/gone", &Body::new(random.bytes(100)));
    let delete = Command::Delete {
        paths: vec![path("/gone")],
        root: TreePath::root(),
    };
    commit(&mut life, delete).unwrap();
    // Uploads that are given up: the tree hears nothing of them, and their segments are used again and again.
    for _ in 0..100 {
        let blob = InlineBlob {
            id: store.blob_id().unwrap(),
            bytes: random.bytes(10_000),
        };
        drop(life.pool.run_until(store.stage(&association(LOG), blob)).unwrap());
        life.pool.run_until_stalled();
        life.pool.run_until(owner.reclaim()).unwrap();
    }
    let body = Body::new(random.bytes(100));
    upload(&mut life, "/last", &body);
    drop((life, store, owner));
    let (disk, rows) = (disk.power_cycle(Faults::default()), rows.power_cut(|_| 0));
    let mut life = Life::open(&disk, &rows).unwrap();
    let store = life.stores[usize::from(LOG)].clone();
    let found = life.pool.run_until(read(&store, &association(LOG), "/last"));
    assert_eq!(found.unwrap(), Some(body.bytes.clone()));
}

#[test]
fn segments_that_a_replay_has_freed_are_used_again_only_when_the_tree_is_durable_behind_them() {
    let (mut disk, mut rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let last = Body::new(b"last".to_vec());
    for start in 0..3 {
        let mut life = Life::open(&disk, &rows).unwrap();
        // Each a batch of its own: some segments in which no file is.
        for mtime in 0..120 {
            let path = TreePath::root();
            commit(&mut life, Command::SetTime { path, mtime }).unwrap();
        }
        upload(&mut life, &format!("/{start}"), &last);
        drop(life);
        (disk, rows) = (disk.power_cycle(Faults::default()), rows.power_cut(|_| 0));
    }
    let mut life = Life::open(&disk, &rows).unwrap();
    let store = life.stores[usize::from(LOG)].clone();
    for start in 0..3 {
        let found = life
            .pool
            .run_until(read(&store, &association(LOG), &format!("/{start}")));
        assert_eq!(found.unwrap(), Some(last.bytes.clone()), "start {start}");
    }
}
