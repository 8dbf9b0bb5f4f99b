//! Runs of rows, for comparing the tree of a node with the cluster's.
//!
//! All layouts are little endian.

use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use filegrid_tree::{DirId, Id, TreeError, View, keys};

use super::Event;
use crate::limits::{COMPARE_PAGE_MAX_BYTES, COMPARE_SPANS_MAX_COUNT};
use crate::wire::{get_text, put_text};

/// Rows of a directory by their names, from `from` up to and without `to`.
///
/// # Layout
///
/// Directory (16), 1 if there is an end (1), length of `from` (2), `from`, length of `to` (2), `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The directory.
    pub directory: DirId,
    /// First name, or what would stand right before it.
    pub from: String,
    /// The end; `None` for all that follow.
    pub to: Option<String>,
}

/// What equal runs of rows have in common.
///
/// # Layout
///
/// Rows (8), CRC32 (4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// CRC32 of each name and its row, with their lengths. Two different runs have the same one in 4 thousand million
    /// times: they are told apart in another round, when other rows are in the run.
    pub crc32: u32,
}

/// Gathers a [`Digest`].
#[derive(Default)]
pub struct Digester {
    rows: u64,
    sum: crc32fast::Hasher,
}

/// Asks for the digests of runs, as they are when exactly the changes up to one are applied.
///
/// # Layout
///
/// Node (8), log (1), sequence (8), time to wait in milliseconds (8), then each [`Span`]. Answered by the digests in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareRequest {
    /// The last change.
    pub at: Event,
    /// How long it may wait for that, in milliseconds.
    pub patience_ms: u64,
    /// The runs, at most [`COMPARE_SPANS_MAX_COUNT`].
    pub spans: Vec<Span>,
}

/// Rows of a run.
///
/// # Layout
///
/// 1 if there is more (1); then each: length of the name (2), name, length of the row (4), row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsPage {
    /// Whether there may be more behind the last one.
    pub more: bool,
    /// Names and rows as they are kept, in order.
    pub rows: Vec<(String, Vec<u8>)>,
}

/// The first string behind a name.
#[must_use]
pub fn behind(name: &str) -> String {
    format!("{name}\0")
}

impl Span {
    /// One row.
    #[must_use]
    pub fn one(directory: DirId, name: &str) -> Self {
        Self {
            directory,
            from: name.to_owned(),
            to: Some(behind(name)),
        }
    }

    /// Hands names and rows, as they are kept, to `visit` until it breaks.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub fn each(
        &self,
        view: &dyn View,
        visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), TreeError> {
        let from = keys::row(self.directory, &self.from);
        let to = match &self.to {
            Some(to) => keys::row(self.directory, to),
            None => keys::rows_after(self.directory, None).1,
        };
        let mut unreadable = false;
        view.scan(&from, &to, &mut |key, row| match keys::split(key) {
            Some((_, name)) => visit(name, row),
            None => {
                unreadable = true;
                ControlFlow::Break(())
            }
        })?;
        if unreadable {
            return Err(TreeError::Damaged("a key cannot be read".to_owned()));
        }
        Ok(())
    }

    /// The digest of its rows.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub fn digest(&self, view: &dyn View) -> Result<Digest, TreeError> {
        let mut digester = Digester::default();
        self.each(view, &mut |name, row| {
            digester.add(name, row);
            ControlFlow::Continue(())
        })?;
        Ok(digester.done())
    }

    /// Its first rows, up to a page.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub fn page(&self, view: &dyn View) -> Result<RowsPage, TreeError> {
        let mut page = RowsPage::default();
        let mut bytes = 0;
        self.each(view, &mut |name, row| {
            page.more = bytes >= COMPARE_PAGE_MAX_BYTES;
            if page.more {
                return ControlFlow::Break(());
            }
            bytes += name.len() + row.len();
            page.rows.push((name.to_owned(), row.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_slice(&self.directory.0);
        to.put_u8(u8::from(self.to.is_some()));
        put_text(to, &self.from);
        put_text(to, self.to.as_deref().unwrap_or(""));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let (directory, rest) = from.split_first_chunk()?;
        *from = rest;
        let has_end = from.try_get_u8().ok()? == 1;
        let (first, end) = (get_text(from)?, get_text(from)?);
        Some(Self {
            directory: Id(*directory),
            from: first,
            to: has_end.then_some(end),
        })
    }
}

impl Digester {
    /// Adds a row.
    pub fn add(&mut self, name: &str, row: &[u8]) {
        self.rows += 1;
        for part in [name.as_bytes(), row] {
            self.sum.update(&(part.len() as u64).to_le_bytes());
            self.sum.update(part);
        }
    }

    /// The digest of what was added.
    #[must_use]
    pub fn done(self) -> Digest {
        Digest {
            rows: self.rows,
            crc32: self.sum.finalize(),
        }
    }
}

impl CompareRequest {
    /// The request's bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_u64_le(self.at.node);
        to.put_u8(self.at.log);
        to.put_u64_le(self.at.sequence);
        to.put_u64_le(self.patience_ms);
        self.spans.iter().for_each(|span| span.write(&mut to));
        to.freeze()
    }

    /// Reads a request; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: &[u8]) -> Option<Self> {
        let mut request = Self {
            at: Event {
                node: from.try_get_u64_le().ok()?,
                log: from.try_get_u8().ok()?,
                sequence: from.try_get_u64_le().ok()?,
            },
            patience_ms: from.try_get_u64_le().ok()?,
            spans: Vec::new(),
        };
        while !from.is_empty() {
            if request.spans.len() >= COMPARE_SPANS_MAX_COUNT {
                return None;
            }
            request.spans.push(Span::read(&mut from)?);
        }
        Some(request)
    }
}

