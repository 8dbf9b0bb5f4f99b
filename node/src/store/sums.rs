//! SHA-256 of files that were not summed as they came in.
//!
//! Summing is slower than ingest, so it never stands in its way: files without a sum are an index of the tree, worked
//! off in small slices. Many results make one change, which applies only to the versions that were read. Large blobs
//! are read past the page cache: what nobody has asked for must not push out what somebody has.

use std::collections::HashMap;
use std::ops::ControlFlow;

use aws_lc_rs::digest;
use filegrid_tree::{Command, DirId, FileRow, Protocol, Row, Sum, keys};

use super::{Piece, Store, StoreError};
use crate::limits;
use crate::ring::AlignedBuf;

/// SHA-256 of bytes that are at hand.
#[must_use]
pub fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

/// How far the index of files without a sum is worked off. Goes round and round: an entry that was passed over, or
/// came in behind, is met again.
#[derive(Debug, Default)]
pub struct SumCursor {
    after: Option<Vec<u8>>,
    /// Files that had come to wait when this round began.
    began_at: u64,
    /// Whether this round has met a file.
    met: bool,
    /// Files that had come to wait when a round began that met none: until there are more, there is nothing to do.
    done_at: Option<u64>,
}

/// A file without a sum.
struct Unsummed {
    directory: DirId,
    name: String,
    version: u64,
    association: [u8; 16],
}

impl Store {
    /// Sums some files whose owner lives on this shard; says how many there were. 0: the index has been gone through.
    ///
    /// # Errors
    ///
    /// If the tree cannot be read or a log is fenced. Damaged files are reported and skipped.
    pub async fn sum_some(&self, cursor: &mut SumCursor) -> Result<usize, StoreError> {
        let waiting = self.unsummed(cursor)?;
        let found = waiting.len();
        let mut sums: HashMap<[u8; 16], Vec<Sum>> = HashMap::new();
        let mut summed_bytes = 0;
        for file in waiting {
            let association = file.association;
            if let Some((sum, bytes)) = self.sum_file(file).await? {
                sums.entry(association).or_default().push(sum);
                summed_bytes += bytes;
            }
            if summed_bytes >= limits::SUMS_PER_CHANGE_MAX_BYTES {
                summed_bytes = 0;
                self.note_sums(std::mem::take(&mut sums)).await?;
            }
        }
        self.note_sums(sums).await?;
        Ok(found)
    }

    async fn note_sums(&self, sums: HashMap<[u8; 16], Vec<Sum>>) -> Result<(), StoreError> {
        for (association, sums) in sums {
            let command = Command::SetSha256 { sums };
            self.commit(association, Protocol::Api, command, Vec::new(), Vec::new())
                .await?;
        }
        Ok(())
    }

    fn unsummed(&self, cursor: &mut SumCursor) -> Result<Vec<Unsummed>, StoreError> {
        let come = self.0.local.borrow().values().map(|owner| owner.unsummed()).sum();
        if cursor.done_at == Some(come) {
            return Ok(Vec::new());
        }
        let (mut from, to) = keys::all(b'x');
        if let Some(after) = cursor.after.take() {
            from = after;
            from.push(0);
        } else {
            (cursor.began_at, cursor.met) = (come, false);
        }
        let mut found = Vec::new();
        let mut looked_at = 0;
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
                // Most entries may be other shards': a look stays short all the same.
                looked_at += 1;
                if found.len() < limits::SUMS_PER_CHANGE_MAX_COUNT && looked_at < limits::SUM_LOOK_MAX_COUNT {
                    ControlFlow::Continue(())
                } else {
                    cursor.after = Some(key.to_owned());
                    ControlFlow::Break(())
                }
            })
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        cursor.met |= !found.is_empty();
        if cursor.after.is_none() && !cursor.met {
            cursor.done_at = Some(cursor.began_at);
        }
        Ok(found)
    }

    /// The sum of a file and its length; `None` if there is nothing to be noted.
    async fn sum_file(&self, file: Unsummed) -> Result<Option<(Sum, u64)>, StoreError> {
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
            return Ok(None);
        };
        let bytes = row.size;
        let sha256 = match self.sum(&association, row).await {
            Ok(Some(sha256)) => sha256,
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged(place)) => {
                tracing::error!(place, name, "a file is damaged");
                self.mark_unreadable(version);
                if let Some(row) = self.file_at(directory, &name)?
                    && let Some(file) = self.open_row(&association, row)?
                {
                    match self.scrub_file(association, file).await {
                        Ok(()) | Err(StoreError::Damaged(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let sum = Sum {
            directory,
            name,
            version,
            sha256,
        };
        Ok(Some((sum, bytes)))
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
        let mut buffer = AlignedBuf::with_capacity(limits::SUM_SLICE_BYTES + limits::BLOCK_BYTES);
        while let Some(piece) = opened.content.piece(at, limits::SUM_SLICE_BYTES as u64).await? {
            let length = piece.length();
            match &piece {
                Piece::Bytes { .. } => {
                    sha256.update(piece.bytes());
                    crc32.update(piece.bytes());
                }
                Piece::File { .. } => {
                    let (back, range) = piece.read_blocks(buffer).await?;
                    buffer = back;
                    let bytes = range.and_then(|range| buffer.get(range)).ok_or_else(|| {
                        StoreError::Damaged(format!("version {} is cut off", opened.row.version))
                    })?;
                    sha256.update(bytes);
                    crc32.update(bytes);
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
