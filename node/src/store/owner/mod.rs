//! The owner of a log: decides, in log order, what each change does, and makes it durable.
//!
//! One owner per log, on one shard. A command is resolved against the tree **plus** the changes that are
//! queued before it, placed in the batch that is being gathered, and answered once that batch and all
//! before it are durable and applied to the tree.

mod apply;
mod compact;
mod follow;
mod open;
mod partial;
mod purge;
mod reclaim;

pub(crate) use self::apply::read_row;
pub use self::follow::{Follower, Following, Most};
pub use self::open::Opening;
use self::open::latest_version;
pub use self::partial::{PartialCommand, PartialWish};

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::{BlobId, Change, Command, IdMaker, Overlay, Protocol, Resolved, Stamp, resolve};
use futures::channel::oneshot;

use self::apply::{Applier, Live, Noted};
use self::follow::Follow;
use super::StoreError;
use super::log::{Log, NewRecord, Place, Position, RecordKind, Space};
use super::partial::PartialChange;
use super::partials::Partials;
use super::pins::{AllPins, PinSet, Pinned, Pins};
use super::record;
use super::rows::{RowBatch, Rows};
use crate::clock;
use crate::disk::Disk;

/// Small blob that rides in the same batch as the change that refers to it.
#[derive(Debug)]
pub struct InlineBlob {
    /// Its id, which the change's extents name.
    pub id: BlobId,
    /// Its bytes, at most [`crate::limits::INLINE_MAX_BYTES`].
    pub bytes: Vec<u8>,
}

/// An inline blob that is in the log before the change that will refer to it.
#[derive(Debug)]
pub struct Staged {
    /// Its id.
    pub id: BlobId,
    /// Where it is.
    pub(crate) place: Place,
    /// Keeps its segment until the change is applied or the upload is given up.
    pub(crate) _pin: PinSet,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Sequence of the change in its log.
    pub sequence: u64,
    /// The log.
    pub log: u8,
    /// The node.
    pub node: u64,
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}-{}", self.node, self.log, self.sequence)
    }
}

type Answer = oneshot::Sender<Result<Receipt, StoreError>>;

/// What waits for its batch to be durable.
enum Queued {
    Change {
        change: Change,
        places: Vec<(BlobId, Place)>,
        /// Pins the blobs that were staged until the tree refers to them, also when nobody waits any more.
        staged: Vec<Staged>,
        sequence: u64,
        /// What the record of the change holds.
        payload: Vec<u8>,
        answer: Answer,
    },
    Moved {
        blobs: Vec<(BlobId, Place)>,
        done: oneshot::Sender<()>,
    },
    Partial {
        changes: Vec<PartialChange>,
        places: Vec<(BlobId, Place)>,
        done: oneshot::Sender<()>,
    },
}

/// Where a change went.
struct Placed {
    batch: u64,
    /// The blobs that it refers to and that are in the log.
    places: Vec<(BlobId, Place)>,
    /// What its record holds.
    payload: Vec<u8>,
}

/// The owner of one log.
pub struct Owner {
    number: u8,
    /// Number of logs of the node.
    logs: u8,
    node: u64,
    log: Log,
    rows: Arc<dyn Rows>,
    disk: Rc<dyn Disk>,
    directory: PathBuf,
    pins: Pins,
    all_pins: AllPins,
    ids: RefCell<IdMaker>,
    overlay: RefCell<Overlay>,
    queue: RefCell<VecDeque<(u64, Queued)>>,
    live: RefCell<Live>,
    partials: RefCell<Partials>,
    sequence: Cell<u64>,
    version: Cell<u64>,
    /// Up to where the tree has the log.
    applied: Cell<Position>,
    /// What the tree says of that: blobs that nobody refers to move the log on, but not the tree.
    noted: Cell<Position>,
    /// Large blobs that nothing refers to.
    dead: RefCell<Vec<BlobId>>,
    /// Whether something has happened by which a segment may be of no more use.
    look_again: Cell<bool>,
    /// Segments, by generation, that compaction has been through.
    compacted: RefCell<HashSet<u64>>,
    fenced: Cell<bool>,
    closing: Cell<bool>,
    low_on_space: Cell<bool>,
    follow: Follow,
    /// Rises with every file that comes to wait for its sum.
    unsummed: Cell<u64>,
    /// Whether there may be detached directories.
    detached: Cell<bool>,
}

