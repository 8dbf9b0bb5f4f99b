//! A file that comes as nothing but its bytes, to a blob: FTP's way.

use std::future::Future;

use filegrid_tree::{BlobId, Extent, FileContent};
use futures::future::join;

use super::content_of;
use crate::error::Error;
use crate::limits::{BLOCK_BYTES, INLINE_MAX_BYTES, SUM_AT_ONCE_MAX_BYTES, TRANSFER_BUFFER_MAX_BYTES};
use crate::metrics::{self, Via};
use crate::ring::AlignedBuf;
use crate::store::{BlobWriter, InlineBlob, PinSet, Store, sha256_of};

/// First buffer: a small file fits.
const SMALL_BYTES: usize = 16 << 10;
/// Buffer of a transfer that has not shown that it is fast: what stays inline, and a block for what follows.
const MIDDLE_BYTES: usize = INLINE_MAX_BYTES + BLOCK_BYTES;

/// Where the bytes come from.
pub trait Source {
    /// Where it comes from, to be counted; `None`: not from a client.
    fn via(&self) -> Option<Via> {
        None
    }

    /// Reads some bytes; 0 at the end.
    fn read_into(&mut self, out: &mut [u8]) -> impl Future<Output = Result<usize, Error>>;
}

/// A file that is stored but not published. Nothing of it is visible.
pub struct Stored {
    /// Its content.
    pub content: FileContent,
    /// A small blob that goes into the log with the change.
    pub riding: Vec<InlineBlob>,
    large: Option<(BlobId, PinSet)>,
}

impl Stored {
    /// Gives back what was stored.
    pub async fn discard(self, store: &Store, association: &[u8; 16]) {
        if let Some((blob, _pin)) = self.large {
            store.remove_blob(association, blob).await;
        }
    }
}

/// What has arrived of a file.
pub struct Arrived {
    /// The bytes.
    pub stored: Stored,
    /// Why no more came; `None`: that was all.
    pub broken: Option<Error>,
}

/// Receives a file up to its end, or up to where its source fails. While the disk takes one buffer the next is filled,
/// and no more than that: a slow disk slows the client and not the memory.
///
/// # Errors
///
/// The disk fails. What was stored is given back.
pub async fn receive(
    source: &mut impl Source,
    store: &Store,
    association: &[u8; 16],
) -> Result<Arrived, Error> {
    let mut buffer = AlignedBuf::with_capacity(SMALL_BYTES);
    let mut filled = fill(source, &mut buffer).await;
    if matches!(filled, Filled::Full) {
        let mut larger = AlignedBuf::with_capacity(MIDDLE_BYTES);
        larger.append(&buffer);
        buffer = larger;
        filled = fill(source, &mut buffer).await;
    }
    if !matches!(filled, Filled::Full) && buffer.len() <= INLINE_MAX_BYTES {
        return Ok(Arrived {
            stored: small(&buffer, store)?,
            broken: filled.broken(),
        });
    }
    let mut writer = store.blob_writer(association).await?;
    let broken = large(source, &mut writer, buffer, filled).await?;
    let (extent, pin) = writer.finish().await?;
    let stored = Stored {
        large: Some((extent.blob, pin)),
        content: content_of(extent, None),
        riding: Vec::new(),
    };
    Ok(Arrived { stored, broken })
}

fn small(bytes: &[u8], store: &Store) -> Result<Stored, Error> {
    let sha256 = (bytes.len() <= SUM_AT_ONCE_MAX_BYTES).then(|| sha256_of(bytes));
    if bytes.is_empty() {
        let content = FileContent {
            extents: Vec::new(),
            size: 0,
            crc32: 0,
            sha256,
        };
        return Ok(Stored {
            content,
            riding: Vec::new(),
            large: None,
        });
    }
    let id = store.blob_id()?;
    let extent = Extent {
        blob: id,
        offset: 0,
        length: bytes.len() as u64,
        crc32: crc32fast::hash(bytes),
    };
    Ok(Stored {
        content: content_of(extent, sha256),
        riding: vec![InlineBlob {
            id,
            bytes: bytes.to_vec(),
        }],
        large: None,
    })
}

/// Writes `buffer`, which is full or the last, and all that follows. Why no more came, if that was not the end.
async fn large(
    source: &mut impl Source,
    writer: &mut BlobWriter,
    mut buffer: AlignedBuf,
    mut filled: Filled,
) -> Result<Option<Error>, Error> {
    let mut next = AlignedBuf::with_capacity(MIDDLE_BYTES);
    loop {
        if !matches!(filled, Filled::Full) {
            if !buffer.is_empty() {
                writer.write(buffer).await?;
            }
            return Ok(filled.broken());
        }
        let (written, more) = join(writer.write(buffer), fill(source, &mut next)).await;
        let spare = written?;
        filled = more;
        buffer = std::mem::replace(&mut next, spare);
        next.clear();
        if writer.length() >= TRANSFER_BUFFER_MAX_BYTES as u64 && next.capacity() < TRANSFER_BUFFER_MAX_BYTES
        {
            // The peer has shown that it is fast enough.
            next = AlignedBuf::with_capacity(TRANSFER_BUFFER_MAX_BYTES);
        }
    }
}

/// Why a buffer is filled no further.
enum Filled {
    /// It is full.
    Full,
    /// The source has ended.
    Ended,
    /// The source has failed.
    Broken(Error),
}

impl Filled {
    fn broken(self) -> Option<Error> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Full | Self::Ended => None,
        }
    }
}

async fn fill(source: &mut impl Source, buffer: &mut AlignedBuf) -> Filled {
    while buffer.len() < buffer.capacity() {
        match source.read_into(buffer.spare_mut()).await {
            Ok(0) => return Filled::Ended,
            Ok(n) => {
                buffer.advance(n);
                if let Some(via) = source.via() {
                    metrics::mine().via(via).received.add(n as u64);
                }
            }
            Err(error) => return Filled::Broken(error),
        }
    }
    Filled::Full
}