/// The bytes of digests.
#[must_use]
pub fn write_digests(digests: &[Digest]) -> Bytes {
    let mut to = BytesMut::with_capacity(12 * digests.len());
    for digest in digests {
        to.put_u64_le(digest.rows);
        to.put_u32_le(digest.crc32);
    }
    to.freeze()
}

/// Reads digests; `None` if the bytes are none.
#[must_use]
pub fn read_digests(mut from: &[u8]) -> Option<Vec<Digest>> {
    let mut digests = Vec::with_capacity(from.len() / 12);
    while !from.is_empty() {
        digests.push(Digest {
            rows: from.try_get_u64_le().ok()?,
            crc32: from.try_get_u32_le().ok()?,
        });
    }
    Some(digests)
}

impl RowsPage {
    /// The page's bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_u8(u8::from(self.more));
        for (name, row) in &self.rows {
            put_text(&mut to, name);
            to.put_u32_le(u32::try_from(row.len()).unwrap_or(u32::MAX));
            to.put_slice(row);
        }
        to.freeze()
    }

    /// Reads a page; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: &[u8]) -> Option<Self> {
        let mut page = Self {
            more: from.try_get_u8().ok()? == 1,
            rows: Vec::new(),
        };
        while !from.is_empty() {
            let name = get_text(&mut from)?;
            let length = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
            let (row, rest) = from.split_at_checked(length)?;
            from = rest;
            page.rows.push((name, row.to_vec()));
        }
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span() -> impl Strategy<Value = Span> {
        (any::<[u8; 16]>(), any::<String>(), any::<Option<String>>()).prop_map(|(directory, from, to)| Span {
            directory: Id(directory),
            from,
            to,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            spans in prop::collection::vec(span(), 0..5),
            rows in prop::collection::vec((any::<String>(), any::<Vec<u8>>()), 0..5),
            more: bool,
            sums in prop::collection::vec((any::<u64>(), any::<u32>()), 0..5),
        ) {
            let at = Event { node: 3, log: 2, sequence: 9 };
            let request = CompareRequest { at, patience_ms: 7, spans };
            prop_assert_eq!(CompareRequest::read(&request.write()), Some(request));
            let page = RowsPage { more, rows };
            prop_assert_eq!(RowsPage::read(&page.write()), Some(page));
            let digests: Vec<_> = sums.into_iter().map(|(rows, crc32)| Digest { rows, crc32 }).collect();
            prop_assert_eq!(read_digests(&write_digests(&digests)), Some(digests));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            let _ = CompareRequest::read(&bytes);
            let _ = RowsPage::read(&bytes);
            let _ = read_digests(&bytes);
        }
    }

    #[test]
    fn a_request_for_too_many_runs_is_refused() {
        let at = Event {
            node: 3,
            log: 2,
            sequence: 9,
        };
        let request = |count| CompareRequest {
            at,
            patience_ms: 0,
            spans: vec![Span::one(Id([1; 16]), "x"); count],
        };
        assert!(CompareRequest::read(&request(COMPARE_SPANS_MAX_COUNT).write()).is_some());
        assert!(CompareRequest::read(&request(COMPARE_SPANS_MAX_COUNT + 1).write()).is_none());
    }
}
