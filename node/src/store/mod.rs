//! The store: where a change becomes durable, and where files are read from.
//!
//! One [`Owner`] per log decides and writes; a [`Store`] per shard is what the protocols hold: it sends
//! changes to the owner, wherever that lives, and reads the tree and the blobs itself.
//!
//! `docs/format.md` describes every byte that is written here.

mod blob;
mod blob_row;
mod content;
mod error;
pub mod log;
mod owner;
mod partial;
mod partials;
mod pins;
mod progress;
mod record;
pub mod rows;
pub mod scrub;
mod starts;
mod state;
mod sums;
mod sweep;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::{BlobId, Command, FileContent, FileRow, IdMaker, Protocol, Row, TreePath, View, lookup};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use self::blob::BlobFiles;
use self::content::{Located, Reader};
use self::rows::Rows;
use crate::disk::Disk;

pub use self::blob::BlobWriter;
pub use self::blob_row::Whereabouts;
pub use self::content::{Content, Held, Opened, Piece};
pub use self::error::StoreError;
pub use self::owner::{
    Follower, Following, InlineBlob, Most, Opening, Owner, PartialCommand, PartialWish, Receipt, Staged,
};
pub use self::partial::Partial;
pub use self::pins::{AllPins, PinSet, Pinned, Pins};
pub use self::progress::Progress;
pub use self::starts::Starts;
pub use self::state::{FORMAT, State};
pub use self::sums::{SumCursor, sha256_of};
pub use self::sweep::{Swept, sweep, tend_quarantine};

/// The directory of a log and its large blobs.
#[must_use]
pub fn log_directory(data: &Path, log: u8) -> PathBuf {
    data.join(format!("shard-{log:02}"))
}

/// The log that owns an association. Depends only on the number of logs, which is fixed for a `DATA`.
#[must_use]
pub fn log_of(association: &[u8; 16], logs: u8) -> u8 {
    let sum = crc32fast::hash(association);
    u8::try_from(sum % u32::from(logs.max(1))).unwrap_or(0)
}

/// What a shard asks of an owner on another one.
pub enum OwnerRequest {
    /// See [`Owner::commit`].
    Commit {
        /// The association.
        association: [u8; 16],
        /// Who writes.
        protocol: Protocol,
        /// What is to be done.
        command: Command,
        /// Small blobs that come with it.
        riding: Vec<InlineBlob>,
        /// Small blobs that are in the log already.
        staged: Vec<Staged>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Receipt, StoreError>>,
    },
    /// See [`Owner::partial`].
    Partial {
        /// The association.
        association: [u8; 16],
        /// Who writes.
        protocol: Protocol,
        /// What is to be done.
        command: PartialCommand,
        /// A small blob that comes with it.
        riding: Vec<InlineBlob>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// See [`Owner::stage`].
    Stage {
        /// The blob.
        blob: InlineBlob,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Staged, StoreError>>,
    },
}

/// The way to an owner: one per log, shared by all shards.
pub type OwnerSender = mpsc::UnboundedSender<OwnerRequest>;

/// What the shards of a node share.
#[derive(Clone)]
pub struct Shared {
    /// Identity of the node and number of its starts.
    pub state: State,
    /// Random, if another start may have had this number.
    pub chance: Option<u32>,
    /// Where numbers of further starts come from.
    pub starts: Arc<Starts>,
    /// `DATA`.
    pub data: PathBuf,
    /// The local tree.
    pub rows: Arc<dyn Rows>,
    /// Pins of all shards.
    pub pins: AllPins,
    /// One sender a log. Unbounded in form only: a connection waits for the answer to one request before
    /// it sends the next.
    pub owners: Vec<OwnerSender>,
    /// Number of shards; log `n` lives on shard `n % shards`.
    pub shards: usize,
    /// Bytes of the disk that large blobs leave to others.
    pub low_water_bytes: u64,
}

impl Shared {
    /// What makes the ids of a shard's blobs, or of a log's directories.
    #[must_use]
    pub fn ids(&self, number: u8) -> IdMaker {
        let (node, starts) = (self.state.node, self.state.starts);
        match self.chance {
            None => IdMaker::new(node, starts, number),
            Some(chance) => IdMaker::unsure(node, starts, number, chance),
        }
    }
}

/// A shard's handle on the store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Rc<Inner>);

struct Inner {
    shared: Shared,
    disk: Rc<dyn Disk>,
    files: Rc<BlobFiles>,
    pins: Pins,
    /// Owners that live on this shard.
    local: RefCell<HashMap<u8, Rc<Owner>>>,
    reader: Rc<Reader>,
    ids: RefCell<IdMaker>,
    /// Versions whose bytes are damaged: reported once, not summed again in this start.
    unreadable: RefCell<std::collections::HashSet<u64>>,
}

impl Store {
    /// The handle of a shard.
    #[must_use]
    pub fn new(shared: Shared, shard: u8, disk: Rc<dyn Disk>) -> Self {
        let ids = shared.ids(shard);
        let reader = Rc::new(Reader::new(Rc::clone(&disk), shared.data.clone()));
        let pins = shared.pins.of(usize::from(shard));
        let files = Rc::new(BlobFiles::new(Rc::clone(&disk), shared.low_water_bytes));
        Self(Rc::new(Inner {
            shared,
            disk,
            files,
            pins,
            local: RefCell::default(),
            reader,
            ids: RefCell::new(ids),
            unreadable: RefCell::default(),
        }))
    }

