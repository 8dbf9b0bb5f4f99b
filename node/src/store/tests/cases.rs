//! Single cases that need no dice.

use std::path::PathBuf;
use std::rc::Rc;

use filegrid_tree::{Command, Protocol, TreeError, TreePath};
use futures::executor::block_on;

use super::client::publish;
use super::group::Body;
use super::life::{Life, association, data};
use super::reader::read;
use crate::disk::Disk;
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::error::Error;
use crate::store::rows::ModelRows;
use crate::store::scrub::{Scrub, Scrubbed};
use crate::store::{State, StoreError, log_directory};

const LOG: u8 = 0;

fn body(seed: u64, length: usize) -> Rc<Body> {
    Body::new(Random::new(seed).bytes(length))
}

fn is_in(directory: &str) -> impl Fn(&std::path::Path) -> bool {
    move |path| path.components().any(|part| part.as_os_str() == directory)
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    let (key, body) = (association(LOG), body(1, 5000));
    let store = life.store_of(&key).clone();
    life.pool
        .run_until(publish(&store, key, &[("/a", Rc::clone(&body))]))
        .unwrap();
    let found = life.pool.run_until(read(&store, &key, "/a"));
    assert_eq!(found.unwrap(), Some(body.bytes.clone()));
    for (path, _) in disk.files(|path| path.to_string_lossy().ends_with(".seg")) {
        for bit in (0..(16 << 10) * 8).step_by(997) {
            disk.flip_bit(&path, bit);
        }
    }
    let found = life.pool.run_until(read(&store, &key, "/a"));
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
}

#[test]
fn ids_that_run_low_go_on_with_a_further_start() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = Life::open(&disk, &ModelRows::default()).unwrap();
    let key = association(LOG);
    let store = life.store_of(&key).clone();
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    let makers = [&store.0.ids, owner.ids()];
    let make = Command::MakeDir {
        path: TreePath::parse("/a/b").unwrap(),
        parents: true,
        existing_ok: false,
    };
    life.pool.run_until(async {
        store.tend_ids().await.unwrap();
        makers.iter().for_each(|ids| ids.borrow_mut().skip(u32::MAX));
        let refused = Error::from(store.blob_id().unwrap_err());
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
        let refused = store.blob_writer(&key).await;
        assert!(matches!(refused, Err(StoreError::Tree(TreeError::NoIds))));
        let made = store.commit(key, Protocol::Api, make.clone(), Vec::new(), Vec::new());
        assert!(matches!(made.await, Err(StoreError::Tree(TreeError::NoIds))));
        store.tend_ids().await.unwrap();
        store.tend_ids().await.unwrap();
        let starts = makers.map(|ids| ids.borrow_mut().next_id().unwrap().starts());
        assert_eq!(starts, [2, 3]);
        let made = store.commit(key, Protocol::Api, make, Vec::new(), Vec::new());
        made.await.unwrap();
        let disk: Rc<dyn Disk> = Rc::new(disk.power_cycle(Faults::default()));
        assert_eq!(State::load(&disk, &data()).await.unwrap().unwrap().starts, 3);
    });
}

/// One round of the scrub of a shard; says how many bytes it has read.
fn round(life: &mut Life, scrub: &mut Scrub) -> u64 {
    let store = life.stores[usize::from(LOG)].clone();
    let mut bytes = 0;
    loop {
        match life.pool.run_until(store.scrub_step(scrub)).unwrap() {
            Scrubbed::Bytes(read) => bytes += read,
            Scrubbed::Round => return bytes,
        }
    }
}

