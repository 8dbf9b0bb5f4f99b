//! RETR, STOR, APPE, STOU.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use filegrid_tree::{Base, Command, FileContent, Publication, Row, TreeError, TreePath, lookup};

use super::abort::Abort;
use super::data::{self, Data, Plan, Security, Way};
use super::reply::Reply;
use super::resume::{Chained, Prefix};
use super::session::{Done, Session};
use crate::clock;
use crate::error::Error;
use crate::ingest::{Stored, receive};
use crate::limits::{FTP_APPEND_TRIES_MAX_COUNT, FTP_EXTENTS_MAX_COUNT};
use crate::metrics;
use crate::ring;
use crate::send::send;
use crate::store::{InlineBlob, Opened, Store, StoreError};

impl Session {
    pub(super) async fn retrieve(&mut self, text: &str, offset: u64) -> Done {
        let opened = match self.open(text) {
            Ok(opened) => opened,
            Err(error) => return self.refused(error.into()),
        };
        let size = opened.row.size;
        if offset > size {
            return self.refused(Reply::new(554, format!("The file has {size} bytes")).into());
        }
        let intro = format!("Sending {} bytes", size - offset);
        let content = opened.content;
        let end = self
            .transfer("RETR", text, &intro, Way::Out, async |data, _| {
                send(data, &content, offset..size).await
            })
            .await;
        said(end, "Sent")
    }

    pub(super) async fn store(&mut self, text: &str, offset: u64) -> Done {
        if offset == 0 {
            let path = self.target(text);
            return self.receive("STOR", text, path, Base::Any, "Go on").await;
        }
        let opened = match self.open(text) {
            Ok(opened) => opened,
            Err(error) => return self.refused(error.into()),
        };
        if offset > opened.row.size {
            let text = format!("The file has {} bytes", opened.row.size);
            return self.refused(Reply::new(554, text).into());
        }
        let path = self.target(text);
        self.continued("STOR", text, path, Some((opened, offset))).await
    }

    pub(super) async fn append(&mut self, text: &str) -> Done {
        let path = self.target(text);
        // Many pieces become one again: that needs a version to begin with.
        let many = self
            .open(text)
            .ok()
            .filter(|opened| opened.row.extents.len() >= FTP_EXTENTS_MAX_COUNT);
        let from = many.map(|opened| {
            let size = opened.row.size;
            (opened, size)
        });
        self.continued("APPE", text, path, from).await
    }

    pub(super) async fn store_unique(&mut self) -> Done {
        let name = format!("ftp-{}", uuid::Uuid::new_v4().simple());
        let path = self.target(&name);
        // RFC 1123 §4.1.2.9: clients learn the name from here.
        self.receive("STOU", &name, path, Base::Absent, &format!("FILE: {name}"))
            .await
    }

    /// A file that is to be read.
    fn open(&self, text: &str) -> Result<Opened, Error> {
        let path = self.path(text)?;
        Ok(self.ftp.store.open(&self.user()?.association, &path)?)
    }

    /// Where a file may be written: in a directory that is there, and not in the place of one.
    fn target(&self, text: &str) -> Result<TreePath, Error> {
        let path = self.path(text)?;
        let user = self.user()?;
        let view = self.ftp.store.view();
        if let Some(Row::Dir(_)) = lookup(view.as_ref(), user.association, &path)? {
            return Err(TreeError::IsDirectory(self.shown(&path)).into());
        }
        let above = path.parent().unwrap_or_default();
        match lookup(view.as_ref(), user.association, &above)? {
            Some(Row::Dir(_)) => Ok(path),
            // The root is there from the beginning, also before the first upload.
            None if above == user.root => Ok(path),
            Some(Row::File(_)) => Err(TreeError::NotDirectory(self.shown(&above)).into()),
            None => Err(TreeError::NotFound(self.shown(&above)).into()),
        }
    }

    /// Receives a file that builds on no other.
    async fn receive(
        &mut self,
        verb: &'static str,
        text: &str,
        path: Result<TreePath, Error>,
        base: Base,
        intro: &str,
    ) -> Done {
        let upload = match path.and_then(|path| self.upload(path)) {
            Ok(upload) => upload,
            Err(error) => return self.refused(error.into()),
        };
        let way = self.inward();
        let end = self
            .transfer(verb, text, intro, way, async |data, abort| {
                let stored = receive(data, &upload.store, &upload.association).await?;
                data.end().await;
                upload.publish(stored, base, abort).await
            })
            .await;
        said(end, "Stored")
    }

