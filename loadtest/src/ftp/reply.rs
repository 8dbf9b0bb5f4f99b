//! Replies of FTP as their bytes arrive (RFC 959, 4.2), and what is in some of them. No I/O.

use crate::limits::LINE_MAX_BYTES;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Three digits.
    pub code: u16,
    /// What its last line says.
    pub text: String,
}

/// Bytes that have come.
#[derive(Debug, Default)]
pub(super) struct Replies {
    bytes: Vec<u8>,
}

impl Replies {
    /// Takes bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next reply, if it is complete: its last line begins with its code and a space.
    ///
    /// # Errors
    ///
    /// If a line is too long.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, String> {
        let mut begin = 0;
        while let Some(length) = self
            .bytes
            .get(begin..)
            .unwrap_or_default()
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = begin + length + 1;
            let line = self.bytes.get(begin..end).unwrap_or_default();
            if let Some(reply) = last_line(line) {
                self.bytes.drain(..end);
                return Ok(Some(reply));
            }
            begin = end;
        }
        if self.bytes.len() > LINE_MAX_BYTES {
            return Err("a reply is too long".to_owned());
        }
        Ok(None)
    }
}

/// The reply that ends with this line, if one does.
fn last_line(line: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(line.trim_ascii_end());
    let (code, text) = text.split_at_checked(3)?;
    let ends = text.is_empty() || text.starts_with(' ');
    if !ends || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Reply {
        code: code.parse().ok()?,
        text: text.trim().to_owned(),
    })
}

/// The port in a reply to `EPSV` (RFC 2428): `(|||6446|)`.
#[must_use]
pub(super) fn extended_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once('(')?;
    let (inner, _) = rest.split_once(')')?;
    let delimiter = inner.chars().next()?;
    inner.split(delimiter).nth(3)?.parse().ok()
}

/// The port in a reply to `PASV` (RFC 959): six numbers with commas.
#[must_use]
pub(super) fn passive_port(text: &str) -> Option<u16> {
    let digits = text.find(|letter: char| letter.is_ascii_digit())?;
    let numbers = text
        .get(digits..)?
        .split(|letter: char| !letter.is_ascii_digit() && letter != ',')
        .next()?;
    let numbers = numbers
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<u8>, _>>()
        .ok()?;
    match numbers.as_slice() {
        [_, _, _, _, high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file.
    pub size: u64,
}

/// Entries of a listing by `MLSD` (RFC 3659, 7), without the directory itself and its parent.
///
/// # Errors
///
/// If a line is none.
pub(super) fn entries(listing: &[u8]) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(listing).map_err(|_| "the listing is not UTF-8")?;
    let mut entries = Vec::new();
    for line in text.split_terminator("\r\n") {
        let (facts, name) = line.split_once(' ').ok_or_else(|| format!("no entry: {line}"))?;
        let fact = |wanted: &str| {
            let pairs = facts.split(';').filter_map(|fact| fact.split_once('='));
            pairs
                .into_iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value)
        };
        let kind = fact("type").ok_or_else(|| format!("an entry without its type: {line}"))?;
        if kind.eq_ignore_ascii_case("cdir") || kind.eq_ignore_ascii_case("pdir") {
            continue;
        }
        entries.push(Entry {
            name: name.to_owned(),
            is_directory: kind.eq_ignore_ascii_case("dir"),
            size: fact("size").and_then(|size| size.parse().ok()).unwrap_or(0),
        });
    }
    Ok(entries)
}

/// Names and sizes of files in a listing by `LIST`, which no document describes: as most servers send it, like `ls -l`.
///
/// # Errors
///
/// If a line is none.
pub(super) fn files(listing: &[u8]) -> Result<Vec<(String, u64)>, String> {
    let text = std::str::from_utf8(listing).map_err(|_| "the listing is not UTF-8")?;
    let lines = text.lines().filter(|line| line.starts_with('-'));
    let file = |line: &str| {
        // Mode, links, user, group, size, and three of the time; the name is what is left.
        let mut rest = line;
        let mut size = None;
        for field in 0..8 {
            let (word, behind) = rest.split_once(' ')?;
            if field == 4 {
                size = word.parse().ok();
            }
            rest = behind.trim_start();
        }
        Some((rest.to_owned(), size?))
    };
    lines
        .map(|line| file(line).ok_or_else(|| format!("no entry: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: &[u8] = b"220-Hello\r\n 220 not yet\r\n220-nor here\r\n220 Now\r\n331 Password\r\n200\r\n";

    proptest! {
        #[test]
        fn replies_are_the_same_however_they_come(step in 1_usize..70) {
            let mut replies = Replies::default();
            let mut got = Vec::new();
            for piece in BYTES.chunks(step) {
                replies.feed(piece);
                while let Some(reply) = replies.next().unwrap() {
                    got.push((reply.code, reply.text));
                }
            }
            let expected = [(220, "Now".to_owned()), (331, "Password".to_owned()), (200, String::new())];
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text: String) {
            let mut replies = Replies::default();
            replies.feed(&bytes);
            while let Ok(Some(_)) = replies.next() {}
            let _ = (entries(&bytes), files(&bytes));
            let _ = (extended_port(&text), passive_port(&text));
        }
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(
            extended_port("Entering Extended Passive Mode (|||6446|)"),
            Some(6446)
        );
        assert_eq!(extended_port("no (6446)"), None);
        assert_eq!(passive_port("Entering Passive Mode (127,0,0,1,4,1)."), Some(1025));
        assert_eq!(passive_port("Entering Passive Mode 127,0,0,1,4,1"), Some(1025));
        assert_eq!(passive_port("Entering Passive Mode (127,0,0,1,4,256)"), None);
    }

    #[test]
    fn listings_are_read() {
        let listing =
            b"type=cdir; /a\r\ntype=file;size=5;modify=20200101000000; f 1\r\nType=dir;Perm=el; d\r\n";
        let entries = entries(listing).unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|of| (of.name.as_str(), of.is_directory, of.size))
            .collect();
        assert_eq!(told, [("f 1", false, 5), ("d", true, 0)]);
        assert!(super::entries(b"total 5\r\n").is_err());
    }

    #[test]
    fn other_listings_are_read() {
        let listing = b"total 3\r\ndrwxr-xr-x    2 0    0     4096 Jan 01 00:00 d\r\n\
            -rw-r--r--    1 1000  1000     17 Jan  1  2026 a b\r\n";
        assert_eq!(files(listing), Ok(vec![("a b".to_owned(), 17)]));
        assert!(files(b"-rw-r--r-- 1 a b x Jan 1 2026 c\r\n").is_err());
        assert!(files(b"-rw-r--r-- 1 a\r\n").is_err());
    }

    #[test]
    fn a_reply_without_an_end_is_refused() {
        let mut replies = Replies::default();
        replies.feed(&vec![b'a'; LINE_MAX_BYTES + 1]);
        assert!(replies.next().is_err());
    }
}
