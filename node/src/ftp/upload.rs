//! An upload, from its data connection to a file, or to what is kept of it.

use std::time::Duration;

use filegrid_tree::{Base, Command, FileContent, Id, Publication, TreeError, TreePath, lookup};

use super::abort::Abort;
use super::data::Data;
use super::resume::{Chained, Prefix};
use crate::error::Error;
use crate::ingest::{Arrived, Stored, receive};
use crate::limits::{FTP_APPEND_TRIES_MAX_COUNT, FTP_EXTENTS_MAX_COUNT};
use crate::metrics;
use crate::ring;
use crate::store::{InlineBlob, Opened, PartialCommand, PartialWish, Store, StoreError};

/// Where an upload goes to.
pub(super) struct Upload {
    pub(super) store: Store,
    pub(super) association: [u8; 16],
    pub(super) account: u64,
    pub(super) protocol: filegrid_tree::Protocol,
    pub(super) path: TreePath,
    /// Whether the directory is made: the account's root.
    pub(super) make_parents: bool,
    /// Version of the file that is there when it begins.
    pub(super) version: Option<u64>,
    /// Whether what has arrived is kept when it breaks.
    pub(super) keeps_partials: bool,
}

/// What an upload goes on from.
pub(super) enum From {
    /// Nothing: it is whole, and takes the place of what there is.
    Nothing,
    /// Nothing, and nothing has that name.
    Nowhere,
    /// Bytes that are there.
    Beginning(Box<Beginning>),
    /// The end of whatever is there when all has come.
    End,
}

/// The first bytes of a file, or of what is kept of an upload.
pub(super) struct Beginning {
    pub(super) opened: Opened,
    /// How many count.
    pub(super) offset: u64,
    /// The partial that they are of, and the version of the file that was there when it began.
    pub(super) partial: Option<(Id, Option<u64>)>,
}

impl Beginning {
    /// Version of the file that was there when the upload began.
    fn base(&self) -> Option<u64> {
        match self.partial {
            Some((_, base)) => base,
            None => Some(self.opened.row.version),
        }
    }
}

impl Upload {
    /// Receives all of it and publishes it. What breaks is kept, to be gone on with.
    pub(super) async fn take(&self, data: &mut Data, from: From, abort: &Abort) -> Result<(), Error> {
        if matches!(from, From::Nothing) {
            self.end_partial().await?;
        }
        let (Arrived { mut stored, broken }, fresh) = self.receive(data, &from).await?;
        data.end().await;
        let done = match broken {
            None if !abort.is_raised() => self.publish(&mut stored, &from, abort).await,
            broken => Err(broken.unwrap_or(Error::Disconnected)),
        };
        let cut_off = matches!(done, Err(Error::Disconnected | Error::Timeout(_)));
        if cut_off && fresh > 0 && self.keeps_partials {
            match self.keep(&mut stored, &from).await {
                Ok(true) | Err(StoreError::Fenced) => return done,
                Ok(false) => tracing::info!(path = %self.path, "no room to keep an upload that broke"),
                Err(error) => tracing::debug!(path = %self.path, %error, "an upload that broke is not kept"),
            }
        }
        // Behind a fence nobody knows what the log holds: what it may refer to stays.
        if done.as_ref().is_err_and(|error| !matches!(error, Error::Fenced)) {
            stored.discard(&self.store, &self.association).await;
        }
        done
    }

    /// What has arrived, behind what it goes on from, and how much of that is new.
    async fn receive(&self, data: &mut Data, from: &From) -> Result<(Arrived, u64), Error> {
        let (store, association) = (&self.store, &self.association);
        let From::Beginning(beginning) = from else {
            let arrived = receive(data, store, association).await?;
            let fresh = arrived.stored.content.size;
            return Ok((arrived, fresh));
        };
        let Beginning { opened, offset, .. } = beginning.as_ref();
        if opened.row.extents.len() < FTP_EXTENTS_MAX_COUNT {
            let prefix = Prefix::of(opened, *offset).await?;
            let mut arrived = receive(data, store, association).await?;
            let fresh = arrived.stored.content.size;
            arrived.stored.content = prefix.and_then(&arrived.stored.content);
            return Ok((arrived, fresh));
        }
        let mut both = Chained::new(&opened.content, *offset, data);
        let arrived = receive(&mut both, store, association).await?;
        let fresh = arrived.stored.content.size.saturating_sub(*offset);
        Ok((arrived, fresh))
    }

