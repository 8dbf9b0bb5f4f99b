//! Making directories.

use super::Work;
use crate::{Row, TreeError, TreePath};

impl Work<'_> {
    pub(super) fn make_dir(
        &mut self,
        path: &TreePath,
        parents: bool,
        existing_ok: bool,
    ) -> Result<(), TreeError> {
        let Some((directory, name)) = self.parent(path, parents)? else {
            self.root()?;
            return if existing_ok {
                Ok(())
            } else {
                Err(TreeError::Exists(path.to_string()))
            };
        };
        match self.row(directory, name)? {
            Some(Row::Dir(_)) if existing_ok => Ok(()),
            Some(Row::Dir(_)) => Err(TreeError::Exists(path.to_string())),
            Some(Row::File(_)) => Err(TreeError::NotDirectory(path.to_string())),
            None => {
                let id = self.ids.next_id()?;
                self.new_dir(directory, name, id);
                Ok(())
            }
        }
    }
}