impl Owner {
    /// The directory of the log's large blobs.
    #[must_use]
    pub fn blobs_directory(&self) -> PathBuf {
        self.directory.join("blobs")
    }

    /// What makes the ids of directories.
    pub(crate) fn ids(&self) -> &RefCell<IdMaker> {
        &self.ids
    }

    /// Whether a write of the log has failed: nothing is acknowledged any more.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fenced.get()
    }

    /// A number that rises with every file that comes to wait for its sum.
    #[must_use]
    pub fn unsummed(&self) -> u64 {
        self.unsummed.get()
    }

    /// Refuses uploads while the disk is below its low-water mark.
    pub fn set_low_on_space(&self, low: bool) {
        self.low_on_space.set(low);
    }

    /// Tries again to make segments, if that has failed.
    pub fn retry_segments(&self) {
        self.log.retry();
    }

    /// Writes an inline blob ahead of its change. Does not wait for it to be durable: it is at the latest with the
    /// batch of the change, which comes later in the same log. Waits while the disk is behind, so that the memory of
    /// the log stays bounded.
    ///
    /// # Errors
    ///
    /// When there is no space for uploads, or the log is fenced.
    pub async fn stage(&self, blob: &InlineBlob) -> Result<Staged, StoreError> {
        self.log.room().await?;
        self.when_ready(|| self.stage_now(blob)).await
    }

    fn stage_now(&self, blob: &InlineBlob) -> Result<Staged, StoreError> {
        self.writable(Space::Upload)?;
        if self.follow.is_full() {
            return Err(StoreError::Behind);
        }
        let parts: [&[u8]; 2] = [&blob.id.0, &blob.bytes];
        let record = NewRecord {
            kind: RecordKind::Blob,
            sequence: 0,
            parts: &parts,
        };
        let appended = self.log.append(&[record], Space::Upload)?;
        let place = appended.places.first().copied().ok_or_else(misplaced)?;
        let pin = self.pins.pin(self.segment_of(&place));
        Ok(Staged {
            id: blob.id,
            place,
            _pin: pin,
        })
    }

    /// Makes the root of an association, if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`Owner::commit`].
    pub async fn ensure_root(&self, association: [u8; 16]) -> Result<(), StoreError> {
        let root = filegrid_tree::TreePath::root();
        if filegrid_tree::lookup(self.rows.snapshot().as_ref(), association, &root)?.is_some() {
            return Ok(());
        }
        self.commit(
            association,
            Protocol::Api,
            Command::CreateRoot,
            Vec::new(),
            Vec::new(),
        )
        .await
        .map(drop)
    }

    /// Does a command. The answer comes when the change is durable and applied.
    ///
    /// # Errors
    ///
    /// What the tree refuses, no space, or a fenced log. Nothing has happened then, except that after
    /// [`StoreError::Fenced`] the outcome is unknown.
    pub async fn commit(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: Command,
        riding: Vec<InlineBlob>,
        mut staged: Vec<Staged>,
    ) -> Result<Receipt, StoreError> {
        let answer = self
            .when_ready(|| self.submit(association, protocol, &command, &riding, &mut staged))
            .await?;
        drop(riding);
        answer.await.map_err(|_| StoreError::Fenced)?
    }

    fn submit(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: &Command,
        riding: &[InlineBlob],
        staged: &mut Vec<Staged>,
    ) -> Result<oneshot::Receiver<Result<Receipt, StoreError>>, StoreError> {
        let space = space_of(command);
        self.writable(space)?;
        self.may_add(command)?;
        let resolved = self.resolve(association, protocol, command)?;
        let sequence = self.sequence.get() + 1;
        let Placed {
            batch,
            places,
            payload,
        } = self.append(&resolved, riding, staged, sequence, space)?;
        self.sequence.set(sequence);
        self.overlay.borrow_mut().push(sequence, &resolved.change);
        // Files of parts whose place another part took; what is in the log is dead weight there.
        let large = |blob: &BlobId| places.iter().all(|(placed, _)| placed != blob);
        self.dead
            .borrow_mut()
            .extend(resolved.unused.into_iter().filter(large));
        let (answer, receiver) = oneshot::channel();
        let queued = Queued::Change {
            change: resolved.change,
            places,
            staged: std::mem::take(staged),
            sequence,
            payload,
            answer,
        };
        self.queue.borrow_mut().push_back((batch, queued));
        Ok(receiver)
    }

    /// Tries what appends to the log, again and again while the log waits for a segment. A burst that is faster than
    /// segments are made is slowed down, not refused. Whatever was looked at before has to be looked at in each try.
    async fn when_ready<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match attempt() {
                Err(StoreError::NotReady) => self.log.made().await,
                done => return done,
            }
        }
    }

    fn resolve(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: &Command,
    ) -> Result<Resolved, StoreError> {
        let version = clock::now_us().max(self.version.get() + 1);
        let stamp = Stamp {
            now_ms: clock::now_ms(),
            version,
            protocol,
        };
        let view = self.rows.snapshot();
        let overlay = self.overlay.borrow();
        let seen = overlay.over(view.as_ref());
        let resolved = resolve(&seen, association, stamp, &mut self.ids.borrow_mut(), command)?;
        self.version.set(version.max(latest_version(&resolved.change)));
        Ok(resolved)
    }

    /// Puts the riding blobs and the change into the batch that is being gathered.
    fn append(
        &self,
        resolved: &Resolved,
        riding: &[InlineBlob],
        staged: &[Staged],
        sequence: u64,
        space: Space,
    ) -> Result<Placed, StoreError> {
        let mut places: Vec<_> = staged.iter().map(|staged| (staged.id, staged.place)).collect();
        let payload = record::encode(&resolved.change, &places);
        let parts: Vec<[&[u8]; 2]> = riding
            .iter()
            .map(|blob| [blob.id.0.as_slice(), blob.bytes.as_slice()])
            .collect();
        let change: [&[u8]; 1] = [&payload];
        let mut records: Vec<_> = parts
            .iter()
            .map(|parts| NewRecord {
                kind: RecordKind::Blob,
                sequence: 0,
                parts,
            })
            .collect();
        records.push(NewRecord {
            kind: RecordKind::Change,
            sequence,
            parts: &change,
        });
        let appended = self.log.append(&records, space)?;
        places.extend(riding.iter().map(|blob| blob.id).zip(appended.places));
        Ok(Placed {
            batch: appended.batch,
            places,
            payload,
        })
    }

    fn writable(&self, space: Space) -> Result<(), StoreError> {
        if self.fenced.get() || self.closing.get() {
            return Err(StoreError::Fenced);
        }
        if space == Space::Upload && self.low_on_space.get() {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Refuses what clients ask for while too much waits to be shipped. What the node does by itself goes on.
    fn may_add(&self, command: &Command) -> Result<(), StoreError> {
        let of_clients = match command {
            Command::Publish { .. }
            | Command::MakeDir { .. }
            | Command::Move { .. }
            | Command::SetTime { .. }
            | Command::Delete { .. }
            | Command::Remove { .. } => true,
            Command::SetSha256 { .. } | Command::CreateRoot => false,
        };
        if of_clients && self.follow.is_full() {
            return Err(StoreError::Behind);
        }
        Ok(())
    }

    /// Writes the log and keeps segments ready, for ever: the tasks beside [`Owner::run`].
    pub async fn write(self: Rc<Self>) {
        futures::join!(self.log.run(), self.log.maintain());
    }

    /// Flushes the log for the clean mark in `DATA/state`. Whatever is asked for from now on is refused: it would be
    /// behind the mark.
    ///
    /// # Errors
    ///
    /// If the log is fenced, or the tree cannot be persisted.
    pub async fn close(&self) -> Result<Position, StoreError> {
        self.closing.set(true);
        self.log.wake();
        let position = self.log.close().await?;
        self.rows.persist().await?;
        Ok(position)
    }

    /// Applies and answers what becomes durable, for ever. Returns when the log is fenced or closed.
    pub async fn run(self: Rc<Self>) {
        loop {
            let applied = match self.log.durable().await {
                Ok(front) => self.apply(front),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = applied {
                self.fence(&error);
                return;
            }
        }
    }

    /// Applies everything up to a batch as one step that readers see whole, then answers.
    fn apply(&self, front: u64) -> Result<(), StoreError> {
        let mut ready = Vec::new();
        {
            let mut queue = self.queue.borrow_mut();
            while queue.front().is_some_and(|(batch, _)| *batch <= front) {
                ready.extend(queue.pop_front().map(|(_, queued)| queued));
            }
        }
        let position = self.log.position_after(front);
        if !ready.is_empty() {
            self.write_rows(&ready, &position)?;
            self.noted.set(position);
        }
        if self.applied.replace(position).generation != position.generation {
            self.look_again.set(true);
        }
        self.answer(ready);
        Ok(())
    }

    fn write_rows(&self, ready: &[Queued], position: &Position) -> Result<(), StoreError> {
        let view = self.rows.snapshot();
        let (mut live, mut partials) = (self.live.borrow_mut(), self.partials.borrow_mut());
        let known: HashMap<BlobId, Place> = ready
            .iter()
            .filter_map(|queued| match queued {
                Queued::Change { places, .. } | Queued::Partial { places, .. } => Some(places),
                Queued::Moved { .. } => None,
            })
            .flatten()
            .copied()
            .collect();
        let places = |blob| known.get(&blob).copied();
        let mut applier = Applier::new(self.number, view.as_ref(), &mut live, &mut partials, &places);
        for queued in ready {
            match queued {
                Queued::Change { change, .. } => applier.change(change)?,
                Queued::Moved { blobs, .. } => {
                    for (blob, to) in blobs {
                        applier.moved(*blob, *to)?;
                    }
                }
                Queued::Partial { changes, .. } => {
                    for change in changes {
                        applier.partial(change)?;
                    }
                }
            }
        }
        let applied = applier.finish(&Noted {
            position: *position,
            version: self.version.get(),
            shipped: self.follow.shipped(),
        })?;
        self.notice(&applied.rows);
        self.rows.write(applied.rows)?;
        self.dead.borrow_mut().extend(applied.dead);
        if applied.released {
            self.look_again.set(true);
        }
        Ok(())
    }

    /// Notes what background work a batch brings, so that it looks at the tree only when there is some: an index that
    /// has been worked off is still slow to go through.
    fn notice(&self, batch: &RowBatch) {
        for (key, _) in batch.entries.iter().filter(|(_, value)| value.is_some()) {
            match key.first() {
                Some(b'x') => self.unsummed.set(self.unsummed.get() + 1),
                Some(b'q') => self.detached.set(true),
                _ => {}
            }
        }
    }

    fn answer(&self, ready: Vec<Queued>) {
        let mut overlay = self.overlay.borrow_mut();
        let now_ms = clock::now_ms();
        for queued in ready {
            match queued {
                Queued::Change {
                    sequence,
                    answer,
                    change,
                    staged,
                    payload,
                    ..
                } => {
                    drop(staged);
                    overlay.remove(sequence, &change);
                    self.follow.push(sequence, payload, now_ms);
                    // A client that is gone does not undo what it asked for.
                    let _ = answer.send(Ok(Receipt {
                        sequence,
                        log: self.number,
                        node: self.node,
                    }));
                }
                // Compaction that has ended on an error does not wait, nor does a client that is gone.
                Queued::Moved { done, .. } | Queued::Partial { done, .. } => drop(done.send(())),
            }
        }
        self.follow.notify();
    }

    /// Nothing is acknowledged from here on: the answers are dropped, which closes the connections.
    fn fence(&self, error: &StoreError) {
        self.fenced.set(true);
        self.log.wake();
        self.queue.borrow_mut().clear();
        tracing::error!(log = self.number, %error, "the log is fenced: outcomes are unknown, restart the node");
    }

    fn segment_of(&self, place: &Place) -> Pinned {
        Pinned::Segment {
            log: self.number,
            segment: place.segment,
            generation: place.generation,
        }
    }
}

/// Only what frees space may use what is kept for it, and what a start needs.
fn space_of(command: &Command) -> Space {
    match command {
        Command::Publish { .. } | Command::MakeDir { .. } => Space::Upload,
        Command::Move { .. } | Command::SetTime { .. } | Command::SetSha256 { .. } => Space::Change,
        Command::Delete { .. } | Command::Remove { .. } => Space::Delete,
        Command::CreateRoot => Space::Cure,
    }
}

fn misplaced() -> StoreError {
    StoreError::Bug("the log placed no record".to_owned())
}
