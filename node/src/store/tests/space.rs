//! Who may use the room that is left.

use std::rc::Rc;

use filegrid_tree::{Command, Id, Protocol, Sum, TreePath};

use super::client::publish;
use super::group::Body;
use super::life::{Life, OPTIONS, association};
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::housekeeping::tidy;
use crate::limits::BLOB_ALLOCATE_MIN_BYTES;
use crate::ring::AlignedBuf;
use crate::store::log::LogOptions;
use crate::store::rows::ModelRows;
use crate::store::{Shared, Store, StoreError};

const LOG: u8 = 0;

fn set_capacity(disk: &SimDisk, free_bytes: u64) {
    disk.set_faults(Faults {
        capacity_bytes: Some(disk.used_bytes() + free_bytes),
        ..Faults::default()
    });
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn is_full<T: std::fmt::Debug>(done: &Result<T, StoreError>) -> bool {
    match done {
        Ok(_) => false,
        Err(StoreError::Full) => true,
        Err(error) => panic!("{error}"),
    }
}

/// A burst that is faster than segments are made is slowed down, not refused: there is room on the disk.
#[test]
fn a_burst_waits_for_the_next_segment() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    let (key, mut random) = (association(LOG), Random::new(1));
    let store = life.store_of(&key).clone();
    let segments = u64::from(OPTIONS.segment_bytes) * 4 * OPTIONS.ready_segments as u64;
    let uploads = (0..segments / 10_000).map(|number| {
        let (store, bytes) = (store.clone(), random.bytes(10_000));
        async move {
            let name = format!("/{number}");
            publish(&store, key, &[(name.as_str(), Body::new(bytes))]).await
        }
    });
    for done in life.pool.run_until(futures::future::join_all(uploads)) {
        assert!(!is_full(&done));
    }
}

#[test]
fn what_is_kept_for_the_cure_is_refused_to_all_else() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    life.pool.run_until_stalled();
    set_capacity(&disk, 0);
    let (key, mut random) = (association(LOG), Random::new(1));
    let store = life.store_of(&key).clone();
    let mut files = 0;
    loop {
        let (name, body) = (format!("/{files}"), Body::new(random.bytes(10_000)));
        let file = [(name.as_str(), body)];
        if is_full(&life.pool.run_until(publish(&store, key, &file))) {
            break;
        }
        files += 1;
    }
    assert!(files > 20, "there was room for {files} files");
    let mut command = |command| {
        let done = store.commit(key, Protocol::Api, command, Vec::new(), Vec::new());
        life.pool.run_until(done)
    };
    // What is left of the segment that is written to is for everybody.
    let set_time = || Command::SetTime {
        path: path("/0"),
        mtime: 1,
    };
    let mut left = 0;
    while !is_full(&command(set_time())) {
        left += 1;
        assert!(left < 1000, "the reserve is used for times");
    }
    let sum = Sum {
        directory: Id(key),
        name: "0".to_owned(),
        version: 1,
        sha256: [0; 32],
    };
    let refused = [
        Command::Move {
            moves: vec![(path("/0"), path("/a"))],
            replace: false,
        },
        Command::SetSha256 { sums: vec![sum] },
        Command::MakeDir {
            path: path("/d"),
            parents: false,
            existing_ok: false,
        },
    ];
    for refused in refused {
        assert!(is_full(&command(refused.clone())), "{refused:?}");
    }
    let delete = Command::Delete {
        paths: vec![path("/0")],
        root: TreePath::root(),
    };
    command(delete).unwrap();
}

/// Fills the log to the last block that somebody may use: files that are worth nothing any more below `/d`, which waits
/// to be purged, and before them a segment of changes alone.
fn fill(life: &mut Life, disk: &SimDisk) {
    life.pool.run_until_stalled();
    set_capacity(disk, 0);
    let (key, mut random) = (association(LOG), Random::new(1));
    let store = life.store_of(&key).clone();
    let mut command = |command| {
        let done = store.commit(key, Protocol::Api, command, Vec::new(), Vec::new());
        life.pool.run_until(done)
    };
    for mtime in 0..40 {
        let path = TreePath::root();
        command(Command::SetTime { path, mtime }).unwrap();
    }
    for file in 0.. {
        let (name, body) = (format!("/d/{file}"), Body::new(random.bytes(10_000)));
        let file = [(name.as_str(), body)];
        if is_full(&life.pool.run_until(publish(&store, key, &file))) {
            break;
        }
    }
    let mut delete = |name: &str| {
        let command = Command::Delete {
            paths: vec![path(name)],
            root: TreePath::root(),
        };
        let done = store.commit(key, Protocol::Api, command, Vec::new(), Vec::new());
        life.pool.run_until(done)
    };
    delete("/d").unwrap();
    let mut deletes = 0;
    while !is_full(&delete("/nothing")) {
        deletes += 1;
        assert!(deletes < 5000, "deletes find room without end");
    }
}

#[test]
fn housekeeping_cures_a_log_that_deletes_have_filled() {
    for reserve_segments in [2, 3] {
        let disk = SimDisk::new(1, Faults::default());
        let options = LogOptions {
            reserve_segments,
            ready_segments: 4,
            ..OPTIONS
        };
        let mut life = Life::open_with(&disk, &ModelRows::default(), options).unwrap();
        fill(&mut life, &disk);
        let owner = Rc::clone(&life.owners[usize::from(LOG)]);
        for look in 1..20 {
            life.pool.run_until(tidy(&owner, 4 * look)).unwrap();
            life.pool.run_until_stalled();
        }
        let store = life.stores[usize::from(LOG)].clone();
        let file = [("/again", Body::new(vec![1; 10_000]))];
        life.pool
            .run_until(publish(&store, association(LOG), &file))
            .unwrap();
    }
}

#[test]
fn a_purge_has_room_that_deletes_have_not() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    fill(&mut life, &disk);
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    assert!(life.pool.run_until(owner.purge()).unwrap());
}

#[test]
fn large_blobs_leave_the_low_water_mark_alone() {
    const LOW_WATER_BYTES: u64 = 3 << 20;
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    life.pool.run_until_stalled();
    let shared = Shared {
        low_water_bytes: LOW_WATER_BYTES,
        ..life.shared.clone()
    };
    let store = Store::new(shared, 0, Rc::clone(&life.disk));
    let piece = || {
        let mut buffer = AlignedBuf::with_capacity(1 << 20);
        buffer.resize_zeroed(1 << 20);
        buffer
    };
    set_capacity(&disk, LOW_WATER_BYTES + 3 * BLOB_ALLOCATE_MIN_BYTES);
    life.pool.run_until(async {
        let mut writer = store.blob_writer(&association(LOG)).await.unwrap();
        let mut pieces = 0;
        // Also an upload that is under way, and has no declared length, ends here.
        while !is_full(&writer.write(piece()).await.map(drop)) {
            pieces += 1;
            assert!(disk.free_bytes() >= LOW_WATER_BYTES);
        }
        assert!((2..=3).contains(&pieces), "{pieces}");
        drop(writer);
        store.remove_abandoned().await;
        assert!(disk.free_bytes() >= LOW_WATER_BYTES + 3 * BLOB_ALLOCATE_MIN_BYTES);
    });
}
