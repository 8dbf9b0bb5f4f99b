//! Rows on their way, in bytes. Pure.
//!
//! # Layout
//!
//! Little endian: number of rows (4), each: length (4), key, length (4), value.

use bytes::{Buf, BufMut, Bytes};

use super::Chunk;

/// How many bytes rows take.
#[must_use]
pub fn length_of(rows: &Chunk) -> usize {
    let rows = rows.iter();
    4 + rows
        .map(|(key, value)| key.len() + value.len() + 8)
        .sum::<usize>()
}

/// Writes rows.
pub fn put(to: &mut impl BufMut, rows: &Chunk) {
    to.put_u32_le(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    for (key, value) in rows {
        for part in [key, value] {
            to.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
            to.put_slice(part);
        }
    }
}

/// Reads rows; `None` if the bytes are none. What follows them is left.
#[must_use]
pub fn get(from: &mut Bytes) -> Option<Chunk> {
    let count = from.try_get_u32_le().ok()? as usize;
    // Each takes eight bytes at least: a wrong count cannot make us reserve more than what is there.
    if count > from.len() / 8 {
        return None;
    }
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        rows.push((get_part(from)?, get_part(from)?));
    }
    Some(rows)
}

fn get_part(from: &mut Bytes) -> Option<Vec<u8>> {
    let length = from.try_get_u32_le().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length).to_vec())
}
