//! Setting what belongs to a row beside its content.

use super::Work;
use crate::{DirId, FileRow, Op, ROOTS, Row, Sum, TreeError, TreePath, root_name};

impl Work<'_> {
    pub(super) fn set_time(&mut self, path: &TreePath, mtime: i64) -> Result<(), TreeError> {
        let root = root_name(&self.association);
        let (directory, name) = self.parent(path, false)?.unwrap_or((ROOTS, &root));
        match self.row(directory, name)? {
            None => Err(TreeError::NotFound(path.to_string())),
            Some(Row::Dir(mut row)) => {
                row.mtime = mtime;
                self.put_dir(directory, name, Row::Dir(row));
                Ok(())
            }
            Some(Row::File(mut row)) => {
                row.mtime = mtime;
                self.put_same_content(directory, name, row, false);
                Ok(())
            }
        }
    }

    pub(super) fn set_sha256(&mut self, sum: &Sum) -> Result<(), TreeError> {
        if let Some(Row::File(mut row)) = self.row(sum.directory, &sum.name)?
            && row.version == sum.version
            && row.sha256.is_none()
        {
            row.sha256 = Some(sum.sha256);
            self.put_same_content(sum.directory, &sum.name, row, true);
        }
        Ok(())
    }

    fn put_same_content(&mut self, directory: DirId, name: &str, row: FileRow, was_unsummed: bool) {
        self.push(Op::Put {
            directory,
            name: name.to_owned(),
            row: Row::File(row),
            released: Vec::new(),
            linked: Vec::new(),
            was_unsummed,
        });
    }
}
