//! What needs no data connection: directories, names, times, sizes and sums.

use std::time::Duration;

use filegrid_tree::{Command as Change, FileRow, Removal, Row, TreeError, TreePath, lookup};

use super::command::{Command, Sum};
use super::reply::{Reply, quoted};
use super::session::{Done, Session};
use super::state::Context;
use super::time;
use crate::error::Error;
use crate::limits::{FTP_SUM_POLL_MS, FTP_SUM_WAIT_MS};
use crate::metrics;
use crate::ring;
use crate::store::{Partial, PartialCommand, PartialWish};

impl Session {
    pub(super) async fn files(&mut self, command: Command, context: Context) -> Result<Done, Error> {
        match command {
            Command::Cwd(path) => self.enter(&path),
            Command::Cdup => self.enter(".."),
            Command::Pwd => {
                let path = self.state.current.directory().to_string();
                Ok(Reply::new(257, format!("{} is the current directory", quoted(&path))).into())
            }
            Command::Mkd(path) => self.make_dir(&path).await,
            Command::Rmd(path) => self.remove(&path, Removal::EmptyDirectory).await,
            Command::Dele(path) => self.remove_file(&path).await,
            Command::Rnfr(path) => self.rename_from(&path),
            Command::Rnto(path) => self.rename_to(context, &path).await,
            Command::Size(path) => {
                let size = match self.partial(&path)? {
                    Some(partial) => partial.row.size,
                    None => self.file(&path)?.size,
                };
                Ok(Reply::new(213, size.to_string()).into())
            }
            Command::Mdtm(argument) => self.modified(&argument).await,
            Command::Mfmt(time, path) => {
                self.set_time(time, &path).await?;
                Ok(Reply::new(213, format!("Modify={}; {path}", time::format(time))).into())
            }
            Command::Mlst(path) => self.mlst(path.as_deref()),
            Command::Hash(path) => self.hash(&path).await,
            Command::Bare(sum, path) => match self.sum(sum, &path).await? {
                Some((_, sum)) => Ok(Reply::new(250, sum.to_ascii_uppercase()).into()),
                None => Ok(not_summed()),
            },
            Command::Avbl(_) => {
                let free = self.ftp.store.free_bytes().await;
                let unknown = || Reply::new(450, "The free space cannot be asked for now");
                Ok(free
                    .map_or_else(unknown, |free| Reply::new(213, free.to_string()))
                    .into())
            }
            _ => Ok(Reply::new(502, "Not offered here").into()),
        }
    }

    /// The row of a path that is there.
    pub(super) fn row(&self, path: &TreePath) -> Result<Row, Error> {
        let user = self.user()?;
        match lookup(self.ftp.store.view().as_ref(), user.association, path)? {
            Some(row) => Ok(row),
            None if *path == user.root => Ok(empty_root()),
            None => Err(TreeError::NotFound(self.shown(path)).into()),
        }
    }

    /// What is kept of this account's upload to a path.
    pub(super) fn partial(&self, text: &str) -> Result<Option<Partial>, Error> {
        let (path, user) = (self.path(text)?, self.user()?);
        Ok(self.ftp.store.partial(&user.association, user.id, &path)?)
    }

    fn file(&self, text: &str) -> Result<FileRow, Error> {
        let path = self.path(text)?;
        match self.row(&path)? {
            Row::File(row) => Ok(row),
            Row::Dir(_) => Err(TreeError::IsDirectory(self.shown(&path)).into()),
        }
    }

    fn enter(&mut self, text: &str) -> Result<Done, Error> {
        let path = self.path(text)?;
        if let Row::File(_) = self.row(&path)? {
            return Err(TreeError::NotDirectory(self.shown(&path)).into());
        }
        let below = path.strip_prefix(&self.user()?.root).unwrap_or_default();
        let shown = quoted(&below.to_string());
        self.state.current.enter(below);
        Ok(Reply::new(250, format!("{shown} is the current directory")).into())
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let association = self.user()?.association;
        let done = self
            .ftp
            .store
            .commit(association, self.protocol(), change, Vec::new(), Vec::new());
        done.await?;
        metrics::mine().via(self.protocol().into()).changes.add(1);
        Ok(())
    }

