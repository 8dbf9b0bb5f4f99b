//! `scp -t`: files come.

use filegrid_tree::{Command, Protocol, Row, TreePath};

use super::super::session::{Failed, Session};
use super::super::upload::{Opening, Upload};
use super::command::{Line, Scp};
use super::pipe::{Pipe, Stop};
use crate::error::Error;
use crate::limits::SCP_DEPTH_MAX_COUNT;
use crate::metrics;

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refused) => Self::Say(refused.text),
            Failed::Error(error) => error.into(),
        }
    }
}

/// Where files come to.
enum Place {
    /// In this directory, by their names.
    In(TreePath),
    /// At this path, whatever they are called.
    At(TreePath),
}

impl Place {
    fn of(&self, name: &str) -> Result<TreePath, Error> {
        match self {
            Self::At(path) => Ok(path.clone()),
            Self::In(directory) => {
                let name = TreePath::parse(name).map_err(|error| Error::BadRequest(error.to_string()))?;
                Ok(directory.join(&name))
            }
        }
    }
}

/// Takes what the client sends, to its end.
pub(super) async fn sink(session: &mut Session, pipe: &mut Pipe, scp: &Scp) -> Result<(), Stop> {
    let path = session.path(scp.paths.first().map_or("", String::as_str))?;
    let is_directory = path == session.account.root || matches!(session.row(&path), Ok(Some(Row::Dir(_))));
    if scp.into_directory && !is_directory {
        return Err(Stop::Say(format!("{} is not a directory", session.shown(&path))));
    }
    let mut places = vec![if is_directory {
        Place::In(path)
    } else {
        Place::At(path)
    }];
    let mut time = None;
    pipe.well();
    while let Some(line) = pipe.line().await? {
        let line = Line::parse(&line).ok_or_else(|| Stop::Say("the line cannot be read".to_owned()))?;
        match line {
            Line::Time(seconds) => {
                time = Some(i64::from(seconds) * 1000);
                pipe.well();
            }
            Line::File { size, name } => {
                let place = places.last().ok_or(Stop::Silently)?;
                let path = place.of(&name)?;
                take(session, pipe, path, size, time.take()).await?;
            }
            Line::Directory { name } => {
                if !scp.recursive || places.len() > SCP_DEPTH_MAX_COUNT {
                    return Err(Stop::Say("no directory was expected here".to_owned()));
                }
                let path = places.last().ok_or(Stop::Silently)?.of(&name)?;
                make_dir(session, &path).await?;
                time = None;
                places.push(Place::In(path));
                pipe.well();
            }
            Line::End => {
                if places.len() < 2 {
                    return Err(Stop::Say("no directory ends here".to_owned()));
                }
                places.pop();
                pipe.well();
            }
            Line::Trouble { fatal: true, .. } => return Err(Stop::Silently),
            Line::Trouble { fatal: false, .. } => pipe.troubled = true,
        }
    }
    Ok(())
}

async fn make_dir(session: &Session, path: &TreePath) -> Result<(), Stop> {
    if !session.account.may_write {
        return Err(Failed::from(super::super::reply::Refused::read_only()).into());
    }
    let command = Command::MakeDir {
        path: path.clone(),
        parents: path.parent().unwrap_or_default() == session.account.root,
        existing_ok: true,
    };
    let (store, association) = (&session.sftp.store, session.account.association);
    let made = store.commit(association, Protocol::Scp, command, Vec::new(), Vec::new());
    made.await.map_err(Error::from)?;
    metrics::mine().via(Protocol::Scp.into()).changes.add(1);
    Ok(())
}

/// Takes one file. What cannot be written is told before its bytes come, so that the client goes on with the next.
async fn take(
    session: &Session,
    pipe: &mut Pipe,
    path: TreePath,
    size: u64,
    time: Option<i64>,
) -> Result<(), Stop> {
    let version = match session.target(&path) {
        Ok(version) => version,
        Err(failed) => match Stop::from(failed) {
            Stop::Say(text) => {
                pipe.trouble(&text);
                return Ok(());
            }
            Stop::Silently => return Err(Stop::Silently),
        },
    };
    let opening = Opening {
        version,
        truncates: true,
        exclusive: false,
        appends: false,
    };
    let target = session.target_of(path);
    target.end_partial().await?;
    let mut upload = Upload::new(target, opening);
    if let Some(time) = time {
        upload.set_time(time);
    }
    pipe.well();
    let mut written = 0;
    let mut failed = None;
    while written < size {
        let Some((bytes, range)) = pipe.some(size - written).await else {
            session.note("put", upload.path(), written, "broken");
            upload.break_off().await;
            return Err(Stop::Silently);
        };
        let length = range.len() as u64;
        if failed.is_none() {
            // The rest of a file that cannot be stored comes all the same.
            failed = upload.write(written, bytes, range).await.err();
        }
        written += length;
    }
    if !pipe.answer().await? {
        // The client could not read all of it.
        upload.break_off().await;
        return Ok(());
    }
    session.note("put", upload.path(), written, "closed");
    let flow = std::sync::Arc::clone(&session.flow);
    let stored = match failed {
        Some(error) => {
            upload.break_off().await;
            Err(error)
        }
        None => upload.close(|| !flow.is_cut()).await,
    };
    match stored.map_err(Stop::from) {
        Ok(()) => pipe.well(),
        Err(Stop::Say(text)) => pipe.trouble(&text),
        Err(Stop::Silently) => return Err(Stop::Silently),
    }
    Ok(())
}