    /// Makes an owner of this shard known to it.
    pub fn adopt(&self, log: u8, owner: Rc<Owner>) {
        self.0.local.borrow_mut().insert(log, owner);
    }

    /// Serves what other shards ask of an owner, until they are all gone.
    pub async fn serve(owner: Rc<Owner>, mut requests: mpsc::UnboundedReceiver<OwnerRequest>, spawn: Spawn) {
        while let Some(request) = requests.next().await {
            match request {
                OwnerRequest::Commit {
                    association,
                    protocol,
                    command,
                    riding,
                    staged,
                    reply,
                } => {
                    let owner = Rc::clone(&owner);
                    spawn(Box::pin(async move {
                        let done = owner.commit(association, protocol, command, riding, staged).await;
                        // The connection may be gone; the change stands all the same.
                        let _ = reply.send(done);
                    }));
                }
                OwnerRequest::Partial {
                    association,
                    protocol,
                    command,
                    riding,
                    reply,
                } => {
                    let owner = Rc::clone(&owner);
                    spawn(Box::pin(async move {
                        let done = owner.partial(association, protocol, command, riding).await;
                        let _ = reply.send(done);
                    }));
                }
                OwnerRequest::Stage { blob, reply } => {
                    let owner = Rc::clone(&owner);
                    spawn(Box::pin(async move {
                        let _ = reply.send(owner.stage(&blob).await);
                    }));
                }
            }
        }
    }

    /// Number of the log that owns an association.
    #[must_use]
    pub fn log_of(&self, association: &[u8; 16]) -> u8 {
        log_of(association, self.0.shared.state.logs)
    }

    /// Whether an association's owner lives on this shard.
    #[must_use]
    pub fn owns(&self, association: &[u8; 16]) -> bool {
        self.0.local.borrow().contains_key(&self.log_of(association))
    }

    /// A consistent view of the tree.
    #[must_use]
    pub fn view(&self) -> Box<dyn View + Send> {
        self.0.shared.rows.snapshot()
    }

    /// A fresh id for a blob.
    ///
    /// # Errors
    ///
    /// When there are none left.
    pub fn blob_id(&self) -> Result<BlobId, StoreError> {
        Ok(self.0.ids.borrow_mut().next_id()?)
    }

    /// Gets the number of a further start for each maker of ids of this shard that runs low.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or there are no further starts.
    pub async fn tend_ids(&self) -> Result<(), StoreError> {
        self.tend(&self.0.ids).await?;
        let owners: Vec<_> = self.0.local.borrow().values().cloned().collect();
        for owner in owners {
            self.tend(owner.ids()).await?;
        }
        Ok(())
    }

    async fn tend(&self, ids: &RefCell<IdMaker>) -> Result<(), StoreError> {
        if ids.borrow().is_low() {
            let starts = self.0.shared.starts.claim(&self.0.disk).await?;
            tracing::info!(starts, "the ids of a start run low: got a further one");
            ids.borrow_mut().extend(starts);
        }
        Ok(())
    }

    /// Number of which this start makes its ids.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.0.shared.state.starts
    }

    /// Has starts from the next one on make their ids of numbers above this one.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or there are none above it.
    pub async fn begin_behind(&self, number: u32) -> Result<(), StoreError> {
        self.0.shared.starts.raise(&self.0.disk, number).await
    }

    /// Bytes that are free where the data is; `None` if the disk does not tell.
    pub async fn free_bytes(&self) -> Option<u64> {
        self.0.disk.free_bytes(&self.0.shared.data).await.ok()
    }

    /// Does a command; comes back when it is durable and applied.
    ///
    /// # Errors
    ///
    /// See [`Owner::commit`].
    pub async fn commit(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: Command,
        riding: Vec<InlineBlob>,
        staged: Vec<Staged>,
    ) -> Result<Receipt, StoreError> {
        let log = self.log_of(&association);
        if let Some(owner) = self.local(log) {
            return owner.commit(association, protocol, command, riding, staged).await;
        }
        self.ask(log, |reply| OwnerRequest::Commit {
            association,
            protocol,
            command,
            riding,
            staged,
            reply,
        })
        .await
    }

