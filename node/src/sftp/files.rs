//! What needs no open file: names, directories, attributes, sums.

use std::sync::Arc;
use std::time::Duration;

use filegrid_tree::{Command, FileRow, Protocol, Removal, Row, TreeError, TreePath, lookup};

use super::attributes::{Told, Wanted};
use super::fields::{put_string, put_u64};
use super::handles::Open;
use super::listing::Directory;
use super::packet::{Checked, HandleId, Request};
use super::reply::{Code, Refused, Reply, space};
use super::session::{Done, Failed, Session, no_handle};
use super::upload::{Opening, Target, Upload};
use crate::clock;
use crate::error::Error;
use crate::ftp::path::Current;
use crate::limits::{
    FTP_SUM_POLL_MS, FTP_SUM_WAIT_MS, SFTP_DATA_MAX_BYTES, SFTP_HANDLES_MAX_COUNT, SFTP_PACKET_MAX_BYTES,
};
use crate::metrics;
use crate::ring;
use crate::store::Store;

impl Session {
    pub(super) async fn files(&mut self, id: u32, request: Request) -> Done {
        match request {
            Request::Stat(path) => {
                let told = self.stat(&path).await?;
                Ok(Some(Reply::attributes(id, &told, self.account.may_write)))
            }
            Request::Fstat(handle) => {
                let told = self.fstat(handle)?;
                Ok(Some(Reply::attributes(id, &told, self.account.may_write)))
            }
            Request::Setstat(path, wanted) => self.set(id, &path, wanted).await,
            Request::Fsetstat(handle, wanted) => self.set_open(id, handle, wanted).await,
            Request::OpenDir(path) => self.open_dir(id, &path).await,
            Request::Remove(path) => self.remove(id, &path).await,
            Request::RemoveDir(path) => {
                let path = self.path(&path)?;
                self.not_root(&path)?;
                let what = Removal::EmptyDirectory;
                let change = Command::Remove {
                    path: path.clone(),
                    what,
                };
                self.change(id, vec![path], change).await
            }
            Request::MakeDir(path) => {
                let path = self.path(&path)?;
                let change = Command::MakeDir {
                    path: path.clone(),
                    parents: path.parent().unwrap_or_default() == self.account.root,
                    existing_ok: false,
                };
                self.change(id, vec![path], change).await
            }
            Request::Rename { from, to, replace } => {
                let (from, to) = (self.path(&from)?, self.path(&to)?);
                self.not_root(&from)?;
                let moves = vec![(from.clone(), to.clone())];
                let change = Command::Move { moves, replace };
                self.change(id, vec![from, to], change).await
            }
            Request::RealPath(path) => {
                let path = self.path(&path)?;
                Ok(Some(Reply::name(id, &self.shown(&path))))
            }
            Request::Home => Ok(Some(Reply::name(id, "/"))),
            Request::Limits => Ok(Some(Reply::extended(id, |out| {
                put_u64(out, SFTP_PACKET_MAX_BYTES as u64);
                put_u64(out, SFTP_DATA_MAX_BYTES as u64);
                put_u64(out, SFTP_DATA_MAX_BYTES as u64);
                put_u64(out, SFTP_HANDLES_MAX_COUNT as u64);
            }))),
            Request::Space => {
                let free = self.sftp.store.free_bytes().await;
                let free = free
                    .ok_or_else(|| Refused::new(Code::Failure, "the free space cannot be asked for now"))?;
                let writable = self.account.may_write;
                Ok(Some(Reply::extended(id, |out| space(out, free, free, writable))))
            }
            Request::Names { users, groups } => {
                let name = self.account.username.as_bytes();
                Ok(Some(Reply::extended(id, |out| {
                    for all in [users, groups] {
                        let mut names = Vec::new();
                        for ours in all {
                            put_string(&mut names, if ours { name } else { b"" });
                        }
                        put_string(out, &names);
                    }
                })))
            }
            Request::Check {
                what,
                algorithms,
                offset,
                length,
                block,
            } => self.check(id, what, &algorithms, (offset, length, block)).await,
            Request::Link => Err(Refused::new(Code::Unsupported, "there are no links here").into()),
            _ => Err(Refused::new(Code::Unsupported, "this is not offered here").into()),
        }
    }

