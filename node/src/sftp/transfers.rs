//! OPEN, CLOSE, READ, and copying from one open file to another.

use std::sync::Arc;

use filegrid_tree::{Protocol, Row, TreeError, TreePath, lookup};

use super::handles::Open;
use super::packet::{Flags, HandleId};
use super::queue::Queued;
use super::reading::Reading;
use super::reply::{Code, DATA_AT, Refused, Reply};
use super::session::{Done, Failed, Place, Session, no_handle};
use super::upload::{Opening, Target, Upload};
use crate::error::Error;
use crate::limits::{COLD_READ_BYTES, SFTP_DATA_MAX_BYTES};

impl Session {
    pub(super) async fn open(&mut self, id: u32, text: &str, flags: Flags) -> Done {
        let path = self.path(text)?;
        self.later.over(&path).await;
        let open = if flags.changes() {
            Open::Writing(Box::new(self.open_to_write(path, flags).await?))
        } else {
            let opened = self.sftp.store.open(&self.account.association, &path)?;
            Open::Reading(Box::new(Reading::new(path, opened, self.protocol.into())))
        };
        self.opened(id, open)
    }

    /// The reply with a handle.
    pub(super) fn opened(&mut self, id: u32, open: Open) -> Done {
        let handle = self.handles.insert(open);
        let handle = handle.ok_or_else(|| Refused::new(Code::Failure, "too many files are open: close some"));
        Ok(Some(Reply::handle(id, handle?)))
    }

    async fn open_to_write(&self, path: TreePath, flags: Flags) -> Result<Upload, Failed> {
        let version = self.target(&path)?;
        if version.is_some() && flags.is_exclusive() {
            return Err(Refused::new(Code::Failure, format!("{} exists already", self.shown(&path))).into());
        }
        let target = self.target_of(path);
        let kept = match version {
            Some(_) => true,
            // What is kept of an upload is there for its account to go on with.
            None => target.kept()?.is_some(),
        };
        if !kept && !flags.creates() {
            return Err(TreeError::NotFound(self.shown(&target.path)).into());
        }
        let opening = Opening {
            version,
            truncates: flags.truncates(),
            exclusive: flags.is_exclusive(),
            appends: flags.appends(),
        };
        if opening.truncates {
            target.end_partial().await?;
        }
        Ok(Upload::new(target, opening))
    }

    /// Where an upload to a path goes.
    pub(super) fn target_of(&self, path: TreePath) -> Target {
        Target {
            store: self.sftp.store.clone(),
            association: self.account.association,
            account: self.account.id,
            protocol: self.protocol,
            make_parents: path.parent().unwrap_or_default() == self.account.root,
            path,
            // Nobody can go on with what came over SCP.
            keeps_partials: self.sftp.keeps_partials && self.protocol == Protocol::Sftp,
        }
    }

    /// Version of the file at a path where one may be written: in a directory that is there, and not in the place of
    /// one.
    pub(super) fn target(&self, path: &TreePath) -> Result<Option<u64>, Failed> {
        if !self.account.may_write {
            return Err(Refused::read_only().into());
        }
        let (association, root) = (self.account.association, &self.account.root);
        let view = self.sftp.store.view();
        match lookup(view.as_ref(), association, path)? {
            Some(Row::File(row)) => return Ok(Some(row.version)),
            Some(Row::Dir(_)) => return Err(TreeError::IsDirectory(self.shown(path)).into()),
            None if path == root => return Err(TreeError::IsDirectory(self.shown(path)).into()),
            None => {}
        }
        let above = path.parent().unwrap_or_default();
        match lookup(view.as_ref(), association, &above)? {
            Some(Row::Dir(_)) => Ok(None),
            // The root is there from the beginning, also before the first upload.
            None if above == *root => Ok(None),
            Some(Row::File(_)) => Err(TreeError::NotDirectory(self.shown(&above)).into()),
            None => Err(TreeError::NotFound(self.shown(&above)).into()),
        }
    }

    pub(super) async fn close(&mut self, id: u32, handle: HandleId) -> Done {
        let upload = match self.handles.remove(handle).ok_or_else(no_handle)? {
            Open::Writing(upload) => upload,
            Open::Reading(reading) => {
                self.note("get", &reading.path, reading.read, "whole");
                return Ok(Some(Reply::ok(id)));
            }
            Open::Directory(_) => return Ok(Some(Reply::ok(id))),
        };
        self.note("put", upload.path(), upload.written, "closed");
        let (path, flow) = (upload.path().clone(), Arc::clone(&self.flow));
        let published = async move { upload.close(|| !flow.is_cut()).await };
        self.change_later(id, vec![path], published).await
    }

    pub(super) async fn read(&mut self, id: u32, handle: HandleId, at: u64, length: u32) -> Done {
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        let most = most.min(SFTP_DATA_MAX_BYTES);
        match self.handles.get(handle) {
            Some(Open::Reading(reading)) => {
                let most = reading.rest(at, most);
                if most == 0 {
                    return Ok(Some(Reply::eof(id)));
                }
                let mut reply = Reply::data(id, most);
                let out = reply.get_mut(DATA_AT..).unwrap_or_default();
                if reading.fill(at, out).await? < most {
                    return Err(Error::Damaged("a file is shorter than its row says".to_owned()).into());
                }
                Ok(Some(reply))
            }
            Some(Open::Writing(upload)) => {
                let mut out = vec![0; most];
                let read = upload.read(at, &mut out).await?;
                if read == 0 {
                    return Ok(Some(Reply::eof(id)));
                }
                let mut reply = Reply::data(id, read);
                let data = reply.get_mut(DATA_AT..).unwrap_or_default();
                data.copy_from_slice(out.get(..read).unwrap_or_default());
                Ok(Some(reply))
            }
            _ => Err(no_handle().into()),
        }
    }

    /// copy-data: 0 bytes are all that there are.
    pub(super) async fn copy(&mut self, id: u32, from: Place, length: u64, to: Place) -> Done {
        let ((from, mut offset), (to, mut at)) = (from, to);
        if from == to {
            return Err(Refused::new(Code::Failure, "a file is not copied into itself").into());
        }
        let mut rest = if length == 0 { u64::MAX } else { length };
        while rest > 0 && !self.flow.is_cut() {
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(COLD_READ_BYTES);
            let mut piece = vec![0; most];
            let read = match self.handles.get(from) {
                Some(Open::Reading(reading)) => {
                    let most = reading.rest(offset, most);
                    reading
                        .fill(offset, piece.get_mut(..most).unwrap_or_default())
                        .await?
                }
                Some(Open::Writing(upload)) => upload.read(offset, &mut piece).await?,
                _ => return Err(no_handle().into()),
            };
            if read == 0 {
                break;
            }
            let Some(Open::Writing(upload)) = self.handles.get(to) else {
                return Err(no_handle().into());
            };
            let piece = Queued::new(piece, &self.flow);
            upload.write(at, piece, 0..read).await?;
            upload.settle().await;
            offset += read as u64;
            at += read as u64;
            rest -= read as u64;
        }
        Ok(Some(Reply::ok(id)))
    }
}
