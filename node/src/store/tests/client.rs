//! Clients: each changes directories of its own, and knows what they hold.

use std::rc::Rc;

use filegrid_tree::{
    Base, BlobId, Command, Extent, FileContent, Protocol, Publication, Row, TreePath, lookup,
};

use super::group::{Body, Contents, Group, LARGE_BYTES, SharedGroup, Step};
use crate::disk::sim::{Random, SimDisk, turns};
use crate::limits::{BLOCK_BYTES, INLINE_MAX_BYTES};
use crate::ring::AlignedBuf;
use crate::store::{InlineBlob, PinSet, Receipt, Staged, Store, StoreError};

/// Steps of a client in one life.
const STEPS: u32 = 40;

pub(super) struct Client {
    pub(super) store: Store,
    pub(super) disk: SimDisk,
    pub(super) groups: Vec<SharedGroup>,
    pub(super) random: Random,
}

/// Blobs of a change, as ingest gathers them.
#[derive(Default)]
pub(super) struct Blobs {
    riding: Vec<InlineBlob>,
    staged: Vec<Staged>,
    large: Vec<(BlobId, PinSet)>,
}

impl Blobs {
    /// Gives back what was stored and is not referred to.
    async fn discard(self, store: &Store, association: &[u8; 16]) {
        for (blob, _pin) in self.large {
            store.remove_blob(association, blob).await;
        }
    }
}

impl Client {
    pub(super) async fn run(mut self) {
        for _ in 0..STEPS {
            let at = usize::try_from(self.random.below(self.groups.len() as u64)).unwrap();
            let group = Rc::clone(&self.groups[at]);
            let goes_on = match self.random.below(12) {
                0 => self.give_up(&group).await,
                1 => self.append(&group).await,
                _ => self.step(&group).await,
            };
            if !goes_on {
                return;
            }
            if self.random.one_in(8) {
                turns(self.random.below(30)).await;
            }
        }
    }

    fn plan(&mut self, group: &Group) -> Step {
        let random = &mut self.random;
        let count = 1 + random.below(4);
        match random.below(10) {
            0..=4 => Step::Publish(
                (0..count)
                    .map(|_| (file(random, &group.path), Body::random(random)))
                    .collect(),
            ),
            5..=7 => Step::Move {
                moves: (0..count)
                    .map(|_| moved(random, &group.path, group.acknowledged()))
                    .collect(),
                replace: random.one_in(2),
            },
            8 => Step::Delete((0..count).map(|_| file(random, &group.path)).collect()),
            _ if random.one_in(3) => Step::Delete(vec![group.path.clone()]),
            _ => Step::Delete(vec![directory(random, &group.path)]),
        }
    }

    /// Does something that the tree allows or refuses. Says whether the client goes on.
    async fn step(&mut self, group: &SharedGroup) -> bool {
        let step = self.plan(&group.borrow());
        let after = group.borrow().acknowledged().after(&step);
        let mut blobs = Blobs::default();
        let association = group.borrow().association;
        let command = match self.command(&association, &step, &mut blobs).await {
            Ok(command) => command,
            Err(error) => return self.refused(&association, &error, blobs).await,
        };
        if !blobs.staged.is_empty() && self.random.one_in(6) {
            // What is staged may wait for the rest of a slow upload while segments are given back around it.
            turns(self.random.below(1500)).await;
        }
        self.commit(group, command, after, blobs).await
    }

