//! Writes a backup.

use std::io::Write;

use bytes::{BufMut, BytesMut};
use crc32fast::Hasher;

use super::{BackupError, FORMAT, Header, MAGIC};
use crate::machine::{Chunk, chunk};

/// Writes a backup to what takes bytes. Whether they are durable is the caller's matter.
pub struct BackupWriter<W> {
    to: W,
    sum: Hasher,
    rows: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn begin(to: W, header: &Header) -> Result<Self, BackupError> {
        let json = serde_json::to_vec(header).map_err(std::io::Error::from)?;
        let mut head = BytesMut::new();
        head.put_slice(MAGIC);
        head.put_u32_le(FORMAT);
        head.put_u32_le(u32::try_from(json.len()).unwrap_or(u32::MAX));
        head.put_slice(&json);
        let mut writer = Self {
            to,
            sum: Hasher::new(),
            rows: 0,
        };
        writer.write(&head)?;
        writer.write_sum()?;
        Ok(writer)
    }

    /// Adds rows, which follow those before.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn put(&mut self, rows: &Chunk) -> Result<(), BackupError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut frame = BytesMut::with_capacity(4 + chunk::length_of(rows));
        frame.put_u32_le(u32::try_from(chunk::length_of(rows)).unwrap_or(u32::MAX));
        chunk::put(&mut frame, rows);
        self.rows += rows.len() as u64;
        self.write(&frame)
    }

    /// Ends it; the number of rows comes back, with where it was written.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn end(mut self) -> Result<(u64, W), BackupError> {
        let rows = self.rows;
        self.write(&0_u32.to_le_bytes())?;
        self.write(&rows.to_le_bytes())?;
        self.write_sum()?;
        self.to.flush()?;
        Ok((rows, self.to))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.sum.update(bytes);
        Ok(self.to.write_all(bytes)?)
    }

    fn write_sum(&mut self) -> Result<(), BackupError> {
        let sum = self.sum.clone().finalize();
        self.write(&sum.to_le_bytes())
    }
}
