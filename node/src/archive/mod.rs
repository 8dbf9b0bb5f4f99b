//! Layout of a ZIP archive whose every byte is known before the first is sent.
//!
//! Files are stored, not deflated, and their sizes and CRC32 are known, so the archive has an exact length and any
//! range of it can be made without the rest (PKWARE APPNOTE 6.3.10). Headers are made when they are asked for.

mod headers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in the archive, with `/`; at most 65,535 bytes.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// CRC32 of them.
    pub crc32: u32,
    /// Modification time, Unix milliseconds.
    pub mtime_ms: i64,
}

/// A run of bytes of an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Headers.
    Bytes(Vec<u8>),
    /// Bytes of a file.
    File {
        /// Number of the entry.
        entry: usize,
        /// Bytes of the file.
        range: Range<u64>,
    },
}

/// Where everything of an archive is.
#[derive(Debug)]
pub struct Layout {
    entries: Vec<Entry>,
    /// Offsets of the local headers, and the end of the last file.
    locals: Vec<u64>,
    /// Offsets of the central headers, and their end.
    centrals: Vec<u64>,
    length: u64,
}

impl Layout {
    /// Lays out an archive. A name that is taken gets a number before its extension.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        make_unique(&mut entries);
        let mut locals = Vec::with_capacity(entries.len() + 1);
        let mut at = 0;
        for entry in &entries {
            locals.push(at);
            at += headers::local_length(entry) + entry.size;
        }
        locals.push(at);
        let mut centrals = Vec::with_capacity(entries.len() + 1);
        for (entry, offset) in entries.iter().zip(&locals) {
            centrals.push(at);
            at += headers::central_length(entry, *offset);
        }
        centrals.push(at);
        let mut layout = Self {
            entries,
            locals,
            centrals,
            length: 0,
        };
        layout.length = at + layout.end().len() as u64;
        layout
    }

    /// Length of the archive.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The files.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of a range, piece by piece.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
        let mut at = range.start;
        let end = range.end.min(self.length);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (piece, length) = self.piece(at, end)?;
            at += length;
            Some(piece)
        })
    }

    /// The piece that holds the byte at `at`, from there, and its length; it ends at `end` at the latest.
    fn piece(&self, at: u64, end: u64) -> Option<(Piece, u64)> {
        let files_end = *self.locals.last()?;
        let central_end = *self.centrals.last()?;
        if at < files_end {
            let index = self.locals.partition_point(|start| *start <= at) - 1;
            let (entry, start) = (self.entries.get(index)?, *self.locals.get(index)?);
            let header = headers::local(entry);
            let data = start + header.len() as u64;
            if at < data {
                return cut(&header, start, at, end);
            }
            let range = at - data..(end - data).min(entry.size);
            let length = range.end - range.start;
            return Some((Piece::File { entry: index, range }, length));
        }
        if at < central_end {
            let index = self.centrals.partition_point(|start| *start <= at) - 1;
            let header = headers::central(self.entries.get(index)?, *self.locals.get(index)?);
            return cut(&header, *self.centrals.get(index)?, at, end);
        }
        cut(&self.end(), central_end, at, end)
    }

    fn end(&self) -> Vec<u8> {
        let start = self.locals.last().copied().unwrap_or(0);
        let end = self.centrals.last().copied().unwrap_or(0);
        headers::end(self.entries.len() as u64, start, end)
    }
}

/// The part of `bytes`, which begin at `start`, from `at` to `end`.
fn cut(bytes: &[u8], start: u64, at: u64, end: u64) -> Option<(Piece, u64)> {
    let from = usize::try_from(at - start).ok()?;
    let to = usize::try_from(end - start)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let part = bytes.get(from..to)?.to_vec();
    let length = part.len() as u64;
    Some((Piece::Bytes(part), length))
}

/// Every number is tried once for a name, however often it comes: a client may ask for one file a million times.
fn make_unique(entries: &mut [Entry]) {
    let mut taken: HashMap<String, u64> = HashMap::new();
    for entry in entries {
        if let Some(last) = taken.get(&entry.name) {
            let mut fresh = (last + 1..).map(|number| (numbered(&entry.name, number), number));
            if let Some((name, number)) = fresh.find(|(name, _)| !taken.contains_key(name)) {
                taken.insert(std::mem::replace(&mut entry.name, name), number);
            }
        }
        taken.insert(entry.name.clone(), 1);
    }
}

fn numbered(name: &str, number: u64) -> String {
    let (directory, file) = name
        .rfind('/')
        .map_or(("", name), |slash| name.split_at(slash + 1));
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{directory}{stem} ({number}).{extension}"),
        _ => format!("{directory}{file} ({number})"),
    }
}
