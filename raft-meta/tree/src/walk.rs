//! Looking things up and listing them.

use std::ops::ControlFlow;

use crate::{DirId, ROOTS, Row, RowRef, TreeError, TreePath, View, keys};

/// The name of an association's root in [`ROOTS`]: its UUID in lower case.
#[must_use]
pub fn root_name(association: &[u8; 16]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut name = String::with_capacity(36);
    for (at, byte) in association.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            name.push('-');
        }
        name.push(digit(byte >> 4));
        name.push(digit(byte & 15));
    }
    name
}

/// The row of a path; `None` if nothing is there.
///
/// # Errors
///
/// If rows cannot be read.
pub fn lookup(view: &dyn View, association: [u8; 16], path: &TreePath) -> Result<Option<Row>, TreeError> {
    let Some((name, above)) = path.components().split_last() else {
        return row(view, ROOTS, &root_name(&association));
    };
    let Some(mut at) = directory(view, ROOTS, &root_name(&association))? else {
        return Ok(None);
    };
    for name in above {
        let Some(next) = directory(view, at, name)? else {
            return Ok(None);
        };
        at = next;
    }
    row(view, at, name)
}

fn row(view: &dyn View, directory: DirId, name: &str) -> Result<Option<Row>, TreeError> {
    let mut row = Ok(None);
    view.get(&keys::row(directory, name), &mut |bytes| {
        row = Row::decode(bytes).map(Some)
    })?;
    row
}

fn directory(view: &dyn View, above: DirId, name: &str) -> Result<Option<DirId>, TreeError> {
    let mut id = Ok(None);
    view.get(&keys::row(above, name), &mut |bytes| {
        id = RowRef::new(bytes).map(|row| row.directory())
    })?;
    id
}

/// Hands the entries of a directory behind the name `after` to `visit`, in order, until it breaks.
///
/// # Errors
///
/// If rows cannot be read.
pub fn list_dir(
    view: &dyn View,
    directory: DirId,
    after: Option<&str>,
    visit: &mut dyn FnMut(&str, RowRef<'_>) -> ControlFlow<()>,
) -> Result<(), TreeError> {
    let (from, to) = keys::rows_after(directory, after);
    let mut failed = None;
    view.scan(
        &from,
        &to,
        &mut |key, value| match (keys::split(key), RowRef::new(value)) {
            (Some((_, name)), Ok(row)) => visit(name, row),
            (None, _) => {
                failed = Some(TreeError::Damaged("a key cannot be read".to_owned()));
                ControlFlow::Break(())
            }
            (_, Err(error)) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    failed.map_or(Ok(()), Err)
}

/// Walks a file or a directory with all that is below, depth first, in the order of names: each entry with its
/// full path, `path` itself first. With `after`, the walk goes on strictly behind that path of an earlier walk.
///
/// Memory is bounded by the depth. Says whether `path` exists.
///
/// # Errors
///
/// If rows cannot be read.
pub fn walk(
    view: &dyn View,
    association: [u8; 16],
    path: &TreePath,
    after: Option<&TreePath>,
    visit: &mut dyn FnMut(&str, RowRef<'_>) -> ControlFlow<()>,
) -> Result<bool, TreeError> {
    let Some(row) = lookup(view, association, path)? else {
        return Ok(false);
    };
    let mut shown = path.to_string();
    if after.is_none() && visit(&shown, RowRef::new(&row.encode())?).is_break() {
        return Ok(true);
    }
    let Row::Dir(row) = row else { return Ok(true) };
    if path.is_root() {
        shown.clear();
    }
    let resume = match after {
        None => Vec::new(),
        Some(after) => match after.strip_prefix(path) {
            Some(rest) => rest.components().to_vec(),
            // A cursor outside of what is walked: nothing of it comes behind.
            None => return Ok(true),
        },
    };
    let mut walk = Walk {
        view,
        path: shown,
        levels: Vec::new(),
        visit,
    };
    walk.enter(None, row.id);
    walk.resume(&resume)?;
    walk.run()
}

/// How a run of siblings ended, and the directory that it ended at.
type Run = (ControlFlow<()>, Option<(String, DirId)>);

/// A directory on the way down.
struct Level {
    id: DirId,
    /// Length of the path of the directory that holds it.
    above: usize,
    /// The entry that was last walked.
    after: Option<String>,
}

struct Walk<'a> {
    view: &'a dyn View,
    path: String,
    /// From where the walk began down to where it is. No recursion: moves can make directories deeper than any path
    /// that can be named, and a stack is short.
    levels: Vec<Level>,
    visit: &'a mut dyn FnMut(&str, RowRef<'_>) -> ControlFlow<()>,
}

impl Walk<'_> {
    fn enter(&mut self, name: Option<&str>, id: DirId) {
        let above = self.path.len();
        if let Some(name) = name {
            self.path.push('/');
            self.path.push_str(name);
        }
        self.levels.push(Level {
            id,
            above,
            after: None,
        });
    }

    /// Goes down to where an earlier walk ended. What it ended at has been shown; what is below that has not.
    fn resume(&mut self, names: &[String]) -> Result<(), TreeError> {
        for name in names {
            let Some(level) = self.levels.last_mut() else {
                break;
            };
            level.after = Some(name.clone());
            let Some(id) = directory(self.view, level.id, name)? else {
                break;
            };
            self.enter(Some(name), id);
        }
        Ok(())
    }

    fn run(&mut self) -> Result<bool, TreeError> {
        while let Some(level) = self.levels.last_mut() {
            let (id, after) = (level.id, level.after.take());
            let (flow, next) = self.files(id, after.as_deref())?;
            if flow.is_break() {
                break;
            }
            if let Some((name, below)) = next {
                self.enter(Some(&name), below);
                if let [.., level, _] = self.levels.as_mut_slice() {
                    level.after = Some(name);
                }
            } else if let Some(level) = self.levels.pop() {
                self.path.truncate(level.above);
            }
        }
        Ok(true)
    }

    /// Visits entries up to and with the next directory, which has to be walked before its later siblings.
    fn files(&mut self, directory: DirId, after: Option<&str>) -> Result<Run, TreeError> {
        let mut flow = ControlFlow::Continue(());
        let mut next = None;
        let Self {
            view, path, visit, ..
        } = self;
        let above = path.len();
        list_dir(*view, directory, after, &mut |name, row| {
            path.push('/');
            path.push_str(name);
            let id = row.directory();
            flow = visit(path, row);
            path.truncate(above);
            if flow.is_break() {
                return flow;
            }
            match id {
                Some(id) => {
                    next = Some((name.to_owned(), id));
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        })?;
        Ok((flow, next))
    }
}