    /// Does something to an account's partial; `false` if there is no room to keep it.
    ///
    /// # Errors
    ///
    /// See [`Owner::partial`].
    pub async fn commit_partial(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: PartialCommand,
        riding: Vec<InlineBlob>,
    ) -> Result<bool, StoreError> {
        let log = self.log_of(&association);
        if let Some(owner) = self.local(log) {
            return owner.partial(association, protocol, command, riding).await;
        }
        self.ask(log, |reply| OwnerRequest::Partial {
            association,
            protocol,
            command,
            riding,
            reply,
        })
        .await
    }

    /// What is kept of an account's upload to a path.
    ///
    /// # Errors
    ///
    /// A tree that cannot be read.
    pub fn partial(
        &self,
        association: &[u8; 16],
        account: u64,
        path: &TreePath,
    ) -> Result<Option<Partial>, StoreError> {
        self.partial_in(self.view().as_ref(), association, account, path)
    }

    fn partial_in(
        &self,
        view: &dyn View,
        association: &[u8; 16],
        account: u64,
        path: &TreePath,
    ) -> Result<Option<Partial>, StoreError> {
        let (Some(name), Some(above)) = (path.name(), path.parent()) else {
            return Ok(None);
        };
        let Some(Row::Dir(above)) = lookup(view, *association, &above)? else {
            return Ok(None);
        };
        let mut partial = None;
        let key = partial::key(above.id, name, account);
        let found = view
            .get(&key, &mut |bytes| partial = Partial::decode(bytes))
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        if found && partial.is_none() {
            return Err(StoreError::Damaged(format!(
                "a kept upload to {path} cannot be read"
            )));
        }
        Ok(partial)
    }

    /// Opens what is kept of an account's upload to a path, to go on from it.
    ///
    /// # Errors
    ///
    /// A tree that cannot be read.
    pub fn open_partial(
        &self,
        association: &[u8; 16],
        account: u64,
        path: &TreePath,
    ) -> Result<Option<(Partial, Content)>, StoreError> {
        let (found, pins) = self.0.pins.hold(|pin| -> Result<_, StoreError> {
            let view = self.view();
            let Some(partial) = self.partial_in(view.as_ref(), association, account, path)? else {
                return Ok(None);
            };
            let located = self.locate(association, view.as_ref(), &partial.row, pin)?;
            Ok(Some((partial, located)))
        });
        let log = self.log_of(association);
        Ok(found?.map(|(partial, located)| {
            let content = Content::new(Rc::clone(&self.0.reader), log, located, Some(pins));
            (partial, content)
        }))
    }

    /// Puts a small blob into the log ahead of the change that will refer to it.
    ///
    /// # Errors
    ///
    /// See [`Owner::stage`].
    pub async fn stage(&self, association: &[u8; 16], blob: InlineBlob) -> Result<Staged, StoreError> {
        let log = self.log_of(association);
        if let Some(owner) = self.local(log) {
            return owner.stage(&blob).await;
        }
        self.ask(log, |reply| OwnerRequest::Stage { blob, reply }).await
    }

