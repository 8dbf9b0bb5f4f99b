//! Compares the files of a ZIP archive with what they should be, while it arrives (APPNOTE 4.3.7). Only what is stored as it
//! is, with its sizes in front: what this server sends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::content::{Check, Content};
use crate::files::Files;
use crate::limits::ARCHIVE_HEADER_MAX_BYTES;

/// Header of a file, without its name and further fields.
const HEADER_BYTES: usize = 30;
/// General-purpose flag: sizes come behind the content.
const SIZES_BEHIND: u16 = 1 << 3;
/// Field that holds long sizes.
const ZIP64: u16 = 1;

enum State {
    Header,
    File {
        check: Check,
        left: u64,
    },
    /// The directory at the end, which the comparison does not need.
    Directory,
    /// It is of a kind that cannot be compared.
    Unknown,
}

/// An archive that is being received.
pub struct ArchiveCheck {
    content: Arc<Content>,
    /// Number and size by name, of those that have not come.
    expected: HashMap<String, (u64, u64)>,
    state: State,
    header: Vec<u8>,
    wrong: Option<String>,
    /// Whether other kinds of archives are let pass.
    may_be_other: bool,
    files_begun: u64,
}

impl ArchiveCheck {
    /// For an archive of all files that were prepared.
    #[must_use]
    pub fn new(content: &Arc<Content>, files: &Files) -> Self {
        let expected = (0..files.prepared).map(|index| files.prepared(index));
        Self {
            content: Arc::clone(content),
            expected: expected
                .map(|file| (file.name().to_owned(), (file.number, file.size)))
                .collect(),
            state: State::Header,
            header: Vec::new(),
            wrong: None,
            may_be_other: false,
            files_begun: 0,
        }
    }

    /// The same, but an archive whose first file cannot be compared, or that is no ZIP, is let pass.
    #[must_use]
    pub fn if_possible(content: &Arc<Content>, files: &Files) -> Self {
        Self {
            may_be_other: true,
            ..Self::new(content, files)
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.wrong.is_none() {
            bytes = match &mut self.state {
                State::Directory | State::Unknown => return,
                State::File { check, left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, rest) = bytes.split_at(here);
                    check.feed(now);
                    *left -= here as u64;
                    self.next_file();
                    rest
                }
                State::Header => self.gather(bytes),
            };
        }
    }

    /// Goes on to the next header if the file is complete.
    fn next_file(&mut self) {
        if let State::File { check, left: 0 } = &self.state {
            self.wrong = check.finish().err();
            self.state = State::Header;
        }
    }

    fn gather<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = header_length(&self.header);
        let here = (wanted - self.header.len()).min(bytes.len());
        let (now, rest) = bytes.split_at(here);
        self.header.extend_from_slice(now);
        if self.header.starts_with(b"PK\x01\x02") || self.header.starts_with(b"PK\x05\x06") {
            self.state = State::Directory;
        } else if self.header.len() >= 4 && !self.header.starts_with(b"PK\x03\x04") {
            self.give_up("no header where a file should begin");
        } else if header_length(&self.header) > ARCHIVE_HEADER_MAX_BYTES {
            self.wrong = Some("a header is too long".to_owned());
        } else if self.header.len() == header_length(&self.header) && self.header.len() > 4 {
            let header = std::mem::take(&mut self.header);
            match self.file(&header) {
                Ok(state) => self.state = state,
                Err(why) => self.wrong = Some(why),
            }
            self.next_file();
        }
        rest
    }

    /// It cannot be compared: wrong, or of another kind where that is let pass.
    fn give_up(&mut self, why: &str) {
        if self.may_be_other && self.files_begun == 0 {
            self.state = State::Unknown;
        } else {
            self.wrong = Some(why.to_owned());
        }
    }

    /// What follows a header.
    fn file(&mut self, header: &[u8]) -> Result<State, String> {
        let (flags, method) = (u16_at(header, 6), u16_at(header, 8));
        if method != 0 || flags & SIZES_BEHIND != 0 {
            self.give_up("this archive cannot be compared: it is compressed, or tells sizes behind files");
            return Ok(State::Unknown);
        }
        let name_end = HEADER_BYTES + usize::from(u16_at(header, 26));
        let name = header.get(HEADER_BYTES..name_end).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let own = name.rsplit('/').next().unwrap_or_default();
        if own.is_empty() && u32_at(header, 22) == 0 {
            // A directory.
            return Ok(State::Header);
        }
        let (number, expected) = self
            .expected
            .remove(own)
            .ok_or_else(|| format!("{name} does not belong there"))?;
        let size = match u32_at(header, 22) {
            u32::MAX => long_size(header.get(name_end..).unwrap_or_default()).ok_or("a size is missing")?,
            size => u64::from(size),
        };
        if size != expected {
            return Err(format!("{name} has {size} bytes instead of {expected}"));
        }
        self.files_begun += 1;
        Ok(State::File {
            check: Check::new(&self.content, number, size),
            left: size,
        })
    }

    /// Whether all files came as they should.
    ///
    /// # Errors
    ///
    /// A text that says what is different.
    pub fn finish(&self) -> Result<(), String> {
        match (&self.wrong, &self.state) {
            (Some(why), _) => Err(why.clone()),
            (None, State::Unknown) => Ok(()),
            (None, State::Directory) if self.expected.is_empty() => Ok(()),
            (None, State::Directory) => Err(format!("{} files are missing", self.expected.len())),
            (None, _) => Err("the archive ends early".to_owned()),
        }
    }
}