    /// Adds to a file: the new version shares the blobs of the one before it.
    async fn append(&mut self, group: &SharedGroup) -> bool {
        let (association, files) = {
            let group = group.borrow();
            let files: Vec<_> = group.acknowledged().files.clone().into_iter().collect();
            (group.association, files)
        };
        if files.is_empty() {
            return true;
        }
        let at = usize::try_from(self.random.below(files.len() as u64)).unwrap();
        let (path, old) = files[at].clone();
        if old.bytes.len() > 2 * INLINE_MAX_BYTES {
            return true;
        }
        let more = Body::random(&mut self.random);
        let mut blobs = Blobs::default();
        let added = match self.store_body(&association, &more, &mut blobs).await {
            Ok(added) => added,
            Err(error) => return self.refused(&association, &error, blobs).await,
        };
        let tree_path = TreePath::parse(&path).unwrap();
        let found = lookup(self.store.view().as_ref(), association, &tree_path).unwrap();
        let Some(Row::File(row)) = found else {
            panic!("{path} was acknowledged and is not there")
        };
        let body = Body::new([old.bytes.as_slice(), &more.bytes].concat());
        body.damaged.set(old.damaged.get());
        let content = FileContent {
            extents: [row.extents, added.extents].concat(),
            size: body.bytes.len() as u64,
            crc32: body.crc32,
            sha256: None,
        };
        let command = Command::Publish {
            files: vec![Publication {
                path: tree_path,
                content,
                base: Base::Version(row.version),
                mtime: None,
            }],
            make_parents: false,
        };
        let after = group
            .borrow()
            .acknowledged()
            .after(&Step::Publish(vec![(path, body)]));
        self.commit(group, command, after, blobs).await
    }

    /// Stores bytes and never refers to them.
    async fn give_up(&mut self, group: &SharedGroup) -> bool {
        let association = group.borrow().association;
        if self.random.one_in(4) {
            return self.break_off(&association).await;
        }
        let body = Body::random(&mut self.random);
        let mut blobs = Blobs::default();
        let stored = self.store_body(&association, &body, &mut blobs).await;
        turns(self.random.below(40)).await;
        match stored {
            Ok(_) => {
                blobs.discard(&self.store, &association).await;
                true
            }
            Err(error) => self.refused(&association, &error, blobs).await,
        }
    }

    /// Begins a large blob and does not finish it.
    async fn break_off(&mut self, association: &[u8; 16]) -> bool {
        let begun = async {
            let mut writer = self.store.blob_writer(association).await?;
            let mut buffer = AlignedBuf::with_capacity(BLOCK_BYTES);
            buffer.resize_zeroed(BLOCK_BYTES);
            writer.write(buffer).await
        };
        match begun.await {
            Ok(_) => true,
            Err(error) => self.refused(association, &error, Blobs::default()).await,
        }
    }

    async fn commit(
        &mut self,
        group: &SharedGroup,
        command: Command,
        after: Option<Contents>,
        mut blobs: Blobs,
    ) -> bool {
        let (association, log) = (group.borrow().association, group.borrow().log);
        let allowed = after.is_some();
        group.borrow_mut().pending = after;
        let riding = std::mem::take(&mut blobs.riding);
        let staged = std::mem::take(&mut blobs.staged);
        let commit = self
            .store
            .commit(association, Protocol::Api, command, riding, staged);
        let done = if self.random.one_in(12) {
            let impatience = turns(self.random.below(30));
            futures::pin_mut!(commit, impatience);
            match futures::future::select(commit, impatience).await {
                futures::future::Either::Left((done, _)) => done,
                // The connection is gone, and what was stored with it. The change happens all the same, or not.
                futures::future::Either::Right(_) => {
                    self.groups.retain(|other| !Rc::ptr_eq(other, group));
                    return !self.groups.is_empty();
                }
            }
        } else {
            commit.await
        };
        match done {
            Ok(Receipt {
                sequence, log: of, ..
            }) => {
                let mut known = group.borrow_mut();
                assert!(allowed, "{}: the tree allowed what it must not", known.path);
                assert_eq!(of, log, "a change is in the log of another association");
                known.acknowledge(sequence);
                if self.random.one_in(2) {
                    known.check(self.store.view().as_ref());
                }
                return true;
            }
            // It may have happened.
            Err(StoreError::Fenced) => return false,
            Err(StoreError::Tree(error)) => assert!(!allowed, "refused, though allowed: {error}"),
            Err(StoreError::Full) => {}
            Err(error) => panic!("a change: {error}"),
        }
        group.borrow_mut().pending = None;
        blobs.discard(&self.store, &association).await;
        true
    }

    /// Storing a blob has failed: nothing has happened to the tree. Says whether the client goes on.
    async fn refused(&self, association: &[u8; 16], error: &StoreError, blobs: Blobs) -> bool {
        blobs.discard(&self.store, association).await;
        match error {
            StoreError::Full => true,
            StoreError::Disk(_) => !self.disk.is_down(),
            StoreError::Fenced => false,
            error => panic!("storing a blob: {error}"),
        }
    }

