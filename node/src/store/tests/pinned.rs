//! What somebody holds on to stays until he lets go.

use std::rc::Rc;

use filegrid_tree::{Base, Command, Extent, FileContent, Protocol, Publication, TreePath};
use futures::FutureExt;

use super::client::publish;
use super::group::Body;
use super::life::{Life, association};
use super::reader::read;
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::store::rows::ModelRows;
use crate::store::{InlineBlob, Swept, sweep};

const LOG: u8 = 0;

fn delete(name: &str) -> Command {
    Command::Delete {
        paths: vec![TreePath::parse(name).unwrap()],
        root: TreePath::root(),
    }
}

#[test]
fn a_staged_blob_is_kept_for_a_change_that_nobody_waits_for() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let (key, mut random) = (association(LOG), Random::new(1));
    let store = life.store_of(&key).clone();
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    let body = Body::new(random.bytes(5000));
    let id = store.blob_id().unwrap();
    let blob = InlineBlob {
        id,
        bytes: body.bytes.clone(),
    };
    let staged = life.pool.run_until(store.stage(&key, blob)).unwrap();
    // Fill its segment with what is deleted again: only the pin keeps it.
    let fill = |life: &mut Life, random: &mut Random| {
        for _ in 0..14 {
            let file = [("/x", Body::new(random.bytes(10_000)))];
            life.pool.run_until(publish(&store, key, &file)).unwrap();
        }
        let gone = store.commit(key, Protocol::Api, delete("/x"), Vec::new(), Vec::new());
        life.pool.run_until(gone).unwrap();
    };
    fill(&mut life, &mut random);
    let command = Command::Publish {
        files: vec![Publication {
            path: TreePath::parse("/a").unwrap(),
            content: FileContent {
                extents: vec![Extent {
                    blob: id,
                    offset: 0,
                    length: body.bytes.len() as u64,
                    crc32: body.crc32,
                }],
                size: body.bytes.len() as u64,
                crc32: body.crc32,
                sha256: None,
            },
            base: Base::Any,
            mtime: None,
        }],
        make_parents: true,
    };
    let commit = store.commit(key, Protocol::Api, command, Vec::new(), vec![staged]);
    // The client goes as soon as the change is on its way, and its segment is looked at before that is durable.
    assert!(commit.now_or_never().is_none());
    life.pool.run_until(owner.reclaim()).unwrap();
    for _ in 0..6 {
        fill(&mut life, &mut random);
        life.pool.run_until(owner.reclaim()).unwrap();
    }
    let found = life.pool.run_until(read(&store, &key, "/a"));
    assert_eq!(found.unwrap(), Some(body.bytes.clone()));
}

#[test]
fn a_sweep_leaves_a_deleted_file_to_whoever_reads_it() {
    let (disk, rows) = (SimDisk::new(1, Faults::default()), ModelRows::default());
    let mut life = Life::open(&disk, &rows).unwrap();
    let key = association(LOG);
    let store = life.store_of(&key).clone();
    let file = [("/a", Body::new(Random::new(1).bytes(50_000)))];
    life.pool.run_until(publish(&store, key, &file)).unwrap();
    drop((life, store));
    let mut life = Life::open(&disk, &rows).unwrap();
    let store = life.store_of(&key).clone();
    let owner = Rc::clone(&life.owners[usize::from(LOG)]);
    let held = store.hold(&key, &TreePath::parse("/a").unwrap()).unwrap();
    let gone = store.commit(key, Protocol::Api, delete("/a"), Vec::new(), Vec::new());
    life.pool.run_until(gone).unwrap();
    let swept = sweep(&life.shared, &life.disk, LOG, 1000);
    assert_eq!(life.pool.run_until(swept).unwrap(), Swept::default());
    life.pool.run_until(owner.remove_dead_blobs());
    let content = store.content_of(&key, &held);
    assert!(life.pool.run_until(content.piece(0, 1)).unwrap().is_some());
    drop((content, held));
    life.pool.run_until(owner.remove_dead_blobs());
    assert!(
        disk.files(|path| path.to_string_lossy().contains("/blobs/"))
            .is_empty()
    );
}
