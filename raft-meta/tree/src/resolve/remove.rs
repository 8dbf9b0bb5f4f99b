//! Removing one thing, if it is what it is thought to be.

use std::ops::ControlFlow;

use super::Work;
use crate::{Op, Removal, Row, TreeError, TreePath, list_dir};

impl Work<'_> {
    pub(super) fn remove(&mut self, path: &TreePath, what: Removal) -> Result<(), TreeError> {
        let Some((directory, name)) = self.parent(path, false)? else {
            // The root stays.
            return Err(TreeError::NotEmpty(path.to_string()));
        };
        let op = match (self.row(directory, name)?, what) {
            (None, _) => return Err(TreeError::NotFound(path.to_string())),
            (Some(Row::Dir(_)), Removal::File) => return Err(TreeError::IsDirectory(path.to_string())),
            (Some(Row::File(_)), Removal::EmptyDirectory) => {
                return Err(TreeError::NotDirectory(path.to_string()));
            }
            (Some(file @ Row::File(_)), Removal::File) => Op::Remove {
                directory,
                name: name.to_owned(),
                released: file.blobs(),
            },
            (Some(Row::Dir(row)), Removal::EmptyDirectory) => {
                let mut empty = true;
                list_dir(self.view, row.id, None, &mut |_, _| {
                    empty = false;
                    ControlFlow::Break(())
                })?;
                if !empty {
                    return Err(TreeError::NotEmpty(path.to_string()));
                }
                Op::Detach {
                    directory,
                    name: name.to_owned(),
                    id: row.id,
                }
            }
        };
        self.push(op);
        Ok(())
    }
}