#[test]
fn the_scrub_takes_a_damaged_large_blob_away_and_leaves_the_others() {
    let disk = SimDisk::new(1, Faults::default());
    let rows = ModelRows::default();
    let mut life = Life::open(&disk, &rows).unwrap();
    let key = association(LOG);
    let store = life.store_of(&key).clone();
    let files: Vec<_> = (0..6)
        .map(|seed| (format!("/n{seed}"), body(seed, 150_000)))
        .collect();
    for (path, body) in &files {
        life.pool
            .run_until(publish(&store, key, &[(path, Rc::clone(body))]))
            .unwrap();
    }
    let mut scrub = Scrub::default();
    assert_eq!(round(&mut life, &mut scrub), 6 * 150_000, "every file is read");
    let (path, _): (PathBuf, u64) = disk.files(is_in("blobs"))[2].clone();
    disk.flip_bit(&path, 8 * 70_000 + 3);
    round(&mut life, &mut scrub);
    let (mut intact, mut damaged) = (0, 0);
    for (path, body) in &files {
        match life.pool.run_until(read(&store, &key, path)) {
            Ok(found) if found.as_ref() == Some(&body.bytes) => intact += 1,
            Err(StoreError::Damaged(_)) => damaged += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((intact, damaged), (5, 1));
    assert_eq!(disk.files(is_in("damaged")).len(), 1);
    // Nor does a restart bring it back.
    drop(life);
    let mut life = Life::open(&disk, &rows).unwrap();
    round(&mut life, &mut Scrub::default());
    assert_eq!(disk.files(is_in("damaged")).len(), 1);
}

#[test]
fn a_damaged_state_is_refused_and_never_taken_for_a_fresh_node() {
    let disk = SimDisk::new(1, Faults::default());
    let rows = ModelRows::default();
    drop(Life::open(&disk, &rows).unwrap());
    let state = data().join("state");
    let (_, length) = disk.files(|path| path == state)[0];
    for bit in (0..length * 8).step_by(11) {
        disk.flip_bit(&state, bit);
        let refused = Life::open(&disk, &rows).err();
        assert!(
            matches!(refused, Some(StoreError::Damaged(_))),
            "bit {bit}: {refused:?}"
        );
        disk.flip_bit(&state, bit);
    }
    assert!(Life::open(&disk, &rows).is_ok());
}

#[test]
fn a_segment_with_files_in_it_is_not_used_again_whatever_its_first_block_says() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let key = association(LOG);
    let store = life.store_of(&key).clone();
    let files: Vec<_> = (0..20)
        .map(|seed| (format!("/{seed}"), body(seed, 9000)))
        .collect();
    for (path, body) in &files {
        let file = [(path.as_str(), Rc::clone(body))];
        life.pool.run_until(publish(&store, key, &file)).unwrap();
    }
    drop((life, store));
    let log = log_directory(&data(), LOG).join("log");
    let segments = disk.files(|path| path.parent() == Some(&log));
    // Magic, version, generation, offset.
    for bit in (0..20 * 8).filter(|bit| !(48..64).contains(bit)) {
        segments.iter().for_each(|(path, _)| disk.flip_bit(path, bit));
        let mut life = Life::open(&disk, &rows).unwrap();
        let store = life.store_of(&key).clone();
        // Enough to go round through all that is free.
        for _ in 0..40 {
            let file = [("/x", body(bit, 10_000))];
            life.pool.run_until(publish(&store, key, &file)).unwrap();
        }
        for (path, body) in &files {
            let found = life.pool.run_until(read(&store, &key, path));
            assert_eq!(found.unwrap().as_ref(), Some(&body.bytes), "bit {bit}: {path}");
        }
        drop((life, store));
        segments.iter().for_each(|(path, _)| disk.flip_bit(path, bit));
    }
}

#[test]
fn directories_of_blobs_are_made_durable_though_a_killed_start_has_made_them() {
    for seed in 0..16 {
        let (disk, rows) = (SimDisk::new(seed, Faults::default()), ModelRows::default());
        let life = Life::open(&disk, &rows).unwrap();
        // The first blob of a start.
        let outer = log_directory(&data(), LOG).join("blobs/00");
        block_on(async {
            life.disk.create_dir(&outer).await.unwrap();
            life.disk.create_dir(&outer.join("01")).await.unwrap();
        });
        drop(life);
        let disk = disk.kill(Faults::default());
        let mut life = Life::open(&disk, &rows).unwrap();
        let (key, body) = (association(LOG), body(seed, 50_000));
        let store = life.store_of(&key).clone();
        let file = [("/a", Rc::clone(&body))];
        life.pool.run_until(publish(&store, key, &file)).unwrap();
        assert!(disk.files(|path| path.starts_with(outer.join("01"))).len() == 1);
        drop((life, store));
        let disk = disk.power_cycle(Faults::default());
        let mut life = Life::open(&disk, &rows).unwrap();
        let store = life.store_of(&key).clone();
        let found = life.pool.run_until(read(&store, &key, "/a"));
        assert_eq!(found.unwrap().as_ref(), Some(&body.bytes), "seed {seed}");
    }
}

#[test]
fn whichever_write_or_sync_of_a_large_upload_fails_nothing_is_acknowledged_that_is_not_there() {
    let mut refused = 0;
    for (fail_at, seed) in (1..24).flat_map(|at| (0..6).map(move |seed| (at, seed))) {
        let (disk, rows) = (SimDisk::new(seed, Faults::default()), ModelRows::default());
        let mut life = Life::open(&disk, &rows).unwrap();
        life.pool.run_until_stalled();
        let (key, body) = (association(LOG), body(seed, 50_000));
        let store = life.store_of(&key).clone();
        disk.set_faults(Faults {
            fail_at: Some(fail_at),
            ..Faults::default()
        });
        let file = [("/a", Rc::clone(&body))];
        let done = life.pool.run_until(publish(&store, key, &file));
        refused += u32::from(done.is_err());
        if done.is_err() && !life.is_fenced() {
            let file = [("/b", Rc::clone(&body))];
            life.pool.run_until(publish(&store, key, &file)).unwrap();
        }
        drop((life, store));
        let disk = disk.power_cycle(Faults::default());
        let mut life = Life::open(&disk, &rows).unwrap();
        let store = life.store_of(&key).clone();
        let found = life.pool.run_until(read(&store, &key, "/a")).unwrap();
        match done {
            Ok(_) => assert_eq!(
                found.as_ref(),
                Some(&body.bytes),
                "operation {fail_at}, seed {seed}"
            ),
            // The change itself may have reached the disk.
            Err(_) => assert!(
                found.is_none_or(|found| found == body.bytes),
                "operation {fail_at}"
            ),
        }
    }
    assert!(refused > 24, "{refused} were refused");
}
