//! `scp -f`: files go.

use std::ops::ControlFlow;

use filegrid_tree::{Row, TreePath, list_dir, lookup};

use super::super::reading::Reading;
use super::super::session::Session;
use super::command::{Line, Scp};
use super::pipe::{Pipe, Stop};
use crate::error::Error;
use crate::ftp::path::{is_pattern, matches};
use crate::limits::{COLD_READ_BYTES, LISTING_STEP_ENTRIES, SCP_DEPTH_MAX_COUNT};

/// What is to be sent next.
enum Next {
    Path(TreePath),
    End,
    /// What stands in a directory behind a name.
    Rest(TreePath, Option<String>),
}

/// Sends what the client asks for.
pub(super) async fn source(session: &mut Session, pipe: &mut Pipe, scp: &Scp) -> Result<(), Stop> {
    if !pipe.answer().await? {
        return Err(Stop::Silently);
    }
    for text in &scp.paths {
        match named(session, text) {
            Ok(paths) => {
                for path in paths {
                    send_all(session, pipe, scp, path).await?;
                }
            }
            Err(error) => pipe_trouble(pipe, error)?,
        }
    }
    Ok(())
}

fn pipe_trouble(pipe: &mut Pipe, error: Error) -> Result<(), Stop> {
    match Stop::from(error) {
        Stop::Say(text) => {
            pipe.trouble(&text);
            Ok(())
        }
        Stop::Silently => Err(Stop::Silently),
    }
}

/// The paths that a text names: itself, or those that its last name is a pattern of.
fn named(session: &Session, text: &str) -> Result<Vec<TreePath>, Error> {
    let path = session.path(text)?;
    let pattern = path.name().filter(|name| is_pattern(name)).map(str::to_owned);
    let (Err(Error::NotFound(text)), Some(pattern)) = (session.row(&path), pattern) else {
        return Ok(vec![path]);
    };
    let above = path.parent().unwrap_or_default();
    let mut paths = Vec::new();
    if let Ok(Some(Row::Dir(row))) = session.row(&above) {
        let view = session.sftp.store.view();
        list_dir(view.as_ref(), row.id, None, &mut |name, _| {
            if matches(&pattern, name) {
                paths.extend(TreePath::parse(name).ok().map(|name| above.join(&name)));
            }
            if paths.len() < LISTING_STEP_ENTRIES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
    }
    if paths.is_empty() {
        return Err(Error::NotFound(text));
    }
    Ok(paths)
}

/// Sends a file, or a directory with all that is below. Names that are gone meanwhile are passed over.
async fn send_all(session: &Session, pipe: &mut Pipe, scp: &Scp, path: TreePath) -> Result<(), Stop> {
    let mut next = vec![Next::Path(path)];
    while let Some(now) = next.pop() {
        match now {
            Next::End => {
                tell(pipe, &Line::End).await?;
            }
            Next::Path(path) => match session.row(&path) {
                Ok(Some(Row::File(row))) => send_file(session, pipe, scp, path, row.mtime).await?,
                Ok(Some(Row::Dir(row))) if scp.recursive && next.len() <= 2 * SCP_DEPTH_MAX_COUNT => {
                    let name = path.name().unwrap_or("root").to_owned();
                    if (!scp.times || tell(pipe, &time(row.mtime)).await?)
                        && tell(pipe, &Line::Directory { name }).await?
                    {
                        next.push(Next::End);
                        next.push(Next::Rest(path, None));
                    }
                }
                Ok(_) => pipe.trouble(&format!("{} is not a regular file", session.shown(&path))),
                Err(error) => pipe_trouble(pipe, error)?,
            },
            Next::Rest(directory, after) => {
                if let Some(name) = first_behind(session, &directory, after.as_deref())? {
                    let below = TreePath::found(&name);
                    next.push(Next::Rest(directory.clone(), Some(name)));
                    next.push(Next::Path(directory.join(&below)));
                }
            }
        }
    }
    Ok(())
}

/// The name that comes behind another in a directory.
fn first_behind(
    session: &Session,
    directory: &TreePath,
    after: Option<&str>,
) -> Result<Option<String>, Error> {
    let view = session.sftp.store.view();
    let Some(Row::Dir(row)) = lookup(view.as_ref(), session.account.association, directory)? else {
        return Ok(None);
    };
    let mut first = None;
    list_dir(view.as_ref(), row.id, after, &mut |name, _| {
        first = Some(name.to_owned());
        ControlFlow::Break(())
    })?;
    Ok(first)
}

fn time(mtime: i64) -> Line {
    Line::Time(u32::try_from(mtime.div_euclid(1000).max(0)).unwrap_or(u32::MAX))
}

/// Tells the client something; `false`: it goes on without it.
async fn tell(pipe: &mut Pipe, line: &Line) -> Result<bool, Stop> {
    let Some(line) = line.bytes() else {
        pipe.trouble("a name with control characters cannot be sent");
        return Ok(false);
    };
    pipe.outlet.send(line);
    pipe.answer().await
}

async fn send_file(
    session: &Session,
    pipe: &mut Pipe,
    scp: &Scp,
    path: TreePath,
    mtime: i64,
) -> Result<(), Stop> {
    let opened = match session.sftp.store.open(&session.account.association, &path) {
        Ok(opened) => opened,
        Err(error) => return pipe_trouble(pipe, error.into()),
    };
    let (size, name) = (opened.row.size, path.name().unwrap_or_default().to_owned());
    if (scp.times && !tell(pipe, &time(mtime)).await?) || !tell(pipe, &Line::File { size, name }).await? {
        return Ok(());
    }
    let mut reading = Reading::new(path, opened, session.protocol.into());
    let mut at = 0;
    while at < size {
        pipe.outlet.room().await;
        if session.flow.is_cut() || pipe.outlet.is_gone() {
            session.note("get", &reading.path, at, "broken");
            return Err(Stop::Silently);
        }
        let mut piece = vec![0; reading.rest(at, COLD_READ_BYTES)];
        if reading.fill(at, &mut piece).await? < piece.len() {
            return Err(Error::Damaged("a file is shorter than its row says".to_owned()).into());
        }
        at += piece.len() as u64;
        pipe.outlet.send(piece);
    }
    session.note("get", &reading.path, at, "whole");
    pipe.well();
    pipe.answer().await?;
    Ok(())
}
