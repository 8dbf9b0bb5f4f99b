//! A file that is open for writing, and how it is published, kept or given up.

use std::ops::Range;

use filegrid_tree::{Base, Command, Id, Protocol, Publication, Row, TreePath, lookup};

use super::queue::Queued;
use super::writing::{Made, Writing};
use crate::error::Error;
use crate::metrics;
use crate::store::{InlineBlob, Opened, Partial, PartialCommand, PartialWish, Store, StoreError};

/// Where an upload goes to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) store: Store,
    pub(super) association: [u8; 16],
    pub(super) account: u64,
    pub(super) protocol: Protocol,
    pub(super) path: TreePath,
    /// Whether the directory is made: the account's root.
    pub(super) make_parents: bool,
    /// Whether what has arrived is kept when it breaks.
    pub(super) keeps_partials: bool,
}

impl Target {
    /// What is kept of an upload that broke.
    pub(super) fn kept(&self) -> Result<Option<Partial>, StoreError> {
        self.store.partial(&self.association, self.account, &self.path)
    }

    /// Ends what is kept of an upload before; whether there was something.
    pub(super) async fn end_partial(&self) -> Result<bool, Error> {
        let was_kept = self.kept()?.is_some();
        if was_kept {
            self.wish(PartialWish::End, Vec::new()).await?;
        }
        Ok(was_kept)
    }

    async fn commit(&self, command: Command, riding: Vec<InlineBlob>) -> Result<(), Error> {
        let done = self
            .store
            .commit(self.association, self.protocol, command, riding, Vec::new());
        done.await?;
        Ok(())
    }

    async fn wish(&self, what: PartialWish, riding: Vec<InlineBlob>) -> Result<bool, Error> {
        let command = PartialCommand {
            account: self.account,
            path: self.path.clone(),
            what,
        };
        let done = self
            .store
            .commit_partial(self.association, self.protocol, command, riding);
        Ok(done.await?)
    }
}

/// How a file was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    /// Version of the file that is there.
    pub(super) version: Option<u64>,
    /// Whether it is emptied.
    pub(super) truncates: bool,
    /// Whether no file may be there.
    pub(super) exclusive: bool,
    /// Whether all that is written goes to the end.
    pub(super) appends: bool,
}

/// A file that is open for writing.
pub(super) struct Upload {
    target: Target,
    opening: Opening,
    /// Its content, once something was done with it.
    writing: Option<Writing>,
    /// The kept upload that it goes on from, and the version of the file that was there when that began.
    partial: Option<(Id, Option<u64>)>,
    /// Whether what is kept refers to what was written here.
    synced: bool,
    /// Time that the client has set.
    mtime: Option<i64>,
    /// Bytes that were written.
    pub(super) written: u64,
}

impl Upload {
    pub(super) fn new(target: Target, opening: Opening) -> Self {
        Self {
            target,
            opening,
            writing: None,
            partial: None,
            synced: false,
            mtime: None,
            written: 0,
        }
    }

    /// Where it goes to.
    pub(super) fn path(&self) -> &TreePath {
        &self.target.path
    }

    /// Sets the time that the file will have.
    pub(super) fn set_time(&mut self, mtime: i64) {
        self.mtime = Some(mtime);
    }

    /// The time that the client has set.
    pub(super) fn time(&self) -> Option<i64> {
        self.mtime
    }

    /// Bytes of the file as it is by now; of what is kept, if nothing was done yet.
    pub(super) fn size(&self) -> Result<u64, Error> {
        if let Some(writing) = &self.writing {
            return Ok(writing.size());
        }
        if self.opening.truncates {
            return Ok(0);
        }
        let target = &self.target;
        if let Some(kept) = target.kept()? {
            return Ok(kept.row.size);
        }
        Ok(
            match lookup(target.store.view().as_ref(), target.association, &target.path)? {
                Some(Row::File(row)) => row.size,
                _ => 0,
            },
        )
    }

