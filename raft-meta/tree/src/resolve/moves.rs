//! Moving.

use super::{Work, shown};
use crate::{DirId, Op, Row, TreeError, TreePath};

impl Work<'_> {
    pub(super) fn moves(&mut self, moves: &[(TreePath, TreePath)], replace: bool) -> Result<(), TreeError> {
        moves
            .iter()
            .try_for_each(|(from, to)| self.move_one(from, to, replace))
    }

    fn move_one(&mut self, from: &TreePath, to: &TreePath, replace: bool) -> Result<(), TreeError> {
        let above = match self.parent(from, false) {
            // Nothing hangs below a file.
            Err(TreeError::NotDirectory(_)) => return Err(TreeError::NotFound(from.to_string())),
            other => other?,
        };
        let Some((from_directory, from_name)) = above else {
            return Err(TreeError::IntoItself(from.to_string()));
        };
        let row = self
            .row(from_directory, from_name)?
            .ok_or_else(|| TreeError::NotFound(from.to_string()))?;
        let moved = if let Row::Dir(row) = &row {
            Some(row.id)
        } else {
            None
        };
        let Some((name, above)) = to.components().split_last() else {
            return Err(TreeError::Exists(to.to_string()));
        };
        let to_directory = self.directory_outside(above, moved, from)?;
        if let Some(there) = self.row(to_directory, name)? {
            let same = to_directory == from_directory && name == from_name;
            match there {
                Row::File(_) if replace && same => return Ok(()),
                Row::File(_) if replace && moved.is_none() => {
                    let released = there.blobs();
                    self.push(Op::Remove {
                        directory: to_directory,
                        name: name.clone(),
                        released,
                    });
                }
                _ => return Err(TreeError::Exists(to.to_string())),
            }
        }
        self.push(Op::Rename {
            from_directory,
            from_name: from_name.to_owned(),
            to_directory,
            to_name: name.clone(),
            row,
        });
        Ok(())
    }

    /// The id of an existing directory that is not `moved` or below it.
    fn directory_outside(
        &mut self,
        names: &[String],
        moved: Option<DirId>,
        from: &TreePath,
    ) -> Result<DirId, TreeError> {
        let mut at = self.root()?;
        for (depth, name) in names.iter().enumerate() {
            at = match self.row(at, name)? {
                Some(Row::Dir(row)) if Some(row.id) == moved => {
                    return Err(TreeError::IntoItself(from.to_string()));
                }
                Some(Row::Dir(row)) => row.id,
                Some(Row::File(_)) => return Err(TreeError::NotDirectory(shown(names, depth))),
                None => return Err(TreeError::NotFound(shown(names, depth))),
            };
        }
        Ok(at)
    }
}