    async fn publish(&self, stored: &mut Stored, from: &From, abort: &Abort) -> Result<(), Error> {
        let base = match from {
            From::End => return self.append(stored, abort).await,
            From::Nothing => Base::Any,
            From::Nowhere => Base::Absent,
            From::Beginning(beginning) => match beginning.partial {
                Some((from, base)) => {
                    let content = stored.content.clone();
                    let wish = PartialWish::Publish { content, base, from };
                    self.wish(wish, std::mem::take(&mut stored.riding)).await?;
                    metrics::mine().via(self.protocol.into()).changes.add(1);
                    return Ok(());
                }
                None => Base::Version(beginning.opened.row.version),
            },
        };
        let riding = std::mem::take(&mut stored.riding);
        Ok(self.commit(&stored.content, riding, base).await?)
    }

    /// Publishes what continues a file, at the end of the version that is there at that moment.
    async fn append(&self, stored: &Stored, abort: &Abort) -> Result<(), Error> {
        for turn in 0..FTP_APPEND_TRIES_MAX_COUNT {
            if abort.is_raised() {
                return Err(Error::Disconnected);
            }
            match self.append_now(stored).await {
                // The other's change is decided and not yet to be read: it is on its way to the disk.
                Err(StoreError::Tree(TreeError::Stale(_) | TreeError::Exists(_))) => {
                    ring::sleep(Duration::from_millis(1 + turn / 8)).await;
                }
                other => return other.map_err(Error::from),
            }
        }
        Err(Error::Conflict("the file changes all the time".to_owned()))
    }

    async fn append_now(&self, stored: &Stored) -> Result<(), StoreError> {
        // What rides is needed again if the file has changed meanwhile.
        let riding = stored.riding.iter().map(|blob| InlineBlob {
            id: blob.id,
            bytes: blob.bytes.clone(),
        });
        let riding = riding.collect();
        let (content, version) = self.appended(stored)?;
        let base = version.map_or(Base::Absent, Base::Version);
        self.commit(&content, riding, base).await
    }

    /// The file as it is now with `stored` behind it, and its version.
    fn appended(&self, stored: &Stored) -> Result<(FileContent, Option<u64>), StoreError> {
        match self.store.open(&self.association, &self.path) {
            Ok(opened) => {
                let content = Prefix::whole(&opened).and_then(&stored.content);
                Ok((content, Some(opened.row.version)))
            }
            Err(StoreError::Tree(TreeError::NotFound(_))) => Ok((stored.content.clone(), None)),
            Err(error) => Err(error),
        }
    }

    async fn commit(
        &self,
        content: &FileContent,
        riding: Vec<InlineBlob>,
        base: Base,
    ) -> Result<(), StoreError> {
        let command = Command::Publish {
            files: vec![Publication {
                path: self.path.clone(),
                content: content.clone(),
                base,
                mtime: None,
            }],
            make_parents: self.make_parents,
        };
        let done = self
            .store
            .commit(self.association, self.protocol, command, riding, Vec::new());
        done.await?;
        metrics::mine().via(self.protocol.into()).changes.add(1);
        Ok(())
    }

    /// Keeps what has arrived; `false` if there is no room for it.
    async fn keep(&self, stored: &mut Stored, from: &From) -> Result<bool, StoreError> {
        let (content, base, from) = match from {
            // Nobody can ask for it by its name.
            From::Nowhere => return Ok(false),
            From::Nothing => (stored.content.clone(), self.version, None),
            From::Beginning(beginning) => (
                stored.content.clone(),
                beginning.base(),
                beginning.partial.map(|(from, _)| from),
            ),
            From::End => {
                let (content, version) = self.appended(stored)?;
                (content, version, None)
            }
        };
        if self.make_parents {
            self.make_root().await?;
        }
        let riding = std::mem::take(&mut stored.riding);
        self.wish(PartialWish::Keep { content, base, from }, riding).await
    }

    /// Makes the account's root, if it is not there.
    async fn make_root(&self) -> Result<(), StoreError> {
        let root = self.path.parent().unwrap_or_default();
        if lookup(self.store.view().as_ref(), self.association, &root)?.is_some() {
            return Ok(());
        }
        let command = Command::MakeDir {
            path: root,
            parents: true,
            existing_ok: true,
        };
        let done = self
            .store
            .commit(self.association, self.protocol, command, Vec::new(), Vec::new());
        done.await.map(drop)
    }

    async fn end_partial(&self) -> Result<(), Error> {
        let known = self.store.partial(&self.association, self.account, &self.path)?;
        if known.is_some() {
            self.wish(PartialWish::End, Vec::new()).await?;
        }
        Ok(())
    }

    async fn wish(&self, what: PartialWish, riding: Vec<InlineBlob>) -> Result<bool, StoreError> {
        let command = PartialCommand {
            account: self.account,
            path: self.path.clone(),
            what,
        };
        let done = self
            .store
            .commit_partial(self.association, self.protocol, command, riding);
        done.await
    }
}
