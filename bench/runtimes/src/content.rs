//! What is sent, and whether it was stored.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

use crate::limits::{BLOCK_BYTES, PIECE_BYTES, RECORD_HEAD_BYTES};

/// Bytes of noise that all bodies are parts of.
const NOISE_BYTES: usize = 16 << 20;

/// Bodies, each other than the next, without the cost of making them while the clock runs.
pub(crate) struct Content(Vec<u8>);

impl Content {
    /// Makes the noise, by Marsaglia's xorshift.
    pub(crate) fn new() -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let words = (0..NOISE_BYTES / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Self(words.collect())
    }

    /// A piece of at most `PIECE_BYTES` of body `number`.
    pub(crate) fn piece(&self, number: u64, piece: u64, bytes: usize) -> &[u8] {
        let room = (NOISE_BYTES - PIECE_BYTES) as u64;
        // Steps that share no factor with the room.
        let at = (number.wrapping_mul(7919) + piece.wrapping_mul(1_048_583)) % room;
        let at = usize::try_from(at).unwrap_or(0);
        &self.0[at..at + bytes]
    }

    /// The pieces of a body.
    pub(crate) fn pieces(&self, number: u64, length: u64) -> impl Iterator<Item = &[u8]> {
        let pieces = length.div_ceil(PIECE_BYTES as u64);
        (0..pieces).map(move |piece| {
            let left = length - piece * PIECE_BYTES as u64;
            let bytes = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            self.piece(number, piece, bytes)
        })
    }

    /// CRC32 of a body.
    pub(crate) fn sum(&self, number: u64, length: u64) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        self.pieces(number, length).for_each(|piece| sum.update(piece));
        sum.finalize()
    }

    /// Whether the file holds the body.
    ///
    /// # Errors
    ///
    /// Says which body is another; or the file cannot be read.
    pub(crate) fn check_file(&self, path: &Path, number: u64, length: u64) -> Result<()> {
        let mut file = File::open(path)?;
        let mut stored = vec![0; PIECE_BYTES];
        for piece in self.pieces(number, length) {
            file.read_exact(&mut stored[..piece.len()])?;
            if &stored[..piece.len()] != piece {
                return Err(Error::other(format!("body {number} is stored as another")));
            }
        }
        Ok(())
    }

    /// Whether the log holds the bodies `0..count` of a run.
    ///
    /// # Errors
    ///
    /// Says what is missing or other; or the log cannot be read.
    pub(crate) fn check_log(&self, path: &Path, run: u64, count: u64, length: usize) -> Result<()> {
        let log = std::fs::read(path)?;
        let mut found = vec![false; usize::try_from(count).map_err(Error::other)?];
        let mut at = 0;
        while let Some(head) = log.get(at..at + RECORD_HEAD_BYTES) {
            let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[from + byte]));
            let (bytes, sum, number) = (word(0) as u32 as usize, (word(0) >> 32) as u32, word(8));
            if bytes == 0 && !at.is_multiple_of(BLOCK_BYTES) {
                at = at.next_multiple_of(BLOCK_BYTES);
                continue;
            }
            if bytes == 0 || word(16) != run {
                break;
            }
            let body = log.get(at + RECORD_HEAD_BYTES..at + RECORD_HEAD_BYTES + bytes);
            let sent = self.piece(number, 0, length);
            if body != Some(sent) || sum != crc32fast::hash(sent) {
                return Err(Error::other(format!("body {number} is in the log as another")));
            }
            if let Some(found) = usize::try_from(number)
                .ok()
                .and_then(|number| found.get_mut(number))
            {
                *found = true;
            }
            at = (at + RECORD_HEAD_BYTES + bytes).next_multiple_of(8);
        }
        match found.iter().filter(|found| !**found).count() {
            0 => Ok(()),
            missing => Err(Error::other(format!(
                "{missing} of {count} bodies are not in the log"
            ))),
        }
    }
}