    /// Receives what continues a file: from an offset of the version that was opened, or at the end of whatever
    /// version there is when all has come.
    async fn continued(
        &mut self,
        verb: &'static str,
        text: &str,
        path: Result<TreePath, Error>,
        from: Option<(Opened, u64)>,
    ) -> Done {
        let upload = match path.and_then(|path| self.upload(path)) {
            Ok(upload) => upload,
            Err(error) => return self.refused(error.into()),
        };
        let way = self.inward();
        let end = self
            .transfer(verb, text, "Go on", way, async |data, abort| match from {
                Some((opened, offset)) => {
                    let base = Base::Version(opened.row.version);
                    if opened.row.extents.len() < FTP_EXTENTS_MAX_COUNT {
                        let prefix = Prefix::of(&opened, offset).await?;
                        let mut stored = receive(data, &upload.store, &upload.association).await?;
                        data.end().await;
                        stored.content = prefix.and_then(&stored.content);
                        return upload.publish(stored, base, abort).await;
                    }
                    let mut both = Chained::new(&opened.content, offset, data);
                    let stored = receive(&mut both, &upload.store, &upload.association).await?;
                    data.end().await;
                    upload.publish(stored, base, abort).await
                }
                None => {
                    let stored = receive(data, &upload.store, &upload.association).await?;
                    data.end().await;
                    upload.append(stored, abort).await
                }
            })
            .await;
        said(end, "Stored")
    }

    fn upload(&self, path: TreePath) -> Result<Upload, Error> {
        let user = self.user()?;
        Ok(Upload {
            store: self.ftp.store.clone(),
            association: user.association,
            protocol: self.protocol(),
            make_parents: path.parent().unwrap_or_default() == user.root,
            path,
        })
    }

    fn inward(&self) -> Way {
        Way::In {
            lenient: self.ftp.settings.lenient,
        }
    }

    /// A transfer that does not take place: what was set up for it is given up.
    pub(super) fn refused(&mut self, done: Done) -> Done {
        self.plan = Plan::None;
        done
    }

    /// Opens the data connection, says so, moves bytes and closes it. Minds the control connection meanwhile.
    pub(super) async fn transfer(
        &mut self,
        verb: &'static str,
        text: &str,
        intro: &str,
        way: Way,
        work: impl AsyncFnOnce(&mut Data, &Abort) -> Result<(), Error>,
    ) -> Result<(), Done> {
        let abort = Rc::new(Abort::default());
        self.handle.transfers(Some(Rc::clone(&abort)));
        let started = clock::monotonic();
        let mut moved = 0;
        let end = self.moves(intro, way, &abort, &mut moved, work).await;
        self.handle.transfers(None);
        let done = match &end {
            Ok(()) => "whole".to_owned(),
            Err(Done::Reply(reply)) => reply.code().to_string(),
            Err(Done::Silence) => "unknown".to_owned(),
        };
        tracing::info!(
            target: "transfer",
            protocol = self.protocol().name(),
            peer = %self.ends.peer,
            user = self.account.as_ref().map_or("", |account| account.username.as_str()),
            verb,
            path = text,
            bytes = moved,
            ms = clock::monotonic().duration_since(started).as_millis(),
            done,
        );
        end
    }

