//! From the parts of an upload to blobs.
//!
//! Bytes are received into one window, looked at there, and written from there: a part that outgrows the log goes
//! to a file of its own straight from the window, which is filled so that whole blocks of payload lie
//! aligned. While the disk writes, nothing is received, so a slow disk slows the client and not the memory.

mod part;
mod stream;
mod window;

use filegrid_tree::{BlobId, Extent, FileContent};

use self::part::OpenPart;
pub use self::stream::{Arrived, Source, Stored, receive};
use self::window::Window;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits;
use crate::metrics;
use crate::multipart::{MultipartError, PartHead, Splitter, Step};
use crate::store::{InlineBlob, PinSet, Staged, Store, sha256_of};

/// A file of an upload, stored but not published.
#[derive(Debug)]
pub struct Received {
    /// Field of the form.
    pub field: String,
    /// Name of the file, never empty.
    pub filename: String,
    /// Its content.
    pub content: FileContent,
}

/// What an upload brought. Nothing of it is visible.
#[derive(Default)]
pub struct Upload {
    /// Files, in order.
    pub files: Vec<Received>,
    /// The field `meta`.
    pub meta: Option<Vec<u8>>,
    /// Small blobs that go into the log with the change.
    pub riding: Vec<InlineBlob>,
    /// Small blobs that are in the log already.
    pub staged: Vec<Staged>,
    large: Vec<(BlobId, PinSet)>,
    riding_bytes: usize,
}

impl Upload {
    /// Receives the body of an upload.
    ///
    /// # Errors
    ///
    /// Malformed bodies, limits, no space. What was stored is given back.
    pub async fn receive(
        exchange: &mut Exchange,
        store: &Store,
        association: &[u8; 16],
        boundary: &str,
    ) -> Result<Self, Error> {
        let mut upload = Self::default();
        match upload.read(exchange, store, association, boundary).await {
            Ok(()) => Ok(upload),
            Err(error) => {
                upload.discard(store, association).await;
                Err(error)
            }
        }
    }

    /// Gives back what was stored.
    pub async fn discard(self, store: &Store, association: &[u8; 16]) {
        for (blob, _pin) in self.large {
            store.remove_blob(association, blob).await;
        }
    }

    async fn read(
        &mut self,
        exchange: &mut Exchange,
        store: &Store,
        association: &[u8; 16],
        boundary: &str,
    ) -> Result<(), Error> {
        let mut splitter = Splitter::new(boundary);
        let mut window = Window::new(exchange.body_remaining());
        let mut open: Option<OpenPart> = None;
        loop {
            if window.rest().is_empty() && !window.receive(exchange, open.as_mut()).await? {
                return splitter.finish().map_err(malformed);
            }
            match splitter.step(window.rest()).map_err(malformed)? {
                Step::NeedMore => {
                    if !window.receive(exchange, open.as_mut()).await? {
                        return splitter.finish().map_err(malformed);
                    }
                }
                Step::Skip { consumed } | Step::End { consumed } => window.skip(consumed),
                Step::PartStart { consumed, head } => {
                    window.skip(consumed);
                    open = Some(self.begin(head)?);
                }
                Step::Data { consumed } => {
                    if let Some(part) = open.as_mut() {
                        if part.is_file() {
                            let received = &metrics::mine().via(exchange.via()).received;
                            received.add(consumed as u64);
                        }
                        part.payload(&mut window, consumed, store, association).await?;
                    }
                }
                Step::PartEnd { consumed } => {
                    if let Some(part) = open.take() {
                        self.end(part, &mut window, store, association).await?;
                    }
                    window.skip(consumed);
                }
            }
        }
    }

    fn begin(&self, head: PartHead) -> Result<OpenPart, Error> {
        if self.files.len() >= limits::PARTS_MAX_COUNT {
            return Err(Error::TooLarge(format!(
                "more than {} files in one upload",
                limits::PARTS_MAX_COUNT
            )));
        }
        if head.field.len() > limits::FIELD_NAME_MAX_BYTES {
            return Err(Error::BadRequest(format!(
                "the name of a field is longer than {} bytes",
                limits::FIELD_NAME_MAX_BYTES
            )));
        }
        if head
            .filename
            .as_ref()
            .is_some_and(|name| name.len() > limits::NAME_MAX_BYTES)
        {
            return Err(Error::BadRequest(format!(
                "the file in field {} has a name longer than {} bytes",
                head.field,
                limits::NAME_MAX_BYTES
            )));
        }
        match head.filename {
            Some(_) => Ok(OpenPart::file(head)),
            None if head.field == "meta" && self.meta.is_none() => Ok(OpenPart::meta(head)),
            None if head.field == "meta" => {
                Err(Error::BadRequest("the field meta is given twice".to_owned()))
            }
            None => Err(Error::BadRequest(format!(
                "the field {} is neither a file nor meta: send it with a file name",
                head.field
            ))),
        }
    }

    async fn end(
        &mut self,
        part: OpenPart,
        window: &mut Window,
        store: &Store,
        association: &[u8; 16],
    ) -> Result<(), Error> {
        let (head, stored) = part.finish(window).await?;
        let content = match stored {
            part::Stored::Meta(meta) => {
                self.meta = Some(meta);
                return Ok(());
            }
            part::Stored::Small(bytes) => {
                // A form with a file input that nobody filled sends an empty part without a name.
                if bytes.is_empty() && head.filename.as_deref() == Some("") {
                    return Ok(());
                }
                self.small(bytes, store, association).await?
            }
            part::Stored::Large(extent, pin) => {
                self.large.push((extent.blob, pin));
                content_of(extent, None)
            }
        };
        let filename = head
            .filename
            .filter(|name| !name.is_empty() && name != "." && name != "..");
        let filename = filename
            .ok_or_else(|| Error::BadRequest(format!("the file in field {} has no name", head.field)))?;
        self.files.push(Received {
            field: head.field,
            filename,
            content,
        });
        Ok(())
    }

    async fn small(
        &mut self,
        bytes: Vec<u8>,
        store: &Store,
        association: &[u8; 16],
    ) -> Result<FileContent, Error> {
        let sha256 = (bytes.len() <= limits::SUM_AT_ONCE_MAX_BYTES).then(|| sha256_of(&bytes));
        if bytes.is_empty() {
            return Ok(FileContent {
                extents: Vec::new(),
                size: 0,
                crc32: 0,
                sha256,
            });
        }
        let id = store.blob_id()?;
        let extent = Extent {
            blob: id,
            offset: 0,
            length: bytes.len() as u64,
            crc32: crc32fast::hash(&bytes),
        };
        self.riding_bytes += bytes.len();
        self.riding.push(InlineBlob { id, bytes });
        if self.riding_bytes > limits::RIDING_MAX_BYTES {
            for blob in std::mem::take(&mut self.riding) {
                self.staged.push(store.stage(association, blob).await?);
            }
            self.riding_bytes = 0;
        }
        Ok(content_of(extent, sha256))
    }
}

fn content_of(extent: Extent, sha256: Option<[u8; 32]>) -> FileContent {
    FileContent {
        size: extent.length,
        crc32: extent.crc32,
        sha256,
        extents: vec![extent],
    }
}

fn malformed(error: MultipartError) -> Error {
    match error {
        MultipartError::HeadTooLong => Error::TooLarge(error.to_string()),
        _ => Error::BadRequest(error.to_string()),
    }
}
