//! RETR, STOR, APPE, STOU.

use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::{Row, TreeError, TreePath, lookup};

use super::abort::Abort;
use super::data::{self, Data, Plan, Security, Way};
use super::reply::Reply;
use super::session::{Done, Session};
use super::upload::{Beginning, From, Upload};
use crate::clock;
use crate::error::Error;
use crate::limits::FTP_EXTENTS_MAX_COUNT;
use crate::send::send;
use crate::store::Opened;

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
        let from = match offset {
            0 => Ok(From::Nothing),
            _ => self.beginning(text, offset),
        };
        self.upload("STOR", text, from, "Go on").await
    }

    pub(super) async fn append(&mut self, text: &str) -> Done {
        let from = self.end(text).map_err(Done::from);
        self.upload("APPE", text, from, "Go on").await
    }

    pub(super) async fn store_unique(&mut self) -> Done {
        let name = format!("ftp-{}", uuid::Uuid::new_v4().simple());
        // RFC 1123 §4.1.2.9: clients learn the name from here.
        let intro = format!("FILE: {name}");
        self.upload("STOU", &name, Ok(From::Nowhere), &intro).await
    }

    /// The first bytes of what is kept of an upload, or else of the file.
    fn beginning(&self, text: &str, offset: u64) -> Result<From, Done> {
        let beginning = match self.kept(text)? {
            Some(kept) => Beginning { offset, ..kept },
            None => Beginning {
                opened: self.open(text)?,
                offset,
                partial: None,
            },
        };
        let size = beginning.opened.row.size;
        if offset > size {
            return Err(Reply::new(554, format!("The file has {size} bytes")).into());
        }
        Ok(From::Beginning(Box::new(beginning)))
    }

    /// All of what is kept of an upload, or else of the file as it will be.
    fn end(&self, text: &str) -> Result<From, Error> {
        if let Some(kept) = self.kept(text)? {
            return Ok(From::Beginning(Box::new(kept)));
        }
        // Many pieces become one again: that needs a version to begin with.
        let many = self
            .open(text)
            .ok()
            .filter(|opened| opened.row.extents.len() >= FTP_EXTENTS_MAX_COUNT);
        Ok(many.map_or(From::End, |opened| {
            From::Beginning(Box::new(Beginning {
                offset: opened.row.size,
                opened,
                partial: None,
            }))
        }))
    }

    /// What is kept of an upload, all of it.
    fn kept(&self, text: &str) -> Result<Option<Beginning>, Error> {
        let (path, user) = (self.path(text)?, self.user()?);
        let kept = self.ftp.store.open_partial(&user.association, user.id, &path)?;
        Ok(kept.map(|(partial, content)| Beginning {
            offset: partial.row.size,
            partial: Some((partial.id, partial.base)),
            opened: Opened {
                row: partial.row,
                content,
            },
        }))
    }

    /// A file that is to be read.
    fn open(&self, text: &str) -> Result<Opened, Error> {
        let path = self.path(text)?;
        Ok(self.ftp.store.open(&self.user()?.association, &path)?)
    }

    /// Where a file may be written: in a directory that is there, and not in the place of one. With the version of the
    /// file that is there.
    fn target(&self, text: &str) -> Result<(TreePath, Option<u64>), Error> {
        let path = self.path(text)?;
        let user = self.user()?;
        let view = self.ftp.store.view();
        let version = match lookup(view.as_ref(), user.association, &path)? {
            Some(Row::Dir(_)) => return Err(TreeError::IsDirectory(self.shown(&path)).into()),
            Some(Row::File(row)) => return Ok((path, Some(row.version))),
            None => None,
        };
        let above = path.parent().unwrap_or_default();
        match lookup(view.as_ref(), user.association, &above)? {
            Some(Row::Dir(_)) => Ok((path, version)),
            // The root is there from the beginning, also before the first upload.
            None if above == user.root => Ok((path, version)),
            Some(Row::File(_)) => Err(TreeError::NotDirectory(self.shown(&above)).into()),
            None => Err(TreeError::NotFound(self.shown(&above)).into()),
        }
    }

    /// Receives a file.
    async fn upload(
        &mut self,
        verb: &'static str,
        text: &str,
        from: Result<From, Done>,
        intro: &str,
    ) -> Done {
        let begun = from.and_then(|from| Ok((self.upload_to(text)?, from)));
        let (upload, from) = match begun {
            Ok(begun) => begun,
            Err(done) => return self.refused(done),
        };
        let way = self.inward();
        let end = self
            .transfer(verb, text, intro, way, async |data, abort| {
                upload.take(data, from, abort).await
            })
            .await;
        said(end, "Stored")
    }

    fn upload_to(&self, text: &str) -> Result<Upload, Error> {
        let (path, version) = self.target(text)?;
        let user = self.user()?;
        Ok(Upload {
            store: self.ftp.store.clone(),
            association: user.association,
            account: user.id,
            protocol: self.protocol(),
            make_parents: path.parent().unwrap_or_default() == user.root,
            path,
            version,
            keeps_partials: self.ftp.settings.keeps_partials,
        })
    }

    pub(super) fn inward(&self) -> Way {
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
            Err(Done::Silence | Done::Told) => "unknown".to_owned(),
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
        let socket = match &self.door {
            Some(door) => door.open(self.ends, abort)?,
            None => {
                let opening = data::open(plan, self.ends, ftp.settings.data_timeout, abort);
                self.mind(opening, abort).await?
            }
        };
        let via = self.protocol().into();
        if self.control.reply(&Reply::new(150, intro)).await.is_err() {
            return Err(Done::Silence);
        }
        let working = async {
            let started = Data::start(socket, &ftp.sweeper, &ftp.handshakes, security, way).await;
            let mut data = started?;
            data.via = via;
            let worked = work(&mut data, abort).await;
            data.end().await;
            *moved = data.moved;
            match worked {
                Ok(()) => Ok(()),
                Err(Error::Disconnected) => Err(data::broken(&data, abort).into()),
                Err(error) => Err(error.into()),
            }
        };
        self.mind(working, abort).await
    }

    pub(super) fn security(&self, way: Way) -> Result<Option<Security>, Done> {
        if !self.state.is_protected() || self.door.is_some() {
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
