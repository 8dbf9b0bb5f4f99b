//! Large blobs that no row refers to.

use std::rc::Rc;

use super::client::publish;
use super::group::Body;
use super::life::{Life, association, data};
use super::reader::read;
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::limits::QUARANTINE_S;
use crate::ring::AlignedBuf;
use crate::store::rows::ModelRows;
use crate::store::{Swept, log_directory, sweep};

const LOG: u8 = 0;

fn count(disk: &SimDisk, directory: &str) -> usize {
    let is_in = |path: &std::path::Path| path.components().any(|part| part.as_os_str() == directory);
    disk.files(is_in).len()
}

fn swept(life: &mut Life, now_s: u64) -> Swept {
    let done = sweep(&life.shared, &life.disk, LOG, now_s);
    life.pool.run_until(done).unwrap()
}

/// A large blob that is finished and never referred to.
fn leave_one(life: &mut Life) {
    let store = life.stores[usize::from(LOG)].clone();
    life.pool.run_until(async {
        let mut writer = store.blob_writer(&association(LOG)).await.unwrap();
        let mut buffer = AlignedBuf::with_capacity(8192);
        buffer.resize_zeroed(8192);
        writer.write(buffer).await.unwrap();
        drop(writer.finish().await.unwrap());
    });
}

#[test]
fn an_orphan_stays_in_quarantine_however_often_the_node_is_started() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    leave_one(&mut life);
    assert_eq!(
        swept(&mut life, 1000),
        Swept::default(),
        "an upload of this start may still be under way"
    );
    let one = |quarantined, removed| Swept {
        quarantined,
        removed,
        restored: 0,
    };
    for (start, now_s, expected, left) in [
        (1, 1000, one(1, 0), 1),
        (2, 1001, one(0, 0), 1),
        (3, 1000 + QUARANTINE_S - 1, one(0, 0), 1),
        (4, 1000 + QUARANTINE_S, one(0, 1), 0),
    ] {
        drop(life);
        life = Life::open(&disk, &rows).unwrap();
        assert_eq!(swept(&mut life, now_s), expected, "start {start}");
        let found = (count(&disk, "blobs"), count(&disk, "quarantine"));
        assert_eq!(found, (0, left), "start {start}");
    }
}

#[test]
fn a_blob_that_is_referred_to_comes_back_from_quarantine() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let (key, body) = (association(LOG), Body::new(Random::new(1).bytes(50_000)));
    let store = life.store_of(&key).clone();
    let file = [("/a", Rc::clone(&body))];
    life.pool.run_until(publish(&store, key, &file)).unwrap();
    let quarantine = log_directory(&data(), LOG).join("quarantine");
    let (from, _) = disk.files(|path| path.to_string_lossy().contains("/blobs/"))[0].clone();
    let name = format!("{}.1000", from.file_name().unwrap().to_str().unwrap());
    life.pool.run_until(async {
        life.disk.create_dir(&quarantine).await.unwrap();
        life.disk.rename(&from, &quarantine.join(name)).await.unwrap();
    });
    let expected = Swept {
        restored: 1,
        ..Swept::default()
    };
    assert_eq!(swept(&mut life, 1000 + 2 * QUARANTINE_S), expected);
    let found = life.pool.run_until(read(&store, &key, "/a"));
    assert_eq!(found.unwrap(), Some(body.bytes.clone()));
}
