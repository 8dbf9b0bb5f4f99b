//! The store on a disk that loses power: thousands of seeds, each a few lives long.
//!
//! `SEED=n cargo test -p filegrid --lib store::tests` replays one; `FILEGRID_SEEDS=n` runs that many.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use filegrid_tree::{
    Base, Command, Extent, FileContent, Protocol, Publication, Row, TreeError, TreePath, lookup,
};
use futures::channel::mpsc;
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;

use super::log::{Durability, LogOptions, Position};
use super::rows::{ModelRows, Rows};
use super::*;
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::error::Error;
use crate::ring::AlignedBuf;

const ASSOCIATION: [u8; 16] = [9; 16];
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 128 << 10,
    batch_bytes: 16 << 10,
    reserve_segments: 1,
    ready_segments: 3,
    in_flight: 2,
    durability: Durability::Commit,
};

/// What a client knows of a pair of files that it always publishes together: value last acknowledged, and the one
/// whose outcome is unknown. A value is the seed of the bytes; `None`: deleted.
#[derive(Clone, Default)]
struct Known {
    acknowledged: Option<u64>,
    unknown: Option<Option<u64>>,
}

type Expected = Rc<RefCell<BTreeMap<String, Known>>>;

struct Life {
    pool: LocalPool,
    store: Store,
    owner: Rc<Owner>,
}

fn data() -> PathBuf {
    PathBuf::from("/data")
}

/// Opens the store; `None` if the disk fails meanwhile.
fn open(disk: &SimDisk, rows: &ModelRows, starts: u32, closed: Option<Position>) -> Result<Life, StoreError> {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    let disk: Rc<dyn Disk> = Rc::new(disk.clone());
    let rows: Arc<dyn Rows> = Arc::new(rows.clone());
    let pins = AllPins::new(1);
    let state = State {
        format: FORMAT,
        node: 7,
        logs: 1,
        starts,
        closed: None,
    };
    let shared = Shared {
        starts: Arc::new(Starts::new(data(), state.clone())),
        state,
        data: data(),
        rows: Arc::clone(&rows),
        pins: pins.clone(),
        owners: vec![mpsc::unbounded().0],
        shards: 1,
        low_water_bytes: 0,
    };
    let store = Store::new(shared, 0, Rc::clone(&disk));
    let opened = pool.run_until(async {
        let directory = log_directory(&data(), 0);
        for path in [data(), directory.clone(), directory.join("blobs")] {
            disk.create_dir(&path)
                .await
                .map_err(|error| StoreError::disk("create", &path, &error))?;
        }
        for path in [PathBuf::from("/"), data(), directory.clone()] {
            disk.sync_dir(&path)
                .await
                .map_err(|error| StoreError::disk("sync", &path, &error))?;
        }
        Owner::open(Opening {
            number: 0,
            logs: 1,
            node: 7,
            starts,
            directory,
            options: OPTIONS,
            closed,
            disk: Rc::clone(&disk),
            rows,
            pins: pins.of(0),
            all_pins: pins,
        })
        .await
    });
    let owner = Rc::new(opened?);
    spawner.spawn_local(Rc::clone(&owner).write()).unwrap();
    spawner.spawn_local(Rc::clone(&owner).run()).unwrap();
    store.adopt(0, Rc::clone(&owner));
    Ok(Life { pool, store, owner })
}

fn bytes_of(value: u64) -> Vec<u8> {
    let mut random = Random::new(value);
    let length = match random.below(4) {
        0 => random.below(200_000),
        _ => random.below(6000),
    };
    random.bytes(usize::try_from(length).unwrap())
}