    /// What the client means by a path, as a path of the association's tree.
    pub(super) fn path(&self, text: &str) -> Result<TreePath, Error> {
        self.sftp.registry.check_home(&self.account.association)?;
        let wrong = |error: filegrid_tree::PathError| Error::BadRequest(error.to_string());
        let named = Current::default().resolve(text).map_err(wrong)?;
        self.account.path(&named)
    }

    /// A path of the tree as the client sees it.
    pub(super) fn shown(&self, path: &TreePath) -> String {
        self.account.shown(path)
    }

    fn not_root(&self, path: &TreePath) -> Result<(), Failed> {
        if *path == self.account.root {
            return Err(Refused::new(Code::PermissionDenied, "the root stays as it is").into());
        }
        Ok(())
    }

    /// The row of a path that is there; an account's root always is.
    pub(super) fn row(&self, path: &TreePath) -> Result<Option<Row>, Error> {
        let found = lookup(self.sftp.store.view().as_ref(), self.account.association, path)?;
        if found.is_none() && *path != self.account.root {
            return Err(TreeError::NotFound(self.shown(path)).into());
        }
        Ok(found)
    }

    fn file(&self, path: &TreePath) -> Result<FileRow, Error> {
        match self.row(path)? {
            Some(Row::File(row)) => Ok(row),
            _ => Err(TreeError::IsDirectory(self.shown(path)).into()),
        }
    }

    async fn stat(&mut self, text: &str) -> Result<Told, Error> {
        let path = self.path(text)?;
        self.later.over(&path).await;
        let account = (&self.account.association, self.account.id);
        if let Some(partial) = self.sftp.store.partial(account.0, account.1, &path)? {
            return Ok(Told::of_file(&partial.row));
        }
        match self.row(&path) {
            Ok(row) => Ok(row.as_ref().map_or_else(empty_root, Told::of)),
            // A file that is being written is there for whoever writes it.
            Err(error) => self
                .handles
                .iter()
                .find_map(|open| match open {
                    Open::Writing(upload) if *upload.path() == path => told_of(upload).ok(),
                    _ => None,
                })
                .ok_or(error),
        }
    }

    fn fstat(&mut self, handle: HandleId) -> Result<Told, Failed> {
        match self.handles.get(handle).ok_or_else(no_handle)? {
            Open::Reading(reading) => Ok(reading.told()),
            Open::Directory(directory) => Ok(directory.told()),
            Open::Writing(upload) => Ok(told_of(upload)?),
        }
    }

    async fn open_dir(&mut self, id: u32, text: &str) -> Done {
        let path = self.path(text)?;
        self.later.over(&path).await;
        let (directory, told) = match self.row(&path)? {
            Some(Row::File(_)) => return Err(TreeError::NotDirectory(self.shown(&path)).into()),
            Some(Row::Dir(row)) => (Some(row.id), Told::of(&Row::Dir(row))),
            None => (None, empty_root()),
        };
        let directory = Directory::new(self.sftp.store.view(), directory, told);
        self.opened(id, Open::Directory(Box::new(directory)))
    }

    /// Removes a file, and what is kept of an upload to it: to its account that is one.
    async fn remove(&mut self, id: u32, text: &str) -> Done {
        let path = self.path(text)?;
        self.not_root(&path)?;
        let target = self.target_of(path.clone());
        self.change_later(id, vec![path], remove_file(target)).await
    }

    /// Does a change of the tree beside what comes next.
    async fn change(&mut self, id: u32, paths: Vec<TreePath>, change: Command) -> Done {
        let (store, association) = (self.sftp.store.clone(), self.account.association);
        let changed = async move { commit(&store, association, Protocol::Sftp, change).await };
        self.change_later(id, paths, changed).await
    }

    async fn set(&mut self, id: u32, text: &str, wanted: Wanted) -> Done {
        let path = self.path(text)?;
        if !self.account.may_write {
            return Err(Refused::read_only().into());
        }
        self.later.over(&path).await;
        let row = self.row(&path)?;
        if let Some(size) = wanted.size {
            return self.resize(id, path, size, wanted).await;
        }
        let (Some(_), Some(mtime)) = (row, wanted.mtime_ms()) else {
            // Modes and owners mean nothing here.
            return Ok(Some(Reply::ok(id)));
        };
        let change = Command::SetTime {
            path: path.clone(),
            mtime,
        };
        self.change(id, vec![path], change).await
    }