    async fn command(
        &mut self,
        association: &[u8; 16],
        step: &Step,
        blobs: &mut Blobs,
    ) -> Result<Command, StoreError> {
        let parsed = |path: &String| TreePath::parse(path).unwrap();
        Ok(match step {
            Step::Publish(files) => {
                let mut publications = Vec::new();
                for (path, body) in files {
                    publications.push(Publication {
                        path: parsed(path),
                        content: self.store_body(association, body, blobs).await?,
                        base: Base::Any,
                        mtime: None,
                    });
                }
                Command::Publish {
                    files: publications,
                    make_parents: true,
                }
            }
            Step::Move { moves, replace } => Command::Move {
                moves: moves
                    .iter()
                    .map(|(from, to)| (parsed(from), parsed(to)))
                    .collect(),
                replace: *replace,
            },
            Step::Delete(paths) => Command::Delete {
                paths: paths.iter().map(parsed).collect(),
                root: TreePath::root(),
            },
        })
    }

    async fn store_body(
        &mut self,
        association: &[u8; 16],
        body: &Body,
        blobs: &mut Blobs,
    ) -> Result<FileContent, StoreError> {
        let stage = self.random.one_in(3);
        store_body(&self.store, association, body, stage, blobs).await
    }
}

/// Stores bytes the way ingest does.
pub(super) async fn store_body(
    store: &Store,
    association: &[u8; 16],
    body: &Body,
    stage: bool,
    blobs: &mut Blobs,
) -> Result<FileContent, StoreError> {
    let size = body.bytes.len() as u64;
    let mut extents = Vec::new();
    if size > LARGE_BYTES {
        let mut writer = store.blob_writer(association).await?;
        for piece in body.bytes.chunks(64 << 10) {
            let mut buffer = AlignedBuf::with_capacity(piece.len());
            buffer.append(piece);
            writer.write(buffer).await?;
        }
        let (extent, pin) = writer.finish().await?;
        extents.push(extent);
        blobs.large.push((extent.blob, pin));
    } else if size > 0 {
        let id = store.blob_id()?;
        let blob = InlineBlob {
            id,
            bytes: body.bytes.clone(),
        };
        if stage {
            blobs.staged.push(store.stage(association, blob).await?);
        } else {
            blobs.riding.push(blob);
        }
        extents.push(Extent {
            blob: id,
            offset: 0,
            length: size,
            crc32: body.crc32,
        });
    }
    Ok(FileContent {
        extents,
        size,
        crc32: body.crc32,
        sha256: None,
    })
}

/// Publishes files in one change.
pub(super) async fn publish(
    store: &Store,
    association: [u8; 16],
    files: &[(&str, Rc<Body>)],
) -> Result<Receipt, StoreError> {
    let mut blobs = Blobs::default();
    let mut publications = Vec::new();
    for (path, body) in files {
        publications.push(Publication {
            path: TreePath::parse(path).unwrap(),
            content: store_body(store, &association, body, false, &mut blobs).await?,
            base: Base::Any,
            mtime: None,
        });
    }
    let command = Command::Publish {
        files: publications,
        make_parents: true,
    };
    let Blobs { riding, staged, .. } = blobs;
    store
        .commit(association, Protocol::Api, command, riding, staged)
        .await
}

fn directory(random: &mut Random, group: &str) -> String {
    let outer = random.below(3);
    if random.one_in(4) {
        format!("{group}/d{outer}/d{}", random.below(3))
    } else {
        format!("{group}/d{outer}")
    }
}

fn file(random: &mut Random, group: &str) -> String {
    let above = match random.below(2) {
        0 => group.to_owned(),
        _ => directory(random, group),
    };
    format!("{above}/f{}", random.below(4))
}

/// A move that has good chances.
fn moved(random: &mut Random, group: &str, contents: &Contents) -> (String, String) {
    if random.one_in(3) {
        return (directory(random, group), directory(random, group));
    }
    let known: Vec<_> = contents.files.keys().collect();
    let from = match usize::try_from(random.below(known.len() as u64 + 1)) {
        Ok(at) if at < known.len() => known[at].clone(),
        _ => file(random, group),
    };
    (from, file(random, group))
}