/// Stores bytes the way ingest does.
async fn store_bytes(
    store: &Store,
    bytes: &[u8],
    riding: &mut Vec<InlineBlob>,
    staged: &mut Vec<Staged>,
    stage: bool,
) -> Result<FileContent, StoreError> {
    let crc32 = crc32fast::hash(bytes);
    let size = bytes.len() as u64;
    if bytes.is_empty() {
        return Ok(FileContent {
            extents: Vec::new(),
            size,
            crc32,
            sha256: None,
        });
    }
    let extent = if bytes.len() > 20_000 {
        let mut writer = store.blob_writer(&ASSOCIATION).await?;
        let mut buffer = AlignedBuf::with_capacity(bytes.len());
        buffer.append(bytes);
        writer.write(buffer).await?;
        writer.finish().await?.0
    } else {
        let id = store.blob_id()?;
        let blob = InlineBlob {
            id,
            bytes: bytes.to_vec(),
        };
        if stage {
            staged.push(store.stage(&ASSOCIATION, blob).await?);
        } else {
            riding.push(blob);
        }
        Extent {
            blob: id,
            offset: 0,
            length: size,
            crc32,
        }
    };
    Ok(FileContent {
        extents: vec![extent],
        size,
        crc32,
        sha256: None,
    })
}

fn paths(name: &str) -> [TreePath; 2] {
    ["a", "b"].map(|half| TreePath::parse(&format!("/{half}/{name}")).unwrap())
}

async fn publish(store: &Store, name: &str, value: u64, stage: bool) -> Result<(), StoreError> {
    let bytes = bytes_of(value);
    let (mut riding, mut staged) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    for path in paths(name) {
        let content = store_bytes(store, &bytes, &mut riding, &mut staged, stage).await?;
        files.push(Publication {
            path,
            content,
            base: Base::Any,
            mtime: None,
        });
    }
    let command = Command::Publish {
        files,
        make_parents: true,
    };
    store
        .commit(ASSOCIATION, Protocol::Api, command, riding, staged)
        .await
        .map(drop)
}

async fn client(store: Store, seed: u64, number: u64, expected: Expected) {
    let mut random = Random::new(seed ^ (number << 32));
    for _ in 0..40 {
        let name = format!("c{number}-{}", random.below(3));
        let value = random
            .one_in(4)
            .then_some(())
            .map_or_else(|| Some(random.next_u64()), |()| None);
        expected.borrow_mut().entry(name.clone()).or_default().unknown = Some(value);
        let done = match value {
            Some(value) => publish(&store, &name, value, random.one_in(3)).await,
            None => {
                let command = Command::Delete {
                    paths: paths(&name).to_vec(),
                    root: TreePath::root(),
                };
                store
                    .commit(ASSOCIATION, Protocol::Api, command, Vec::new(), Vec::new())
                    .await
                    .map(drop)
            }
        };
        let mut expected = expected.borrow_mut();
        let known = expected.entry(name).or_default();
        match done {
            Ok(()) => {
                *known = Known {
                    acknowledged: value,
                    unknown: None,
                }
            }
            Err(StoreError::Full) => known.unknown = None,
            Err(_) => return,
        }
    }
}