    /// Takes the bytes in a range of a packet as those from `at` on.
    pub(super) async fn write(&mut self, at: u64, packet: Queued, data: Range<usize>) -> Result<(), Error> {
        let at = if self.opening.appends { self.size()? } else { at };
        self.written += data.len() as u64;
        self.writing(Some(at))?.write(at, packet, data).await
    }

    /// Waits until the disk has taken what was written.
    pub(super) async fn settle(&self) {
        if let Some(writing) = &self.writing {
            writing.settle().await;
        }
    }

    /// Makes the file `size` bytes long.
    pub(super) fn resize(&mut self, size: u64) -> Result<(), Error> {
        self.writing(None)?.resize(size)
    }

    /// Reads some bytes from `at` on; 0 at the end.
    pub(super) async fn read(&mut self, at: u64, out: &mut [u8]) -> Result<usize, Error> {
        self.writing(None)?.read(at, out).await
    }

    /// The content, which begins with what there is. A kept upload is gone on with only by what is written where it
    /// ends: to all others it is no file.
    fn writing(&mut self, at: Option<u64>) -> Result<&mut Writing, Error> {
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => self.begin(at)?,
        };
        Ok(self.writing.insert(writing))
    }

    fn begin(&mut self, at: Option<u64>) -> Result<Writing, Error> {
        let target = &self.target;
        let via = target.protocol.into();
        let writing = |old| Writing::new(target.store.clone(), (target.association, via), old);
        if self.opening.truncates {
            return Ok(writing(None));
        }
        let kept = target
            .store
            .open_partial(&target.association, target.account, &target.path)?;
        if let Some((partial, content)) = kept
            && at == Some(partial.row.size)
        {
            self.partial = Some((partial.id, partial.base));
            return Ok(writing(Some(Opened {
                row: partial.row,
                content,
            })));
        }
        let old = match target.store.open(&target.association, &target.path) {
            Ok(old) => Some(old),
            Err(StoreError::Tree(filegrid_tree::TreeError::NotFound(_))) => None,
            Err(error) => return Err(error.into()),
        };
        self.opening.version = old.as_ref().map(|old| old.row.version);
        Ok(writing(old))
    }

    /// Version of the file that was there when the upload began.
    fn base(&self) -> Option<u64> {
        self.partial.map_or(self.opening.version, |(_, base)| base)
    }

    /// Publishes the file, if it is other than it was. `may` says whether that is still wanted when all of it is on
    /// the disk.
    pub(super) async fn close(mut self, may: impl FnOnce() -> bool) -> Result<(), Error> {
        let is_there = self.opening.version.is_some() && !self.opening.truncates;
        let changed = self.writing.as_ref().is_some_and(Writing::is_changed);
        if is_there && !changed && self.partial.is_none() {
            return match self.mtime {
                Some(mtime) => self.change_time(mtime).await,
                None => Ok(()),
            };
        }
        self.writing(None)?;
        let Some(mut writing) = self.writing.take() else {
            return Ok(());
        };
        let made = match writing.make().await {
            Ok(made) if may() => made,
            made => {
                self.give_up(writing).await;
                return Err(made.err().unwrap_or(Error::Disconnected));
            }
        };
        let content = made.content.clone();
        let published = self.publish(made).await;
        match &published {
            Ok(()) => writing.discard_unused(&content).await,
            // Behind a fence nobody knows what the log holds: what it may refer to stays.
            Err(Error::Fenced) => {}
            Err(_) => self.give_up(writing).await,
        }
        published
    }

    /// Gives back what was written, unless what is kept refers to it.
    async fn give_up(&self, mut writing: Writing) {
        if !self.synced {
            writing.discard().await;
        }
    }

    async fn publish(&self, made: Made) -> Result<(), Error> {
        let Made { content, riding } = made;
        if let Some((from, base)) = self.partial {
            self.target
                .wish(PartialWish::Publish { content, base, from }, riding)
                .await?;
            metrics::mine().via(self.target.protocol.into()).changes.add(1);
            return match self.mtime {
                Some(mtime) => self.change_time(mtime).await,
                None => Ok(()),
            };
        }
        let base = match (self.opening.version, self.opening) {
            (_, opening) if opening.exclusive => Base::Absent,
            (Some(version), opening) if !opening.truncates => Base::Version(version),
            _ => Base::Any,
        };
        let files = vec![Publication {
            path: self.target.path.clone(),
            content,
            base,
            mtime: self.mtime,
        }];
        let make_parents = self.target.make_parents;
        self.target
            .commit(Command::Publish { files, make_parents }, riding)
            .await?;
        metrics::mine().via(self.target.protocol.into()).changes.add(1);
        Ok(())
    }

    async fn change_time(&self, mtime: i64) -> Result<(), Error> {
        let path = self.target.path.clone();
        self.target
            .commit(Command::SetTime { path, mtime }, Vec::new())
            .await
    }

    /// Makes what was written durable: it is kept as an upload that broke would be.
    pub(super) async fn sync(&mut self) -> Result<(), Error> {
        let Some(mut writing) = self.writing.take() else {
            return Ok(());
        };
        let synced = self.sync_now(&mut writing).await;
        self.writing = Some(writing);
        synced
    }

    async fn sync_now(&mut self, writing: &mut Writing) -> Result<(), Error> {
        if !writing.is_changed() {
            return Ok(());
        }
        let made = writing.make().await?;
        let content = made.content.clone();
        if !self.keep(made).await? {
            let text = "there is no room to keep what was written before the file is closed";
            return Err(Error::Conflict(text.to_owned()));
        }
        let kept = self.target.kept()?;
        let kept = kept.ok_or_else(|| Error::Conflict("the file has changed meanwhile".to_owned()))?;
        self.partial = Some((kept.id, kept.base));
        self.synced = true;
        writing.are_in_log(&content);
        Ok(())
    }

    /// Gives the upload up: what has arrived of it is kept, if it can be gone on with.
    pub(super) async fn break_off(mut self) {
        let Some(mut writing) = self.writing.take() else {
            return;
        };
        let broken = writing.break_off().await;
        let worth = writing.is_changed() && writing.size() > 0 && writing.is_beginning();
        if broken.is_ok() && worth && self.target.keeps_partials {
            let made = match writing.make().await {
                Ok(made) => made,
                Err(error) => {
                    tracing::debug!(path = %self.target.path, %error, "an upload that broke is not kept");
                    return self.give_up(writing).await;
                }
            };
            let content = made.content.clone();
            match self.keep(made).await {
                Ok(true) => return writing.discard_unused(&content).await,
                Err(Error::Fenced) => return,
                Ok(false) => {
                    tracing::info!(path = %self.target.path, "no room to keep an upload that broke");
                }
                Err(error) => {
                    tracing::debug!(path = %self.target.path, %error, "an upload that broke is not kept");
                }
            }
        }
        self.give_up(writing).await;
    }

    /// Keeps what has arrived; `false` if there is no room for it.
    async fn keep(&self, made: Made) -> Result<bool, Error> {
        if self.target.make_parents {
            self.make_root().await?;
        }
        let Made { content, riding } = made;
        let (base, from) = (self.base(), self.partial.map(|(from, _)| from));
        self.target
            .wish(PartialWish::Keep { content, base, from }, riding)
            .await
    }

    /// Makes the account's root, if it is not there.
    async fn make_root(&self) -> Result<(), Error> {
        let root = self.target.path.parent().unwrap_or_default();
        let view = self.target.store.view();
        if lookup(view.as_ref(), self.target.association, &root)?.is_some() {
            return Ok(());
        }
        let command = Command::MakeDir {
            path: root,
            parents: true,
            existing_ok: true,
        };
        self.target.commit(command, Vec::new()).await
    }
}
