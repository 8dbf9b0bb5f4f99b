//! Reads a backup.

use std::io::{ErrorKind, Read};

use crc32fast::Hasher;

use super::{BackupError, FORMAT, Header, MAGIC};
use crate::limits::{BACKUP_HEADER_MAX_BYTES, FRAME_MAX_BYTES};
use crate::machine::{Chunk, chunk};

/// Reads a backup frame by frame. What it has handed out is known to be right only behind the end.
pub struct BackupReader<R> {
    from: R,
    sum: Hasher,
    header: Header,
    rows: u64,
    last: Vec<u8>,
    ended: bool,
}

impl<R: Read> BackupReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// If it is none of a backup that this program can read.
    pub fn open(from: R) -> Result<Self, BackupError> {
        let mut reader = Self {
            from,
            sum: Hasher::new(),
            header: Header {
                cluster: String::new(),
                applied: 0,
                taken_ms: 0,
            },
            rows: 0,
            last: Vec::new(),
            ended: false,
        };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        let format = reader.number()?;
        if format != FORMAT {
            return Err(BackupError::Refused(format!(
                "it is of format {format}, this program reads format {FORMAT}"
            )));
        }
        let length = reader.length(BACKUP_HEADER_MAX_BYTES)?;
        let json = reader.take(length)?;
        reader.check_sum()?;
        let header = serde_json::from_slice(&json);
        reader.header = header.map_err(|error| damaged(&error.to_string()))?;
        Ok(reader)
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next rows; `None` at the end, which is checked: then all was as it was written.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn next_rows(&mut self) -> Result<Option<Chunk>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let length = self.length(FRAME_MAX_BYTES)?;
        if length == 0 {
            return self.end().map(|()| None);
        }
        let mut bytes = self.take(length)?.into();
        let rows = chunk::get(&mut bytes).filter(|rows| bytes.is_empty() && !rows.is_empty());
        let rows = rows.ok_or_else(|| damaged("a frame holds no rows"))?;
        for (key, _) in &rows {
            if *key <= self.last {
                return Err(damaged("its rows are out of order"));
            }
            self.last.clone_from(key);
        }
        self.rows += rows.len() as u64;
        Ok(Some(rows))
    }

    /// Reads to the end: the number of rows.
    ///
    /// # Errors
    ///
    /// If something is not as it was written.
    pub fn verify(mut self) -> Result<u64, BackupError> {
        while self.next_rows()?.is_some() {}
        Ok(self.rows)
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let rows = self.take(8)?;
        if rows != self.rows.to_le_bytes() {
            return Err(damaged("rows are missing"));
        }
        self.check_sum()?;
        if self.from.read(&mut [0])? != 0 {
            return Err(damaged("something follows its end"));
        }
        self.ended = true;
        Ok(())
    }

    fn length(&mut self, most: usize) -> Result<usize, BackupError> {
        let length = self.number()? as usize;
        if length > most {
            return Err(damaged("a length cannot be right"));
        }
        Ok(length)
    }

    fn number(&mut self) -> Result<u32, BackupError> {
        let bytes = self.take(4)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    fn check_sum(&mut self) -> Result<(), BackupError> {
        let sum = self.sum.clone().finalize();
        if self.number()? != sum {
            return Err(damaged("it does not match its checksum"));
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = vec![0; length];
        self.from
            .read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => damaged("it ends before its end"),
                _ => error.into(),
            })?;
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

fn damaged(why: &str) -> BackupError {
    BackupError::Damaged(why.to_owned())
}
