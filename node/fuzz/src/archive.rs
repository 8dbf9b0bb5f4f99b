use std::collections::HashSet;
use std::ops::Range;

use filegrid::archive::{Entry, Layout, Piece};

use super::Input;

/// Files of one input.
const ENTRIES_MAX: u8 = 24;
const NAMES: [&str; 8] = [
    "a",
    "a (2)",
    "a.txt",
    "a (2).txt",
    "d/a.txt",
    "d/.x",
    "ä/€ (3)",
    "",
];

/// A list of files and some ranges. An independent reader finds every file in the archive, and every range is that
/// part of the whole. No bytes of files are needed for it, so they may be as large as they like.
pub fn archive(data: &[u8]) {
    let mut input = Input(data);
    let entries: Vec<Entry> = (0..input.byte() % ENTRIES_MAX)
        .map(|_| entry(&mut input))
        .collect();
    let layout = Layout::new(entries.clone());
    let whole: Vec<Piece> = layout.pieces(0..layout.length()).collect();
    let archive = Sparse::new(&whole);
    assert_eq!(archive.length, layout.length());
    archive.holds(&entries, layout.entries());

    for _ in 0..4 {
        let (one, other) = (at(&mut input, &archive), at(&mut input, &archive));
        let range = one.min(other)..one.max(other);
        let pieces: Vec<Piece> = layout.pieces(range.clone()).collect();
        assert_eq!(joined(pieces), archive.cut(&range), "{range:?}");
    }
    assert_eq!(layout.pieces(layout.length()..u64::MAX).count(), 0);
}

fn entry(input: &mut Input<'_>) -> Entry {
    let kind = input.byte();
    let name = if kind & 8 == 0 {
        NAMES[usize::from(kind & 7)].to_owned()
    } else {
        String::from_utf8_lossy(input.take(usize::from(kind >> 4) * 8)).into_owned()
    };
    // Around the values where the format changes, and anywhere.
    let size = match input.byte() {
        small @ 0..=99 => u64::from(small),
        near @ 100..=199 => u64::from(u32::MAX) - 150 + u64::from(near),
        _ => input.number() >> 20,
    };
    let number = input.number();
    Entry {
        name,
        size,
        crc32: u32::try_from(number >> 32).unwrap(),
        mtime_ms: i64::from_le_bytes(number.to_le_bytes()),
    }
}

/// Some place of the archive, often right beside one where something begins.
fn at(input: &mut Input<'_>, archive: &Sparse) -> u64 {
    let length = archive.length;
    if input.byte() & 1 == 0 {
        return input.number() % (length + 1);
    }
    let edge = usize::from(input.byte()) % archive.runs.len();
    (archive.runs[edge].0 + u64::from(input.byte() % 5))
        .saturating_sub(2)
        .min(length)
}

/// An archive as it is sent: where its runs begin, in order and without gaps.
struct Sparse {
    runs: Vec<(u64, Piece)>,
    length: u64,
}

impl Sparse {
    fn new(pieces: &[Piece]) -> Self {
        let (mut runs, mut length) = (Vec::new(), 0);
        for piece in pieces {
            assert!(piece_length(piece) > 0);
            runs.push((length, cut(piece, 0..piece_length(piece))));
            length += piece_length(piece);
        }
        Self { runs, length }
    }

    /// The pieces of a range by plain arithmetic, joined where they meet.
    fn cut(&self, range: &Range<u64>) -> Vec<Piece> {
        let first = self
            .runs
            .partition_point(|(start, _)| *start <= range.start)
            .max(1)
            - 1;
        let runs = self.runs[first..]
            .iter()
            .take_while(|(start, _)| *start < range.end);
        let pieces = runs.filter_map(|(start, piece)| {
            let end = (start + piece_length(piece)).min(range.end);
            let from = range.start.max(*start);
            (from < end).then(|| cut(piece, from - start..end - start))
        });
        joined(pieces.collect())
    }

