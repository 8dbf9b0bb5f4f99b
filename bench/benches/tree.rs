//! The tree: applying changes, and walking it to the JSON of `list/tree`.

use std::ops::ControlFlow;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use filegrid::api::write_entry;
use filegrid::limits::LISTING_PIECE_BYTES;
use filegrid::store::rows::{FjallRows, RowBatch, Rows};
use filegrid_tree::{
    Base, BlobId, Command, DirId, Extent, FileContent, IdMaker, Protocol, Publication, Sink, Stamp, TreePath,
    apply, resolve, walk,
};

const ASSOCIATION: [u8; 16] = [9; 16];
const DIRECTORIES: u64 = 1000;
const FILES: u64 = 100;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = applying, walking
}

/// A tree on a real row store.
struct Tree {
    rows: FjallRows,
    ids: IdMaker,
    version: u64,
    _directory: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut tree = Self {
            rows: FjallRows::open(directory.path()).unwrap(),
            ids: IdMaker::new(7, 1, 0),
            version: 0,
            _directory: directory,
        };
        tree.commit(&[Command::CreateRoot]);
        tree
    }

    /// Resolves commands that do not touch each other, and applies them in one step.
    fn commit(&mut self, commands: &[Command]) {
        let view = self.rows.snapshot();
        let mut batch = Batch::default();
        for command in commands {
            self.version += 1;
            let stamp = Stamp {
                now_ms: 1_800_000_000_000,
                version: self.version,
                protocol: Protocol::Api,
            };
            let resolved = resolve(view.as_ref(), ASSOCIATION, stamp, &mut self.ids, command).unwrap();
            apply(&resolved.change, &mut batch).unwrap();
        }
        self.rows.write(batch.0).unwrap();
    }

    fn upload(&mut self, paths: impl Iterator<Item = String>) -> Command {
        let files = paths.map(|path| Publication {
            path: TreePath::parse(&path).unwrap(),
            content: FileContent {
                extents: vec![Extent {
                    blob: self.ids.next_id().unwrap(),
                    offset: 0,
                    length: 4096,
                    crc32: 1,
                }],
                size: 4096,
                crc32: 1,
                sha256: None,
            },
            base: Base::Any,
            mtime: None,
        });
        Command::Publish {
            files: files.collect(),
            make_parents: true,
        }
    }
}

/// Rows of the tree alone: the store adds those of the blobs.
#[derive(Default)]
struct Batch(RowBatch);

impl Sink for Batch {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.put(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.delete(key);
    }

    fn blob_linked(&mut self, _blob: BlobId, _directory: DirId, _name: &str) {}

    fn blob_released(&mut self, _blob: BlobId, _directory: DirId, _name: &str) {}
}

fn applying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree, uploads resolved and applied in one step");
    for changes in [1, 64] {
        let mut tree = Tree::new();
        let first = tree.upload(std::iter::once("/a/b/first".to_owned()));
        tree.commit(&[first]);
        let mut number = 0_u64;
        group.throughput(Throughput::Elements(changes));
        group.bench_function(BenchmarkId::from_parameter(changes), |bencher| {
            bencher.iter(|| {
                let commands: Vec<Command> = (0..changes)
                    .map(|_| {
                        number += 1;
                        tree.upload(std::iter::once(format!("/a/b/{number}.dat")))
                    })
                    .collect();
                tree.commit(&commands);
            });
        });
    }
    group.finish();
}

fn walking(criterion: &mut Criterion) {
    let mut tree = Tree::new();
    for directory in 0..DIRECTORIES {
        let upload =
            tree.upload((0..FILES).map(|file| format!("/customers/{directory:04}/invoice-{file:03}.pdf")));
        tree.commit(&[upload]);
    }
    let (entries, bytes) = walk_to_json(&tree);
    let mut group = criterion.benchmark_group("tree, walk");
    group.throughput(Throughput::Elements(entries));
    group.bench_function("rows", |bencher| {
        bencher.iter(|| assert_eq!(walk_alone(&tree), entries))
    });
    group.throughput(Throughput::ElementsAndBytes {
        elements: entries,
        bytes,
    });
    group.bench_function("to JSON", |bencher| bencher.iter(|| walk_to_json(&tree)));
    group.finish();
}

fn walk_alone(tree: &Tree) -> u64 {
    let mut entries = 0;
    let view = tree.rows.snapshot();
    walk(
        view.as_ref(),
        ASSOCIATION,
        &TreePath::root(),
        None,
        &mut |_, _| {
            entries += 1;
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    entries
}

/// Entries, and bytes of JSON that were made of them piece by piece.
fn walk_to_json(tree: &Tree) -> (u64, u64) {
    let (mut entries, mut bytes, mut piece) = (0, 0, Vec::new());
    let view = tree.rows.snapshot();
    walk(
        view.as_ref(),
        ASSOCIATION,
        &TreePath::root(),
        None,
        &mut |path, row| {
            entries += 1;
            write_entry(&mut piece, path, &row);
            if piece.len() >= LISTING_PIECE_BYTES {
                bytes += piece.len() as u64;
                piece.clear();
            }
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    (entries, bytes + piece.len() as u64)
}
