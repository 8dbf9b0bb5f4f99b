//! Goes through the rows of an association, run by run.

use std::ops::ControlFlow;

use filegrid_meta::nodes::{Span, behind};
use filegrid_tree::{DirId, ROOTS, RowRef, TreeError, View, root_name};

/// A walk through the rows of an association, each directory before what is in it. Every name of a directory that is walked
/// is in one of the runs, also names that no row has.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    association: [u8; 16],
    /// From the root down to where it is.
    levels: Vec<Level>,
    has_root: bool,
}

#[derive(Debug, Clone)]
struct Level {
    directory: DirId,
    /// Name of the directory; empty for the root.
    name: String,
    /// Where in it to go on.
    from: String,
}

/// Takes a directory, a name in it, and the row as it is kept.
pub(super) type WithRow<'a> = dyn FnMut(DirId, &str, &[u8]) -> Result<(), TreeError> + 'a;

impl Walk {
    pub(super) fn new(association: [u8; 16]) -> Self {
        Self {
            association,
            levels: Vec::new(),
            has_root: false,
        }
    }

    pub(super) fn association(&self) -> [u8; 16] {
        self.association
    }

    /// Path of the directory that the next run is in; `None` for the run of the root itself.
    pub(super) fn path(&self) -> Option<String> {
        if self.levels.is_empty() {
            return None;
        }
        let below = self.levels.iter().skip(1);
        Some(below.flat_map(|level| ["/", &level.name]).collect())
    }

    /// Hands the rows of the next run to `with`, at most so many; `None` behind the last one. `view` is of the same tree
    /// each time, but may be a newer one.
    ///
    /// # Errors
    ///
    /// If rows cannot be read, or what `with` has said.
    pub(super) fn next(
        &mut self,
        view: &dyn View,
        most: usize,
        with: &mut WithRow<'_>,
    ) -> Result<Option<Span>, TreeError> {
        let mut span = if !std::mem::replace(&mut self.has_root, true) {
            Span::one(ROOTS, &root_name(&self.association))
        } else if let Some(level) = self.levels.last_mut() {
            Span {
                directory: level.directory,
                from: std::mem::take(&mut level.from),
                to: None,
            }
        } else {
            return Ok(None);
        };
        let (mut rows, mut end, mut below) = (0, None, None);
        let mut failed = None;
        span.each(view, &mut |name, row| {
            rows += 1;
            let read = RowRef::new(row).map(|row| row.directory());
            below = match with(span.directory, name, row).and(read) {
                Ok(below) => below,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            if below.is_none() && rows < most {
                return ControlFlow::Continue(());
            }
            end = Some(name.to_owned());
            ControlFlow::Break(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.ended(&mut span, end, below);
        Ok(Some(span))
    }

    /// Goes on behind a name, or above; into a directory if there is one.
    fn ended(&mut self, span: &mut Span, end: Option<String>, below: Option<DirId>) {
        let is_root = span.directory == ROOTS;
        match &end {
            None if !is_root => drop(self.levels.pop()),
            Some(end) if !is_root => {
                let to = behind(end);
                if let Some(level) = self.levels.last_mut() {
                    level.from.clone_from(&to);
                }
                span.to = Some(to);
            }
            _ => {}
        }
        if let Some(directory) = below {
            self.levels.push(Level {
                directory,
                name: end.filter(|_| !is_root).unwrap_or_default(),
                from: String::new(),
            });
        }
    }
}