    async fn make_dir(&self, text: &str) -> Result<Done, Error> {
        let path = self.path(text)?;
        let at_root = path.parent().unwrap_or_default() == self.user()?.root;
        let change = Change::MakeDir {
            path: path.clone(),
            parents: at_root,
            existing_ok: false,
        };
        self.change(change).await?;
        Ok(Reply::new(257, format!("{} is there now", quoted(&self.shown(&path)))).into())
    }

    async fn remove(&self, text: &str, what: Removal) -> Result<Done, Error> {
        let path = self.path(text)?;
        if path == self.user()?.root {
            return Err(Error::Conflict("the root stays".to_owned()));
        }
        self.change(Change::Remove { path, what }).await?;
        Ok(Reply::new(250, "Removed").into())
    }

    /// Removes a file, and what is kept of an upload to it: to its account that is one.
    async fn remove_file(&self, text: &str) -> Result<Done, Error> {
        if self.partial(text)?.is_none() {
            return self.remove(text, Removal::File).await;
        }
        let user = self.user()?;
        let end = PartialCommand {
            account: user.id,
            path: self.path(text)?,
            what: PartialWish::End,
        };
        let ended = self
            .ftp
            .store
            .commit_partial(user.association, self.protocol(), end, Vec::new());
        ended.await?;
        match self.remove(text, Removal::File).await {
            Err(Error::NotFound(_)) => Ok(Reply::new(250, "Removed").into()),
            removed => removed,
        }
    }

    fn rename_from(&mut self, text: &str) -> Result<Done, Error> {
        let path = self.path(text)?;
        self.row(&path)?;
        if path == self.user()?.root {
            return Err(Error::Conflict("the root keeps its name".to_owned()));
        }
        self.state.renames(path);
        Ok(Reply::new(350, "Send the new name with RNTO").into())
    }

    async fn rename_to(&self, context: Context, text: &str) -> Result<Done, Error> {
        let Some(from) = context.renamed else {
            return Ok(Reply::new(503, "Send RNFR first").into());
        };
        let to = self.path(text)?;
        let change = Change::Move {
            moves: vec![(from, to)],
            replace: true,
        };
        self.change(change).await?;
        Ok(Reply::new(250, "Renamed").into())
    }

    async fn set_time(&self, time: i64, text: &str) -> Result<(), Error> {
        let path = self.path(text)?;
        self.change(Change::SetTime { path, mtime: time }).await
    }

    /// MDTM asks for a time. Old clients set one with it: a time, a space, and a path.
    async fn modified(&self, argument: &str) -> Result<Done, Error> {
        let found = self.file(argument);
        if let (Err(_), Some((text, path))) = (&found, argument.split_once(' '))
            && let Some(time) = time::parse(text)
        {
            if !self.state.is_writable() {
                return Ok(Reply::new(550, "This account is read-only").into());
            }
            self.set_time(time, path).await?;
            return Ok(Reply::new(213, time::format(time)).into());
        }
        Ok(Reply::new(213, time::format(found?.mtime)).into())
    }

    async fn hash(&self, path: &str) -> Result<Done, Error> {
        let wanted = self.state.sum;
        Ok(match self.sum(wanted, path).await? {
            Some((size, sum)) => Reply::new(213, format!("{} 0-{size} {sum} {path}", wanted.name())).into(),
            None => not_summed(),
        })
    }

    /// The size and a sum of a file, in hex. What is not summed yet is waited for, but not for long.
    async fn sum(&self, sum: Sum, path: &str) -> Result<Option<(u64, String)>, Error> {
        for _ in 0..=FTP_SUM_WAIT_MS / FTP_SUM_POLL_MS {
            let row = self.file(path)?;
            if sum == Sum::Crc32 {
                return Ok(Some((row.size, format!("{:08x}", row.crc32))));
            }
            if let Some(sha256) = row.sha256 {
                let hex = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok(Some((row.size, hex)));
            }
            ring::sleep(Duration::from_millis(FTP_SUM_POLL_MS)).await;
        }
        Ok(None)
    }
}

fn not_summed() -> Done {
    Reply::new(450, "The file is not summed yet: ask again").into()
}

/// An account's root before anything was put into it.
fn empty_root() -> Row {
    Row::Dir(filegrid_tree::DirRow {
        id: filegrid_tree::Id([0; 16]),
        created_at: 0,
        updated_at: None,
        mtime: 0,
        protocol: filegrid_tree::Protocol::Api,
    })
}
