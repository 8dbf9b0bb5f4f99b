//! Publishing files.

use std::collections::HashMap;

use super::Work;
use crate::{Base, BlobId, FileRow, Op, Publication, Row, TreeError, TreePath};

impl Work<'_> {
    pub(super) fn publish(&mut self, files: &[Publication], make_parents: bool) -> Result<(), TreeError> {
        let last: HashMap<&TreePath, usize> = files
            .iter()
            .enumerate()
            .map(|(at, file)| (&file.path, at))
            .collect();
        for (at, file) in files.iter().enumerate() {
            if last.get(&file.path) == Some(&at) {
                self.publish_one(file, make_parents)?;
            } else {
                self.unused
                    .extend(file.content.extents.iter().map(|extent| extent.blob));
            }
        }
        Ok(())
    }

    fn publish_one(&mut self, file: &Publication, make_parents: bool) -> Result<(), TreeError> {
        let path = &file.path;
        let Some((directory, name)) = self.parent(path, make_parents)? else {
            return Err(TreeError::IsDirectory(path.to_string()));
        };
        let old = match self.row(directory, name)? {
            Some(Row::Dir(_)) => return Err(TreeError::IsDirectory(path.to_string())),
            Some(Row::File(old)) => Some(old),
            None => None,
        };
        match (file.base, &old) {
            (Base::Any, _) | (Base::Absent, None) => {}
            (Base::Version(version), Some(old)) if old.version == version => {}
            (Base::Absent, Some(_)) => return Err(TreeError::Exists(path.to_string())),
            (Base::Version(_), _) => return Err(TreeError::Stale(path.to_string())),
        }
        let row = Row::File(self.file_row(file, old.as_ref()));
        self.stamp.version += 1;
        let was_unsummed = old.as_ref().is_some_and(|old| old.sha256.is_none());
        let before = old.map(Row::File).map(|row| row.blobs()).unwrap_or_default();
        let after = row.blobs();
        self.push(Op::Put {
            directory,
            name: name.to_owned(),
            released: without(&before, &after),
            linked: without(&after, &before),
            row,
            was_unsummed,
        });
        Ok(())
    }

    fn file_row(&self, file: &Publication, old: Option<&FileRow>) -> FileRow {
        let now = self.stamp.now_ms;
        FileRow {
            version: self.stamp.version,
            size: file.content.size,
            crc32: file.content.crc32,
            sha256: file.content.sha256,
            created_at: old.map_or(now, |old| old.created_at),
            updated_at: old.map(|_| now),
            mtime: file.mtime.unwrap_or(now),
            protocol: self.stamp.protocol,
            extents: file.content.extents.clone(),
        }
    }
}

/// What is in `of` and not in `those`; both are sorted.
fn without(of: &[BlobId], those: &[BlobId]) -> Vec<BlobId> {
    of.iter()
        .filter(|blob| those.binary_search(blob).is_err())
        .copied()
        .collect()
}
