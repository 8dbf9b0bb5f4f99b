//! Deleting.

use super::Work;
use crate::{DirId, DirRow, Op, ROOTS, Row, TreeError, TreePath, root_name};

impl Work<'_> {
    pub(super) fn delete(&mut self, paths: &[TreePath], root: &TreePath) -> Result<(), TreeError> {
        for path in paths {
            let above = self.parent(path, false);
            match above {
                // What does not exist, or hangs below a file, is as good as deleted.
                Err(TreeError::NotFound(_) | TreeError::NotDirectory(_)) => {}
                Err(error) => return Err(error),
                Ok(None) => {
                    let name = root_name(&self.association);
                    self.empty(ROOTS, &name)?;
                }
                Ok(Some((directory, name))) if path == root => self.empty(directory, name)?,
                Ok(Some((directory, name))) => self.delete_one(directory, name)?,
            }
        }
        Ok(())
    }

    fn delete_one(&mut self, directory: DirId, name: &str) -> Result<(), TreeError> {
        let name = name.to_owned();
        match self.row(directory, &name)? {
            None => {}
            Some(Row::Dir(row)) => self.push(Op::Detach {
                directory,
                name,
                id: row.id,
            }),
            Some(file @ Row::File(_)) => self.push(Op::Remove {
                directory,
                name,
                released: file.blobs(),
            }),
        }
        Ok(())
    }

    /// Gives a directory a fresh id: what was below the old one is detached in one step, whatever its size.
    fn empty(&mut self, directory: DirId, name: &str) -> Result<(), TreeError> {
        let Some(Row::Dir(old)) = self.row(directory, name)? else {
            return self.delete_one(directory, name);
        };
        let id = self.ids.next_id()?;
        self.push(Op::Detach {
            directory,
            name: name.to_owned(),
            id: old.id,
        });
        let row = Row::Dir(DirRow {
            id,
            mtime: self.stamp.now_ms,
            ..old
        });
        self.put_dir(directory, name, row);
        Ok(())
    }
}