    /// Bytes of headers.
    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        self.slice(at, N as u64).try_into().unwrap()
    }

    fn slice(&self, at: u64, length: u64) -> Vec<u8> {
        match self.cut(&(at..at + length)).pop() {
            Some(Piece::Bytes(bytes)) if bytes.len() as u64 == length => bytes,
            None if length == 0 => Vec::new(),
            other => panic!("{length} bytes of headers at {at}, found {other:?}"),
        }
    }

    fn u16(&self, at: u64) -> u64 {
        u64::from(u16::from_le_bytes(self.read(at)))
    }

    fn u32(&self, at: u64) -> u64 {
        u64::from(u32::from_le_bytes(self.read(at)))
    }

    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.read(at))
    }

    /// Reads the archive from its end, as APPNOTE 4.3 tells readers to.
    fn holds(&self, asked: &[Entry], entries: &[Entry]) {
        assert_eq!(asked.len(), entries.len());
        let (count, mut central, size) = self.directory();
        assert_eq!(count, entries.len() as u64);
        let (end, mut data_end) = (central + size, 0);
        let mut names = HashSet::new();
        for (number, (entry, asked)) in entries.iter().zip(asked).enumerate() {
            assert!(names.insert(&entry.name), "{} twice", entry.name);
            assert_eq!((entry.size, entry.crc32), (asked.size, asked.crc32));
            let (local, next) = self.central(central, entry);
            central = next;
            assert_eq!(local, data_end, "a gap before a file");
            let data = self.local(local, entry);
            data_end = data + entry.size;
            let expected = Piece::File {
                entry: number,
                range: 0..entry.size,
            };
            if entry.size > 0 {
                assert_eq!(self.cut(&(data..data_end)), [expected]);
            }
        }
        assert_eq!(central, end);
        assert_eq!(data_end, end - size, "a gap before the directory");
    }

    /// Entries, offset and length of the central directory.
    fn directory(&self) -> (u64, u64, u64) {
        let end = self.length - 22;
        assert_eq!(&self.read(end), b"PK\x05\x06");
        assert_eq!(self.u16(end + 20), 0, "a comment");
        let short = (self.u16(end + 10), self.u32(end + 16), self.u32(end + 12));
        if short.0 < 0xffff && short.1 < 0xffff_ffff && short.2 < 0xffff_ffff {
            assert_eq!(end, short.1 + short.2);
            return short;
        }
        let locator = end - 20;
        assert_eq!(&self.read(locator), b"PK\x06\x07");
        let record = self.u64(locator + 8);
        assert_eq!(&self.read(record), b"PK\x06\x06");
        assert_eq!(record + 12 + self.u64(record + 4), locator);
        let long = (
            self.u64(record + 32),
            self.u64(record + 48),
            self.u64(record + 40),
        );
        assert_eq!(record, long.1 + long.2);
        long
    }

    /// Checks a central header; says where its file is and where the next header begins.
    fn central(&self, at: u64, entry: &Entry) -> (u64, u64) {
        assert_eq!(&self.read(at), b"PK\x01\x02");
        let (name, extra) = (self.u16(at + 28), self.u16(at + 30));
        assert_eq!(self.slice(at + 46, name), entry.name.as_bytes());
        assert_eq!(self.u32(at + 16), u64::from(entry.crc32));
        let mut values = [self.u32(at + 24), self.u32(at + 20), self.u32(at + 42)];
        self.zip64(at + 46 + name, extra, &mut values);
        assert_eq!(values[..2], [entry.size; 2]);
        (values[2], at + 46 + name + extra)
    }

    /// Checks a local header; says where its file's bytes begin.
    fn local(&self, at: u64, entry: &Entry) -> u64 {
        assert_eq!(&self.read(at), b"PK\x03\x04");
        let (name, extra) = (self.u16(at + 26), self.u16(at + 28));
        assert_eq!(self.u16(at + 6) & 8, 0, "sizes behind the file");
        assert_eq!(self.u16(at + 8), 0, "compressed");
        assert_eq!(self.slice(at + 30, name), entry.name.as_bytes());
        assert_eq!(self.u32(at + 14), u64::from(entry.crc32));
        let mut values = [self.u32(at + 22), self.u32(at + 18)];
        self.zip64(at + 30 + name, extra, &mut values);
        assert_eq!(values, [entry.size; 2]);
        at + 30 + name + extra
    }

    /// Fills in the values that stand in the ZIP64 field: it holds exactly those that are all ones.
    fn zip64(&self, mut at: u64, length: u64, values: &mut [u64]) {
        let end = at + length;
        let mut field = None;
        while at < end {
            if self.u16(at) == 1 {
                field = Some((at + 4, self.u16(at + 2)));
            }
            at += 4 + self.u16(at + 2);
        }
        assert_eq!(at, end, "extra fields");
        let missing: Vec<&mut u64> = values.iter_mut().filter(|value| **value == 0xffff_ffff).collect();
        assert_eq!(field.map_or(0, |(_, length)| length), 8 * missing.len() as u64);
        if let Some((start, _)) = field {
            for (number, value) in missing.into_iter().enumerate() {
                *value = self.u64(start + 8 * number as u64);
            }
        }
    }
}

fn piece_length(piece: &Piece) -> u64 {
    match piece {
        Piece::Bytes(bytes) => bytes.len() as u64,
        Piece::File { range, .. } => range.end - range.start,
    }
}

fn cut(piece: &Piece, part: Range<u64>) -> Piece {
    match piece {
        Piece::Bytes(bytes) => {
            let (from, to) = (
                usize::try_from(part.start).unwrap(),
                usize::try_from(part.end).unwrap(),
            );
            Piece::Bytes(bytes[from..to].to_vec())
        }
        Piece::File { entry, range } => Piece::File {
            entry: *entry,
            range: range.start + part.start..range.start + part.end,
        },
    }
}

/// Joins runs of headers, and of one file where they follow each other.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Bytes(before)), Piece::Bytes(bytes)) => before.extend_from_slice(&bytes),
            (
                Some(Piece::File { entry, range }),
                Piece::File {
                    entry: same,
                    range: next,
                },
            ) if *entry == same && range.end == next.start => {
                range.end = next.end;
            }
            (_, piece) => joined.push(piece),
        }
    }
    joined
}
