//! Keeps what has arrived of uploads that broke, and ends that.
//!
//! What a partial may build on is decided here, in log order: a blob that loses its last reference is given back, so
//! nothing may be published or kept that refers to a partial which is about to end.

use filegrid_tree::{
    Base, Command, FileContent, FileRow, Id, Protocol, Row, TreeError, TreePath, keys, lookup,
};
use futures::channel::oneshot;

use super::{InlineBlob, Owner, Queued};
use crate::clock;
use crate::store::StoreError;
use crate::store::log::{NewRecord, RecordKind, Space};
use crate::store::partial::{self, Partial, PartialChange};
use crate::store::partials::Whose;

/// What is wanted of an account's partial at a path.
#[derive(Debug, Clone)]
pub struct PartialCommand {
    /// The account.
    pub account: u64,
    /// Where.
    pub path: TreePath,
    /// What.
    pub what: PartialWish,
}

/// See [`PartialCommand`].
#[derive(Debug, Clone)]
pub enum PartialWish {
    /// That it is kept, in the place of an earlier one.
    Keep {
        /// What has arrived, with what it goes on from.
        content: FileContent,
        /// Version of the file that was there when the upload began; `None`: there was none.
        base: Option<u64>,
        /// The partial that it goes on from.
        from: Option<Id>,
    },
    /// That it is published, with what has come behind it.
    Publish {
        /// All of it.
        content: FileContent,
        /// Version of the file that was there when the upload began; `None`: there was none.
        base: Option<u64>,
        /// The partial.
        from: Id,
    },
    /// That it ends, if there is one.
    End,
}

impl Owner {
    /// Does what is wanted; comes back when it is durable and applied. `false`: there is no room for what was to be
    /// kept, so it is not.
    ///
    /// # Errors
    ///
    /// As for [`Owner::commit`]; [`TreeError::Stale`] if the file, or the partial that is gone on from, is another by
    /// now.
    pub async fn partial(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        command: PartialCommand,
        riding: Vec<InlineBlob>,
    ) -> Result<bool, StoreError> {
        let PartialCommand { account, path, what } = command;
        match what {
            PartialWish::Keep { content, base, from } => {
                let partial = self.made(association, protocol, base, content)?;
                let keep = || {
                    self.writable(Space::Upload)?;
                    let key = self.place(association, account, &path, Some(base), from)?;
                    let whose = (association, account);
                    let room = self.partials.borrow().room(&whose, &key, partial.row.size);
                    let Some(leave) = room else {
                        return Ok(None);
                    };
                    let mut changes: Vec<_> = leave.into_iter().map(PartialChange::Ended).collect();
                    changes.push(PartialChange::Kept(key, partial.clone()));
                    self.note(changes, &riding, Space::Upload).map(Some)
                };
                match self.when_ready(keep).await? {
                    Some(applied) => applied.await.map_err(|_| StoreError::Fenced)?,
                    None => return Ok(false),
                }
            }
            PartialWish::Publish { content, base, from } => {
                let command = Command::Publish {
                    files: vec![filegrid_tree::Publication {
                        path: path.clone(),
                        content,
                        base: base.map_or(Base::Absent, Base::Version),
                        mtime: None,
                    }],
                    make_parents: false,
                };
                let publish = || {
                    self.place(association, account, &path, None, Some(from))?;
                    self.submit(association, protocol, &command, &riding, &mut Vec::new())
                };
                let answer = self.when_ready(publish).await?;
                drop(riding);
                answer.await.map_err(|_| StoreError::Fenced)??;
            }
            PartialWish::End => {
                self.writable(Space::Cure)?;
                let key = self.place(association, account, &path, None, None)?;
                self.end(vec![key]).await?;
            }
        }
        Ok(true)
    }

    /// Ends the partials that are over: `over` is asked whose one is and when it was kept, in Unix milliseconds.
    ///
    /// # Errors
    ///
    /// If the log does not take it.
    pub async fn end_partials(&self, over: &dyn Fn(&Whose, i64) -> bool) -> Result<(), StoreError> {
        let over = self.partials.borrow().over(over);
        self.end(over).await
    }

