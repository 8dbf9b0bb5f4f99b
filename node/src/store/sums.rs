//! SHA-256 of files, computed after the fact.
//!
//! Summing is slower than ingest, so it never stands in its way: files without a sum are an index of the tree, worked
//! off in small slices. The result is a change that applies only to the version that was read.

use std::ops::ControlFlow;

use aws_lc_rs::digest;
use filegrid_tree::{Command, DirId, FileRow, Protocol, Row, keys};

use super::{Piece, Store, StoreError};
use crate::limits;
use crate::ring::AlignedBuf;

/// A file without a sum.
struct Unsummed {
    directory: DirId,
    name: String,
    version: u64,
    association: [u8; 16],
}

impl Store {
    /// Sums up to `max` files whose owner lives on this shard; says how many there were.
    ///
    /// # Errors
    ///
    /// If the tree cannot be read or a log is fenced. Damaged files are reported and skipped.
    pub async fn sum_some(&self, max: usize) -> Result<usize, StoreError> {
        let waiting = self.unsummed(max)?;
        let found = waiting.len();
        let work = waiting.into_iter().map(|file| self.sum_file(file));
        for done in futures::future::join_all(work).await {
            done?;
        }
        Ok(found)
    }

    fn unsummed(&self, max: usize) -> Result<Vec<Unsummed>, StoreError> {
        let (from, to) = keys::all(b'x');
        let mut found = Vec::new();
        self.view()
            .scan(&from, &to, &mut |key, value| {
                if let (Some((directory, name)), Some((version, association))) =
                    (keys::split(key), value.split_first_chunk::<8>())
                    && let Ok(association) = <[u8; 16]>::try_from(association)
                    && self.owns(&association)
                    && !self.is_unreadable(u64::from_le_bytes(*version))
                {
                    let version = u64::from_le_bytes(*version);
                    found.push(Unsummed {
                        directory,
                        name: name.to_owned(),
                        version,
                        association,
                    });
                }
                if found.len() < max {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        Ok(found)
    }

    async fn sum_file(&self, file: Unsummed) -> Result<(), StoreError> {
        let Unsummed {
            directory,
            name,
            version,
            association,
        } = file;
        let Some(row) = self
            .file_at(directory, &name)?
            .filter(|row| row.version == version)
        else {
            return Ok(());
        };
        let sha256 = match self.sum(&association, row).await {
            Ok(Some(sha256)) => sha256,
            Ok(None) => return Ok(()),
            Err(StoreError::Damaged(place)) => {
                tracing::error!(place, name, "a file is damaged");
                self.mark_unreadable(version);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let command = Command::SetSha256 {
            directory,
            name,
            version,
            sha256,
        };
        self.commit(association, Protocol::Api, command, Vec::new(), Vec::new())
            .await
            .map(drop)
    }

    fn file_at(&self, directory: DirId, name: &str) -> Result<Option<FileRow>, StoreError> {
        let mut row = Ok(None);
        self.view()
            .get(&keys::row(directory, name), &mut |bytes| {
                row = Row::decode(bytes).map(Some)
            })
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        Ok(match row? {
            Some(Row::File(row)) => Some(row),
            _ => None,
        })
    }

    /// `None` if the file has gone meanwhile.
    async fn sum(&self, association: &[u8; 16], row: FileRow) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(opened) = self.open_row(association, row)? else {
            return Ok(None);
        };
        let mut sha256 = digest::Context::new(&digest::SHA256);
        let mut crc32 = crc32fast::Hasher::new();
        let mut at = 0;
        let mut buffer = AlignedBuf::with_capacity(limits::SUM_SLICE_BYTES);
        while let Some(piece) = opened.content.piece(at, limits::SUM_SLICE_BYTES as u64).await? {
            let length = piece.length();
            match &piece {
                Piece::Bytes { .. } => {
                    sha256.update(piece.bytes());
                    crc32.update(piece.bytes());
                }
                Piece::File { file, offset, length } => {
                    let wanted = usize::try_from(*length).unwrap_or(usize::MAX);
                    buffer.clear();
                    buffer.resize_zeroed(wanted);
                    let (read, back) = file.read_at(buffer, *offset).await;
                    buffer = back;
                    let read =
                        read.map_err(|error| StoreError::Disk(format!("cannot read a blob: {error}")))?;
                    if read < wanted {
                        return Err(StoreError::Damaged(format!(
                            "version {} is cut off",
                            opened.row.version
                        )));
                    }
                    sha256.update(&buffer);
                    crc32.update(&buffer);
                }
            }
            at += length;
        }
        if at != opened.row.size || crc32.finalize() != opened.row.crc32 {
            return Err(StoreError::Damaged(format!(
                "version {} does not match its checksum",
                opened.row.version
            )));
        }
        let sum = sha256.finish();
        Ok(sum.as_ref().try_into().ok())
    }
}