    /// Makes a file shorter or longer: that is a new version of it.
    async fn resize(&mut self, id: u32, path: TreePath, size: u64, wanted: Wanted) -> Done {
        let opening = Opening {
            version: self.target(&path)?,
            truncates: false,
            exclusive: false,
            appends: false,
        };
        let mut upload = Upload::new(self.target_of(path.clone()), opening);
        upload.resize(size)?;
        if let Some(mtime) = wanted.mtime_ms() {
            upload.set_time(mtime);
        }
        let flow = Arc::clone(&self.flow);
        let published = async move { upload.close(|| !flow.is_cut()).await };
        self.change_later(id, vec![path], published).await
    }

    async fn set_open(&mut self, id: u32, handle: HandleId, wanted: Wanted) -> Done {
        let path = match self.handles.get(handle).ok_or_else(no_handle)? {
            Open::Writing(upload) => {
                if let Some(size) = wanted.size {
                    upload.resize(size)?;
                }
                if let Some(mtime) = wanted.mtime_ms() {
                    upload.set_time(mtime);
                }
                return Ok(Some(Reply::ok(id)));
            }
            Open::Reading(reading) => reading.path.clone(),
            Open::Directory(_) => return Ok(Some(Reply::ok(id))),
        };
        if wanted.size.is_some() {
            return Err(no_handle().into());
        }
        let Some(mtime) = wanted.mtime_ms() else {
            return Ok(Some(Reply::ok(id)));
        };
        let change = Command::SetTime {
            path: path.clone(),
            mtime,
        };
        self.change(id, vec![path], change).await
    }

    /// The sum of a whole file. What is not summed yet is waited for, but not for long.
    async fn check(&mut self, id: u32, what: Checked, algorithms: &str, part: (u64, u64, u32)) -> Done {
        let path = match what {
            Checked::Path(path) => self.path(&path)?,
            Checked::Handle(handle) => match self.handles.get(handle).ok_or_else(no_handle)? {
                Open::Reading(reading) => reading.path.clone(),
                _ => return Err(no_handle().into()),
            },
        };
        self.later.over(&path).await;
        if !algorithms.split(',').any(|name| name == "sha256") {
            return Err(Refused::new(Code::Unsupported, "sums are SHA-256 here").into());
        }
        let (offset, length, block) = part;
        for _ in 0..=FTP_SUM_WAIT_MS / FTP_SUM_POLL_MS {
            let row = self.file(&path)?;
            let whole = offset == 0 && (length == 0 || length >= row.size);
            if !whole || (block != 0 && u64::from(block) < row.size) {
                return Err(Refused::new(Code::Unsupported, "sums are of whole files here").into());
            }
            if let Some(sum) = row.sha256 {
                return Ok(Some(Reply::extended(id, |out| {
                    put_string(out, b"check-file");
                    put_string(out, b"sha256");
                    out.extend_from_slice(&sum);
                })));
            }
            ring::sleep(Duration::from_millis(FTP_SUM_POLL_MS)).await;
        }
        Err(Refused::new(Code::Failure, "the file is not summed yet: ask again").into())
    }
}

async fn commit(
    store: &Store,
    association: [u8; 16],
    protocol: Protocol,
    change: Command,
) -> Result<(), Error> {
    let done = store.commit(association, protocol, change, Vec::new(), Vec::new());
    done.await?;
    metrics::mine().via(protocol.into()).changes.add(1);
    Ok(())
}

async fn remove_file(target: Target) -> Result<(), Error> {
    let was_kept = target.end_partial().await?;
    let change = Command::Remove {
        path: target.path,
        what: Removal::File,
    };
    match commit(&target.store, target.association, target.protocol, change).await {
        Err(Error::NotFound(_)) if was_kept => Ok(()),
        removed => removed,
    }
}

/// An account's root before anything was put into it.
fn empty_root() -> Told {
    Told {
        directory: true,
        size: 0,
        mtime: 0,
    }
}

fn told_of(upload: &Upload) -> Result<Told, Error> {
    Ok(Told {
        directory: false,
        size: upload.size()?,
        mtime: upload.time().unwrap_or_else(clock::now_ms),
    })
}