    /// Begins a large blob.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub async fn blob_writer(&self, association: &[u8; 16]) -> Result<BlobWriter, StoreError> {
        let log = self.log_of(association);
        let blobs = log_directory(&self.0.shared.data, log).join("blobs");
        let blob = self.blob_id()?;
        let pin = self.0.pins.pin(Pinned::Blob(blob));
        BlobWriter::create(Rc::clone(&self.0.files), (log, &blobs), blob, pin).await
    }

    /// Removes the files of blobs that nobody finished.
    pub async fn remove_abandoned(&self) {
        self.0.files.remove_abandoned().await;
    }

    /// Takes away a finished large blob that was never referred to.
    pub async fn remove_blob(&self, association: &[u8; 16], blob: BlobId) {
        let blobs = log_directory(&self.0.shared.data, self.log_of(association)).join("blobs");
        if let Err(error) = self.0.disk.remove(&blob::blob_path(&blobs, blob)).await {
            tracing::debug!(%blob, %error, "an unused blob stays for the next sweep");
        }
    }

    /// The bytes of a large blob that is finished and not referred to yet: readable as long as its writer's pin lives.
    #[must_use]
    pub fn unpublished(&self, association: &[u8; 16], content: &FileContent) -> Content {
        let located = content.extents.iter().map(|extent| Located {
            extent: *extent,
            place: Whereabouts::File,
        });
        let log = self.log_of(association);
        Content::new(Rc::clone(&self.0.reader), log, located.collect(), None)
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Not found, a directory, or a tree that cannot be read.
    pub fn open(&self, association: &[u8; 16], path: &TreePath) -> Result<Opened, StoreError> {
        let Held { row, located, pins } = self.hold(association, path)?;
        let log = self.log_of(association);
        let content = Content::new(Rc::clone(&self.0.reader), log, located, Some(pins));
        Ok(Opened { row, content })
    }

    /// Pins a file as it is, for any shard to read later.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub fn hold(&self, association: &[u8; 16], path: &TreePath) -> Result<Held, StoreError> {
        let (found, pins) = self.0.pins.hold(|pin| -> Result<_, StoreError> {
            let view = self.view();
            let row = match lookup(view.as_ref(), *association, path)? {
                Some(Row::File(row)) => row,
                Some(Row::Dir(_)) => {
                    return Err(filegrid_tree::TreeError::IsDirectory(path.to_string()).into());
                }
                None => return Err(filegrid_tree::TreeError::NotFound(path.to_string()).into()),
            };
            let located = self.locate(association, view.as_ref(), &row, pin)?;
            Ok((row, located))
        });
        let (row, located): (FileRow, Vec<Located>) = found?;
        Ok(Held { row, located, pins })
    }

    /// The bytes of a file that is held, to be read while it is.
    #[must_use]
    pub fn content_of(&self, association: &[u8; 16], held: &Held) -> Content {
        let log = self.log_of(association);
        Content::new(Rc::clone(&self.0.reader), log, held.located.clone(), None)
    }

    /// The shard that owns an association, if it is another one.
    #[must_use]
    pub fn shard_of(&self, association: &[u8; 16]) -> Option<usize> {
        let log = self.log_of(association);
        (!self.0.local.borrow().contains_key(&log)).then(|| usize::from(log) % self.0.shared.shards.max(1))
    }

    /// Pins a file whose row was read a moment ago, for any shard to read later; `None` if its blobs are gone by now.
    ///
    /// # Errors
    ///
    /// A tree that cannot be read.
    pub fn hold_row(&self, association: &[u8; 16], row: FileRow) -> Result<Option<Held>, StoreError> {
        let (located, pins) = self
            .0
            .pins
            .hold(|pin| self.locate(association, self.view().as_ref(), &row, pin));
        match located {
            Ok(located) => Ok(Some(Held { row, located, pins })),
            Err(StoreError::Damaged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a row that was read a moment ago, to be read once and past the page cache; `None` if its blobs are gone
    /// by now.
    fn open_row(&self, association: &[u8; 16], row: FileRow) -> Result<Option<Opened>, StoreError> {
        let opened = self
            .hold_row(association, row)?
            .map(|Held { row, located, pins }| {
                let log = self.log_of(association);
                let content = Content::new(Rc::clone(&self.0.reader), log, located, Some(pins)).past_cache();
                Opened { row, content }
            });
        Ok(opened)
    }

    fn is_unreadable(&self, version: u64) -> bool {
        self.0.unreadable.borrow().contains(&version)
    }

    fn mark_unreadable(&self, version: u64) {
        self.0.unreadable.borrow_mut().insert(version);
    }

    /// Finds and pins the blobs of a row that was read from `view`.
    fn locate(
        &self,
        association: &[u8; 16],
        view: &dyn View,
        row: &FileRow,
        pin: &mut dyn FnMut(Pinned),
    ) -> Result<Vec<Located>, StoreError> {
        let log = self.log_of(association);
        let mut located = Vec::with_capacity(row.extents.len());
        for extent in &row.extents {
            let found = owner::read_row(view, extent.blob)?.ok_or_else(|| {
                StoreError::Damaged(format!("blob {} is referred to but not known", extent.blob))
            })?;
            pin(match found.place {
                Whereabouts::File => Pinned::Blob(extent.blob),
                Whereabouts::Inline(place) => Pinned::Segment {
                    log,
                    segment: place.segment,
                    generation: place.generation,
                },
            });
            located.push(Located {
                extent: *extent,
                place: found.place,
            });
        }
        Ok(located)
    }

    fn local(&self, log: u8) -> Option<Rc<Owner>> {
        self.0.local.borrow().get(&log).cloned()
    }

    async fn ask<T>(
        &self,
        log: u8,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> OwnerRequest,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let owner = self
            .0
            .shared
            .owners
            .get(usize::from(log))
            .ok_or(StoreError::Fenced)?;
        owner
            .unbounded_send(request(reply))
            .map_err(|_| StoreError::Fenced)?;
        answer.await.map_err(|_| StoreError::Fenced)?
    }
}

/// How the store starts tasks on its shard.
pub type Spawn = Rc<dyn Fn(futures::future::LocalBoxFuture<'static, ()>)>;
