//! The shard log: gathering records, and making a group of them durable.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use filegrid::disk::sim::{Faults, SimDisk};
use filegrid::disk::{Disk, RealDisk};
use filegrid::limits::BATCH_TARGET_BYTES;
use filegrid::ring;
use filegrid::store::log::{Durability, Log, LogOptions, NewRecord, RecordKind, Recovered, Space};
use futures::executor::LocalPool;
use futures::future::{Either, join, select};

const RECORD_BYTES: usize = 4096;
/// Records appended before they are written: less than a batch, so that a batch is filled and nothing is closed.
const APPENDED: u64 = 200;
/// Commits before the clock starts: by then all segments have been made, and are only used again.
const WARM_UP: usize = 1000;
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 8 << 20,
    batch_bytes: BATCH_TARGET_BYTES,
    reserve_segments: 0,
    ready_segments: 2,
    in_flight: 2,
    durability: Durability::Commit,
};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = append, commit
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::ElementsAndBytes {
        elements: 1,
        bytes: RECORD_BYTES as u64,
    });
    group.bench_function("append 4 KiB", |bencher| {
        bencher.iter_custom(|times| in_memory(|disk, directory| appends(disk, directory, times)));
    });
    group.finish();
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log, group commit of 4 KiB records");
    for records in [1, 16, 64] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("in memory", records), |bencher| {
            bencher
                .iter_custom(|times| in_memory(|disk, directory| commits(disk, directory, records, times)));
        });
        group.bench_function(BenchmarkId::new("on the disk", records), |bencher| {
            bencher.iter_custom(|times| on_disk(|disk, directory| commits(disk, directory, records, times)));
        });
    }
    group.finish();
}

fn in_memory<F: Future<Output = Duration>>(run: impl FnOnce(Rc<dyn Disk>, PathBuf) -> F) -> Duration {
    let disk: Rc<dyn Disk> = Rc::new(SimDisk::new(1, Faults::default()));
    LocalPool::new().run_until(run(disk, PathBuf::from("/log")))
}

fn on_disk<F: Future<Output = Duration>>(run: impl FnOnce(Rc<dyn Disk>, PathBuf) -> F) -> Duration {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("log");
    ring::run(None, || run(Rc::new(RealDisk), path)).unwrap()
}

/// Time for so many appends; the writes between them are not counted.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn appends(disk: Rc<dyn Disk>, directory: PathBuf, times: u64) -> Duration {
    with_log(disk, &directory, async |log, payload| {
        let (mut taken, mut left) = (Duration::ZERO, times);
        while left > 0 {
            let now = left.min(APPENDED);
            let start = Instant::now();
            let batch = (0..now).map(|_| put(log, payload)).last().unwrap();
            taken += start.elapsed();
            settle(log, batch).await;
            left -= now;
        }
        taken
    })
    .await
}

/// Time for so many groups, each of which is durable before the next.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn commits(disk: Rc<dyn Disk>, directory: PathBuf, records: u64, times: u64) -> Duration {
    with_log(disk, &directory, async |log, payload| {
        let start = Instant::now();
        for _ in 0..times {
            let batch = (0..records).map(|_| put(log, payload)).last().unwrap();
            settle(log, batch).await;
        }
        start.elapsed()
    })
    .await
}

/// Opens a log and serves it while `measure` runs.
async fn with_log(
    disk: Rc<dyn Disk>,
    directory: &Path,
    measure: impl AsyncFnOnce(&Log, &[u8]) -> Duration,
) -> Duration {
    let found = Recovered::read(
        disk,
        directory.to_owned(),
        OPTIONS,
        None,
        None,
        &HashSet::new(),
        &mut |_| Ok(()),
    )
    .await
    .unwrap();
    let log = found.open(1, &|_| true).await.unwrap();
    let serving = std::pin::pin!(join(log.run(), log.maintain()));
    let measuring = std::pin::pin!(async {
        let payload = vec![7; RECORD_BYTES];
        for _ in 0..WARM_UP {
            settle(&log, put(&log, &payload)).await;
        }
        measure(&log, &payload).await
    });
    match select(serving, measuring).await {
        Either::Left(_) => panic!("the log was fenced"),
        Either::Right((taken, _)) => taken,
    }
}

fn put(log: &Log, payload: &[u8]) -> u64 {
    let record = NewRecord {
        kind: RecordKind::Blob,
        sequence: 0,
        parts: &[payload],
    };
    log.append(&[record], Space::Upload).unwrap().batch
}

/// Waits until a batch is durable, and gives back the segments that are full.
async fn settle(log: &Log, batch: u64) {
    while log.durable().await.unwrap() < batch {}
    let mut full = Vec::new();
    log.each_sealed(&mut |segment| full.push(segment));
    full.iter().for_each(|segment| log.release(segment));
}