    async fn moves(
        &mut self,
        intro: &str,
        way: Way,
        abort: &Rc<Abort>,
        moved: &mut u64,
        work: impl AsyncFnOnce(&mut Data, &Abort) -> Result<(), Error>,
    ) -> Result<(), Done> {
        let plan = std::mem::take(&mut self.plan);
        let security = self.security(way)?;
        let ftp = Rc::clone(&self.ftp);
        let opening = data::open(plan, self.ends, ftp.settings.data_timeout, abort);
        let socket = self.mind(opening, abort).await?;
        if self.control.reply(&Reply::new(150, intro)).await.is_err() {
            return Err(Done::Silence);
        }
        let working = async {
            let started = Data::start(socket, &ftp.sweeper, &ftp.handshakes, security, way).await;
            let mut data = started?;
            let worked = work(&mut data, abort).await;
            data.end().await;
            *moved = data.moved;
            match worked {
                Ok(()) => Ok(()),
                Err(Error::Disconnected) if abort.is_raised() => Err(data::aborted().into()),
                Err(Error::Disconnected) if data.was_cut_off() => {
                    let text = "The data connection ended without close_notify: it may have been cut off";
                    Err(Reply::new(426, text).into())
                }
                Err(Error::Disconnected) => Err(Reply::new(426, "The data connection broke").into()),
                Err(error) => Err(error.into()),
            }
        };
        self.mind(working, abort).await
    }

    fn security(&self, way: Way) -> Result<Option<Security>, Done> {
        if !self.state.is_protected() {
            return Ok(None);
        }
        let config = self.handshakes.as_ref().map(|handshakes| match way {
            Way::In { .. } => Arc::clone(&handshakes.inward),
            Way::Out => Arc::clone(&handshakes.outward),
        });
        let config = config.ok_or_else(|| Done::from(Reply::new(425, "Send AUTH TLS first")))?;
        Ok(Some(Security {
            config,
            resumption_required: self.ftp.settings.resumption_required,
        }))
    }
}

/// The last reply to a transfer.
pub(super) fn said(end: Result<(), Done>, text: &str) -> Done {
    end.map_or_else(|done| done, |()| Reply::new(226, text).into())
}

/// What publishing a file takes.
struct Upload {
    store: Store,
    association: [u8; 16],
    protocol: filegrid_tree::Protocol,
    path: TreePath,
    make_parents: bool,
}

impl Upload {
    /// Publishes a file that has come whole, unless its session is gone by now.
    async fn publish(&self, mut stored: Stored, base: Base, abort: &Abort) -> Result<(), Error> {
        let committed = if abort.is_raised() {
            Err(Error::Disconnected)
        } else {
            let riding = std::mem::take(&mut stored.riding);
            let committed = self.commit(&stored.content, riding, base).await;
            committed.map_err(Error::from)
        };
        self.keep_or_discard(stored, committed).await
    }

    /// Publishes what continues a file, at the end of the version that is there at that moment.
    async fn append(&self, stored: Stored, abort: &Abort) -> Result<(), Error> {
        let mut committed = Err(Error::Conflict("the file changes all the time".to_owned()));
        for turn in 0..FTP_APPEND_TRIES_MAX_COUNT {
            if abort.is_raised() {
                committed = Err(Error::Disconnected);
                break;
            }
            match self.append_now(&stored).await {
                // The other's change is decided and not yet to be read: it is on its way to the disk.
                Err(StoreError::Tree(TreeError::Stale(_) | TreeError::Exists(_))) => {
                    ring::sleep(Duration::from_millis(1 + turn / 8)).await;
                }
                other => {
                    committed = other.map_err(Error::from);
                    break;
                }
            }
        }
        self.keep_or_discard(stored, committed).await
    }

    async fn append_now(&self, stored: &Stored) -> Result<(), StoreError> {
        // What rides is needed again if the file has changed meanwhile.
        let riding = stored.riding.iter().map(|blob| InlineBlob {
            id: blob.id,
            bytes: blob.bytes.clone(),
        });
        let riding = riding.collect();
        match self.store.open(&self.association, &self.path) {
            Ok(opened) => {
                let content = Prefix::whole(&opened).and_then(&stored.content);
                let base = Base::Version(opened.row.version);
                self.commit(&content, riding, base).await
            }
            Err(StoreError::Tree(TreeError::NotFound(_))) => {
                self.commit(&stored.content, riding, Base::Absent).await
            }
            Err(error) => Err(error),
        }
    }

    async fn keep_or_discard(&self, stored: Stored, committed: Result<(), Error>) -> Result<(), Error> {
        // Behind a fence nobody knows what the log holds: what it may refer to stays.
        if committed
            .as_ref()
            .is_err_and(|error| !matches!(error, Error::Fenced))
        {
            stored.discard(&self.store, &self.association).await;
        }
        committed
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
        metrics::CHANGES.add(1);
        Ok(())
    }
}