    async fn end(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let known = |key: &&Vec<u8>| self.partials.borrow().get(key).is_some();
        let end = || {
            let known = keys.iter().filter(known).cloned();
            let changes: Vec<_> = known.map(PartialChange::Ended).collect();
            if changes.is_empty() {
                return Ok(None);
            }
            self.note(changes, &[], Space::Cure).map(Some)
        };
        match self.when_ready(end).await? {
            Some(applied) => applied.await.map_err(|_| StoreError::Fenced),
            None => Ok(()),
        }
    }

    /// The key of a partial at a path, if the file there and the partial are those that are meant. Looks at the tree
    /// as it will be once all that is queued is applied.
    fn place(
        &self,
        association: [u8; 16],
        account: u64,
        path: &TreePath,
        base: Option<Option<u64>>,
        from: Option<Id>,
    ) -> Result<Vec<u8>, StoreError> {
        let view = self.rows.snapshot();
        let overlay = self.overlay.borrow();
        let seen = overlay.over(view.as_ref());
        let stale = || StoreError::from(TreeError::Stale(path.to_string()));
        let name = path
            .name()
            .ok_or_else(|| TreeError::IsDirectory(path.to_string()))?;
        let above = path.parent().unwrap_or_default();
        let Some(Row::Dir(above)) = lookup(&seen, association, &above)? else {
            return Err(TreeError::NotFound(above.to_string()).into());
        };
        if let Some(base) = base {
            let mut row = Ok(None);
            let read = filegrid_tree::View::get(&seen, &keys::row(above.id, name), &mut |bytes| {
                row = Row::decode(bytes).map(Some);
            });
            read.map_err(TreeError::from)?;
            let version = match row? {
                Some(Row::Dir(_)) => return Err(TreeError::IsDirectory(path.to_string()).into()),
                Some(Row::File(row)) => Some(row.version),
                None => None,
            };
            if version != base {
                return Err(stale());
            }
        }
        let key = partial::key(above.id, name, account);
        let partials = self.partials.borrow();
        let known = partials.get(&key).map(|known| known.id);
        if from.is_some() && from != known {
            return Err(stale());
        }
        Ok(key)
    }

    fn made(
        &self,
        association: [u8; 16],
        protocol: Protocol,
        base: Option<u64>,
        content: FileContent,
    ) -> Result<Partial, StoreError> {
        let now = clock::now_ms();
        let row = FileRow {
            version: 0,
            size: content.size,
            crc32: content.crc32,
            sha256: None,
            created_at: now,
            updated_at: None,
            mtime: now,
            protocol,
            extents: content.extents,
        };
        Ok(Partial {
            id: self.ids.borrow_mut().next_id()?,
            association,
            base,
            row,
        })
    }

    /// Puts records of partials into the batch that is being gathered; resolves when they are applied.
    fn note(
        &self,
        changes: Vec<PartialChange>,
        riding: &[InlineBlob],
        space: Space,
    ) -> Result<oneshot::Receiver<()>, StoreError> {
        let blobs: Vec<[&[u8]; 2]> = riding
            .iter()
            .map(|blob| [blob.id.0.as_slice(), blob.bytes.as_slice()])
            .collect();
        let payloads: Vec<_> = changes.iter().map(PartialChange::encode).collect();
        let payloads: Vec<[&[u8]; 1]> = payloads.iter().map(|payload| [payload.as_slice()]).collect();
        let blobs = blobs.iter().map(|parts| (RecordKind::Blob, parts.as_slice()));
        let payloads = payloads
            .iter()
            .map(|parts| (RecordKind::Partial, parts.as_slice()));
        let records: Vec<_> = blobs
            .chain(payloads)
            .map(|(kind, parts)| NewRecord {
                kind,
                sequence: 0,
                parts,
            })
            .collect();
        let appended = self.log.append(&records, space)?;
        for PartialChange::Kept(key, _) | PartialChange::Ended(key) in &changes {
            self.partials.borrow_mut().leaves(key);
        }
        let (done, applied) = oneshot::channel();
        let places = riding.iter().map(|blob| blob.id).zip(appended.places).collect();
        let queued = Queued::Partial {
            changes,
            places,
            done,
        };
        self.queue.borrow_mut().push_back((appended.batch, queued));
        Ok(applied)
    }
}