/// Reads a file through the store; `None` if it is not there.
async fn read(store: &Store, path: &TreePath) -> Result<Option<Vec<u8>>, StoreError> {
    let opened = match store.open(&ASSOCIATION, path) {
        Err(StoreError::Tree(filegrid_tree::TreeError::NotFound(_))) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    while let Some(piece) = opened.content.piece(bytes.len() as u64, u64::MAX).await? {
        match &piece {
            Piece::Bytes { .. } => bytes.extend_from_slice(piece.bytes()),
            Piece::File { file, offset, length } => {
                let mut buffer = AlignedBuf::with_capacity(usize::try_from(*length).unwrap());
                buffer.resize_zeroed(usize::try_from(*length).unwrap());
                let (read, buffer) = file.read_at(buffer, *offset).await;
                assert_eq!(read.unwrap() as u64, *length, "a large blob is cut off");
                bytes.extend_from_slice(&buffer);
            }
        }
    }
    Ok(Some(bytes))
}

/// Every pair is whole, and one of the values it may have.
async fn verify(store: &Store, expected: &Expected) {
    let names: Vec<_> = expected
        .borrow()
        .iter()
        .map(|(name, known)| (name.clone(), known.clone()))
        .collect();
    for (name, known) in names {
        let [first, second] = paths(&name);
        let found = read(store, &first).await.unwrap();
        assert!(
            found == read(store, &second).await.unwrap(),
            "{name}: one half without the other"
        );
        let allowed = [Some(known.acknowledged), known.unknown].into_iter().flatten();
        let value = allowed.into_iter().find(|value| value.map(bytes_of) == found);
        let value =
            value.unwrap_or_else(|| panic!("{name} is neither what was acknowledged nor what was tried"));
        *expected.borrow_mut().get_mut(&name).unwrap() = Known {
            acknowledged: value,
            unknown: None,
        };
    }
}

async fn housekeeping(owner: Rc<Owner>) {
    for turn in 0..60_u32 {
        owner.remove_dead_blobs().await;
        if owner.purge().await.is_err() {
            return;
        }
        if turn.is_multiple_of(5) && owner.reclaim().await.is_err() {
            return;
        }
        for _ in 0..20 {
            let mut waited = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut waited, true) {
                    return std::task::Poll::Ready(());
                }
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
    }
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let mut disk = SimDisk::new(seed, Faults::default());
    let mut rows = ModelRows::default();
    let expected = Expected::default();
    let mut closed = None;
    let mut starts = 0;
    for life in 0..4 {
        let faults = match random.below(5) {
            0 => Faults {
                fail_at: Some(30 + random.below(300)),
                ..Faults::default()
            },
            1 => Faults {
                capacity_bytes: Some((2 << 20) + random.below(2 << 20)),
                ..Faults::default()
            },
            2 if life == 3 => Faults::default(),
            _ => Faults {
                crash_at: Some(10 + random.below(400)),
                ..Faults::default()
            },
        };
        starts += 1;
        if let Ok(mut life) = open(&disk, &rows, starts, closed.take()) {
            let spawner: LocalSpawner = life.pool.spawner();
            life.pool.run_until(verify(&life.store, &expected));
            disk.set_faults(faults);
            for number in 0..4 {
                let work = client(
                    life.store.clone(),
                    seed ^ u64::from(starts),
                    number,
                    Rc::clone(&expected),
                );
                spawner.spawn_local(work).unwrap();
            }
            spawner.spawn_local(housekeeping(Rc::clone(&life.owner))).unwrap();
            life.pool.run_until_stalled();
            if !disk.is_down() && !life.owner.is_fenced() && random.one_in(2) {
                let owner = Rc::clone(&life.owner);
                closed = life.pool.run_until(async move { owner.close().await }).ok();
            }
        } else {
            panic!("seed {seed}: the store does not open");
        }
        disk = disk.power_cycle(Faults::default());
        let keep = random.next_u64();
        rows = rows.power_cut(|batches| usize::try_from(keep % (batches as u64 + 1)).unwrap());
    }
    // Recovering twice finds the same.
    starts += 1;
    let mut life =
        open(&disk, &rows, starts, closed.take()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    life.pool.run_until(verify(&life.store, &expected));
    let first = rows.dump();
    drop(life);
    let mut life =
        open(&disk, &rows, starts + 1, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    life.pool.run_until(verify(&life.store, &expected));
    assert!(first == rows.dump(), "seed {seed}: recovering twice differs");
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    if let Ok(seed) = std::env::var("SEED") {
        return run(seed.parse().unwrap());
    }
    let seeds = std::env::var("FILEGRID_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(200);
    // A seed needs no other: every core takes the next.
    let next = AtomicU64::new(0);
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
            let caught = std::panic::catch_unwind(|| run(seed));
            assert!(caught.is_ok(), "seed {seed} failed: replay it with SEED={seed}");
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    let disk = SimDisk::new(1, Faults::default());
    let rows = ModelRows::default();
    let mut life = open(&disk, &rows, 1, None).unwrap();
    let small = 1; // A seed whose bytes fit into the log.
    life.pool
        .run_until(publish(&life.store, "n", small, false))
        .unwrap();
    let [path, _] = paths("n");
    let Some(Row::File(_)) = lookup(life.store.view().as_ref(), ASSOCIATION, &path).unwrap() else {
        panic!("not there")
    };
    assert!(life.pool.run_until(read(&life.store, &path)).unwrap() == Some(bytes_of(small)));
    let large = bytes_of(small).len() > 20_000;
    let (file, length) = disk.files(|path| {
        path.to_string_lossy()
            .contains(if large { "blobs" } else { ".seg" })
    })[0]
        .clone();
    for bit in (0..length.min(16 << 10) * 8).step_by(997) {
        disk.flip_bit(&file, bit);
    }
    if !large {
        let found = life.pool.run_until(read(&life.store, &path));
        assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    }
}

#[test]
fn ids_that_run_low_go_on_with_a_further_start() {
    let disk = SimDisk::new(1, Faults::default());
    let mut life = open(&disk, &ModelRows::default(), 1, None).unwrap();
    let Life { pool, store, owner } = &mut life;
    let makers = [&store.0.ids, owner.ids()];
    let make = Command::MakeDir {
        path: TreePath::parse("/a/b").unwrap(),
        parents: true,
        existing_ok: false,
    };
    pool.run_until(async {
        store.tend_ids().await.unwrap();
        makers.iter().for_each(|ids| ids.borrow_mut().skip(u32::MAX));
        let refused = Error::from(store.blob_id().unwrap_err());
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
        let refused = store.blob_writer(&ASSOCIATION).await;
        assert!(matches!(refused, Err(StoreError::Tree(TreeError::NoIds))));
        let made = store.commit(ASSOCIATION, Protocol::Api, make.clone(), Vec::new(), Vec::new());
        assert!(matches!(made.await, Err(StoreError::Tree(TreeError::NoIds))));
        store.tend_ids().await.unwrap();
        store.tend_ids().await.unwrap();
        let starts = makers.map(|ids| ids.borrow_mut().next_id().unwrap().starts());
        assert_eq!(starts, [2, 3]);
        let made = store.commit(ASSOCIATION, Protocol::Api, make, Vec::new(), Vec::new());
        made.await.unwrap();
        let disk: Rc<dyn Disk> = Rc::new(disk.power_cycle(Faults::default()));
        assert_eq!(State::load(&disk, &data()).await.unwrap().unwrap().starts, 3);
    });
}

#[test]
fn the_scrub_takes_a_damaged_large_blob_away_and_leaves_the_others() {
    use super::scrub::{Scrub, Scrubbed};
    let disk = SimDisk::new(1, Faults::default());
    let rows = ModelRows::default();
    let mut life = open(&disk, &rows, 1, None).unwrap();
    let large: Vec<u64> = (1..)
        .filter(|value| bytes_of(*value).len() > 140_000)
        .take(3)
        .collect();
    for (number, value) in large.iter().enumerate() {
        life.pool
            .run_until(publish(&life.store, &format!("n{number}"), *value, false))
            .unwrap();
    }
    let round = |life: &mut Life, scrub: &mut Scrub| {
        let mut bytes = 0;
        loop {
            match life.pool.run_until(life.store.scrub_step(scrub)).unwrap() {
                Scrubbed::Bytes(read) => bytes += read,
                Scrubbed::Round => return bytes,
            }
        }
    };
    let mut scrub = Scrub::default();
    let all: usize = large.iter().map(|value| 2 * bytes_of(*value).len()).sum();
    assert_eq!(
        round(&mut life, &mut scrub),
        all as u64,
        "both halves of each pair are read"
    );
    let blobs = disk.files(|path| path.to_string_lossy().contains("/blobs/"));
    let (path, _) = blobs[2].clone();
    disk.flip_bit(&path, 8 * 70_000 + 3);
    round(&mut life, &mut scrub);
    let (mut intact, mut damaged) = (0, 0);
    for (number, value) in large.iter().enumerate() {
        for path in paths(&format!("n{number}")) {
            match life.pool.run_until(read(&life.store, &path)) {
                Ok(found) if found == Some(bytes_of(*value)) => intact += 1,
                Err(StoreError::Damaged(_)) => damaged += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((intact, damaged), (5, 1));
    assert_eq!(
        disk.files(|path| path.to_string_lossy().contains("/damaged/"))
            .len(),
        1
    );
    // Nor does a restart bring it back.
    drop(life);
    let mut life = open(&disk, &rows, 2, None).unwrap();
    round(&mut life, &mut Scrub::default());
    assert_eq!(
        disk.files(|path| path.to_string_lossy().contains("/damaged/"))
            .len(),
        1
    );
}
