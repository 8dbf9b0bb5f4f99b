//! Going on with a file: what is there stays where it is, and what comes is put behind it.

use std::os::fd::BorrowedFd;

use filegrid_tree::{Extent, FileContent};

use super::data::Data;
use crate::error::Error;
use crate::ingest::Source;
use crate::metrics::Via;
use crate::read::Ahead;
use crate::send::{Sink, send};
use crate::store::{Content, Opened};

/// The first bytes of a file.
pub(super) struct Prefix {
    extents: Vec<Extent>,
    size: u64,
    crc32: u32,
}

impl Prefix {
    /// All of a file.
    pub(super) fn whole(opened: &Opened) -> Self {
        Self {
            extents: opened.row.extents.clone(),
            size: opened.row.size,
            crc32: opened.row.crc32,
        }
    }

    /// The first `size` bytes of a file that has at least as many. Where an extent is cut, its sum is made anew.
    pub(super) async fn of(opened: &Opened, size: u64) -> Result<Self, Error> {
        if size == opened.row.size {
            return Ok(Self::whole(opened));
        }
        let (mut extents, mut sum, mut start) = (Vec::new(), crc32fast::Hasher::new(), 0);
        for extent in &opened.row.extents {
            let length = extent.length.min(size - start);
            if length == 0 {
                break;
            }
            let crc32 = if length == extent.length {
                extent.crc32
            } else {
                let mut summing = Summing(crc32fast::Hasher::new());
                send(&mut summing, &opened.content, start..start + length).await?;
                summing.0.finalize()
            };
            extents.push(Extent {
                length,
                crc32,
                ..*extent
            });
            sum.combine(&crc32fast::Hasher::new_with_initial_len(crc32, length));
            start += length;
        }
        Ok(Self {
            extents,
            size,
            crc32: sum.finalize(),
        })
    }

    /// With `added` behind it.
    pub(super) fn and_then(self, added: &FileContent) -> FileContent {
        if self.size == 0 {
            return added.clone();
        }
        let mut sum = crc32fast::Hasher::new_with_initial_len(self.crc32, self.size);
        sum.combine(&crc32fast::Hasher::new_with_initial_len(added.crc32, added.size));
        let mut extents = self.extents;
        extents.extend_from_slice(&added.extents);
        FileContent {
            extents,
            size: self.size + added.size,
            crc32: sum.finalize(),
            sha256: None,
        }
    }
}

/// Sums what it is sent.
struct Summing(crc32fast::Hasher);

impl Sink for Summing {
    fn takes_files(&self) -> bool {
        false
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.update(bytes);
        Ok(())
    }

    async fn send_file(&mut self, _: BorrowedFd<'_>, _: u64, _: u64) -> Result<(), Error> {
        Err(Error::Internal("bytes are summed from memory".to_owned()))
    }
}

/// The first bytes of a file, and then what comes from the client, as one source.
pub(super) struct Chained<'a> {
    content: &'a Content,
    ahead: Ahead,
    at: u64,
    size: u64,
    data: &'a mut Data,
}

impl<'a> Chained<'a> {
    pub(super) fn new(content: &'a Content, size: u64, data: &'a mut Data) -> Self {
        Self {
            content,
            ahead: Ahead::default(),
            at: 0,
            size,
            data,
        }
    }
}

impl Source for Chained<'_> {
    fn via(&self) -> Option<Via> {
        // What is read of the file again does not come from the client.
        (self.at == self.size).then(|| Source::via(self.data)).flatten()
    }

    async fn read_into(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        if self.at == self.size {
            return self.data.read_into(out).await;
        }
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let most = out.len().min(left);
        let out = out.get_mut(..most).unwrap_or_default();
        let read = self.ahead.read(self.content, self.at, out).await?;
        if read == 0 {
            return Err(Error::Damaged("a file is shorter than its row says".to_owned()));
        }
        self.at += read as u64;
        Ok(read)
    }
}