/// Length of a header, as far as it can be told from what is there.
fn header_length(header: &[u8]) -> usize {
    match header.len() {
        0..4 => 4,
        4..HEADER_BYTES => HEADER_BYTES,
        _ => HEADER_BYTES + usize::from(u16_at(header, 26)) + usize::from(u16_at(header, 28)),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    two.map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

/// The size in the field of long sizes.
fn long_size(mut fields: &[u8]) -> Option<u64> {
    loop {
        let (head, rest) = fields.split_at_checked(4)?;
        let (field, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        if u16_at(head, 0) == ZIP64 {
            return field.get(..8)?.try_into().ok().map(u64::from_le_bytes);
        }
        fields = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::Sizes;
    use proptest::prelude::*;

    fn files() -> Files {
        Files {
            root: "/r".to_owned(),
            sizes: Sizes::Uniform(0, 300),
            seed: 3,
            prepared: 5,
            slots: 1,
            connections: 1,
        }
    }

    /// An archive of some of the files; a long one has its size in the field of long sizes.
    fn archive(content: &Content, files: &Files, indices: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in indices {
            let file = files.prepared(*index);
            let name = format!("files/{}", file.name());
            let is_long = index % 2 == 1;
            bytes.extend_from_slice(b"PK\x03\x04\x14\0\0\x08\0\0");
            bytes.extend_from_slice(&[0; 8]);
            let size = if is_long {
                u32::MAX
            } else {
                u32::try_from(file.size).unwrap()
            };
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&(if is_long { 29_u16 } else { 9 }).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"UT\x05\0\x01abcd");
            if is_long {
                bytes.extend_from_slice(b"\x01\0\x10\0");
                bytes.extend_from_slice(&file.size.to_le_bytes());
                bytes.extend_from_slice(&file.size.to_le_bytes());
            }
            bytes.extend_from_slice(content.piece(file.number, 0, file.size));
        }
        bytes.extend_from_slice(b"PK\x01\x02 and so on");
        bytes
    }

    fn check(content: &Arc<Content>, bytes: &[u8], step: usize) -> Result<(), String> {
        let mut check = ArchiveCheck::new(content, &files());
        for piece in bytes.chunks(step) {
            check.feed(piece);
        }
        check.finish()
    }

    fn check_if_possible(bytes: &[u8]) -> Result<(), String> {
        let mut check = ArchiveCheck::if_possible(&Content::new(9), &files());
        check.feed(bytes);
        check.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn archives_are_compared(step in 1_usize..500, at: prop::sample::Index) {
            let content = Content::new(9);
            let mut bytes = archive(&content, &files(), &[0, 1, 2, 3, 4]);
            prop_assert_eq!(check(&content, &bytes, step), Ok(()));
            prop_assert!(check(&content, &bytes[..bytes.len() - 30], step).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 0x10;
            // Wherever it is, it must not panic.
            let _ = check(&content, &bytes, step);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, step in 1_usize..50) {
            let content = Content::new(9);
            let _ = check(&content, &bytes, step);
            let _ = check(&content, &[b"PK\x03\x04".to_vec(), bytes].concat(), step);
        }
    }

    #[test]
    fn what_is_missing_wrong_or_too_much_is_seen() {
        let content = Content::new(9);
        let told = |indices: &[u64]| check(&content, &archive(&content, &files(), indices), 100).unwrap_err();
        assert!(told(&[0, 1, 2, 3]).contains("1 files are missing"));
        assert!(told(&[0, 1, 1, 2, 3, 4]).contains("does not belong"));
        let other = archive(&Content::new(10), &files(), &[0, 1, 2, 3, 4]);
        assert!(check(&content, &other, 100).unwrap_err().contains("is wrong"));
    }
    #[test]
    fn other_kinds_are_let_pass_only_if_that_is_asked_for() {
        let mut bytes = archive(&Content::new(9), &files(), &[0, 1, 2, 3, 4]);
        assert_eq!(check_if_possible(&bytes), Ok(()));
        let directory = [&b"PK\x03\x04\x14\0\0\x08\0\0"[..], &[0; 16], b"\x06\0\0\0files/"].concat();
        assert_eq!(check_if_possible(&[&directory[..], &bytes].concat()), Ok(()));
        // Wrong content stays wrong.
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        assert!(check_if_possible(&bytes).is_err());
        // Compressed, with sizes behind, and no ZIP at all.
        bytes[8] = 8;
        assert_eq!(check_if_possible(&bytes), Ok(()));
        (bytes[6], bytes[8]) = (8, 0);
        assert_eq!(check_if_possible(&bytes), Ok(()));
        assert!(
            check(&Content::new(9), &bytes, 100)
                .unwrap_err()
                .contains("cannot be compared")
        );
        assert_eq!(check_if_possible(b"files/f00000000\0\0\0"), Ok(()));
        assert!(check_if_possible(b"").is_err());
    }
}
