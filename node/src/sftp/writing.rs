//! A file that is being written: what has come so far, and how it becomes a file.
//!
//! All that is written goes into one stream, in the order in which it comes, and from there to a blob as any upload
//! does. Which bytes of the file lie where in it is noted beside. When the client closes the file, its content is made
//! of those pieces and of what was there before; only where there are too many, or nobody has written some, is it
//! copied into one.

use std::ops::Range;
use std::rc::Rc;

use filegrid_tree::{Extent, FileContent};
use futures::channel::oneshot;

use super::feed::{Fed, Feed};
use super::pieces::{Origin, Piece, Pieces};
use super::queue::Queued;
use crate::error::Error;
use crate::ingest::{Arrived, Source, Stored, receive};
use crate::limits::{
    COLD_READ_BYTES, FTP_EXTENTS_MAX_COUNT, SFTP_HOLE_MAX_BYTES, SFTP_PIECES_MAX_COUNT,
    SFTP_STREAMS_MAX_COUNT,
};
use crate::metrics::Via;
use crate::read::{Ahead, copy};
use crate::ring;
use crate::store::{Content, InlineBlob, Opened, Store};

/// A file's content while it is written.
pub(super) struct Writing {
    store: Store,
    association: [u8; 16],
    via: Via,
    old: Option<Opened>,
    pieces: Pieces,
    streams: Vec<Stream>,
    running: Option<Running>,
    changed: bool,
    /// Whether something that was written is lost: nothing is made of the rest.
    failed: bool,
}

/// A stream that has ended.
struct Stream {
    stored: Stored,
    bytes: Bytes,
}

/// Where the bytes of a stream can be read.
enum Bytes {
    /// In memory: it goes into the log with the change.
    Inline(Vec<u8>),
    /// In its file.
    Large(Content),
}

/// The stream that is being written.
struct Running {
    feed: Rc<Feed>,
    arrived: oneshot::Receiver<Result<Arrived, Error>>,
    length: u64,
}

/// What a file is made of, to be published.
pub(super) struct Made {
    pub(super) content: FileContent,
    /// Small blobs of it that go into the log with the change.
    pub(super) riding: Vec<InlineBlob>,
}

impl Writing {
    /// Goes on from `old`, or from nothing.
    pub(super) fn new(store: Store, (association, via): ([u8; 16], Via), old: Option<Opened>) -> Self {
        let pieces = old
            .as_ref()
            .map_or_else(Pieces::default, |old| Pieces::old(old.row.size));
        Self {
            store,
            association,
            via,
            old,
            pieces,
            streams: Vec::new(),
            running: None,
            changed: false,
            failed: false,
        }
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.pieces.size()
    }

    /// Whether it is other than it was.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// See [`Pieces::is_beginning`].
    pub(super) fn is_beginning(&self) -> bool {
        self.pieces.is_beginning()
    }

    /// Takes the bytes in a range of a packet as those from `at` on.
    ///
    /// # Errors
    ///
    /// The disk has failed, or so many bytes in front of `at` would be zeros that it is a mistake.
    pub(super) async fn write(&mut self, at: u64, packet: Queued, data: Range<usize>) -> Result<(), Error> {
        let length = data.len() as u64;
        let end = at.checked_add(length).filter(|end| *end <= i64::MAX as u64);
        if length == 0 {
            return Ok(());
        }
        if end.is_none() || at.saturating_sub(self.size()) > SFTP_HOLE_MAX_BYTES {
            return Err(hole());
        }
        if self.pieces.count() >= SFTP_PIECES_MAX_COUNT {
            self.consolidate().await?;
        }
        let running = self.running.as_ref();
        if self.failed || running.is_some_and(|running| running.feed.is_over()) {
            self.finish().await?;
        }
        let number = self.streams.len();
        let running = self
            .running
            .get_or_insert_with(|| Running::start(self.store.clone(), self.association, self.via));
        running.feed.push(packet, data);
        self.pieces.put(at, length, Origin::New(number), running.length);
        running.length += length;
        self.changed = true;
        Ok(())
    }

    /// Waits until the disk has taken what was written.
    pub(super) async fn settle(&self) {
        if let Some(running) = &self.running {
            running.feed.settle().await;
        }
    }

    /// Makes the file `size` bytes long.
    ///
    /// # Errors
    ///
    /// As for [`Writing::write`].
    pub(super) fn resize(&mut self, size: u64) -> Result<(), Error> {
        if size.saturating_sub(self.size()) > SFTP_HOLE_MAX_BYTES {
            return Err(hole());
        }
        self.changed |= size != self.size();
        self.pieces.resize(size);
        Ok(())
    }

    /// Reads some bytes from `at` on; 0 at the end.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub(super) async fn read(&mut self, at: u64, out: &mut [u8]) -> Result<usize, Error> {
        self.finish().await?;
        if self.streams.len() >= SFTP_STREAMS_MAX_COUNT {
            self.consolidate().await?;
        }
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..)
            && let Some(piece) = self.pieces.piece(at + filled as u64, rest.len() as u64)
        {
            let read = self.read_piece(&mut Ahead::default(), &piece, rest).await?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// Reads the first bytes of a piece; all streams have ended.
    async fn read_piece(&self, ahead: &mut Ahead, piece: &Piece, out: &mut [u8]) -> Result<usize, Error> {
        let most = usize::try_from(piece.length).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..most).unwrap_or_default();
        let content = match piece.origin {
            Origin::Zero => {
                out.fill(0);
                return Ok(most);
            }
            Origin::Old => self.old.as_ref().map(|old| &old.content),
            Origin::New(number) => match self.streams.get(number).map(|stream| &stream.bytes) {
                Some(Bytes::Inline(bytes)) => {
                    let from = usize::try_from(piece.from).unwrap_or(usize::MAX);
                    return Ok(copy(bytes.get(from..).unwrap_or_default(), out));
                }
                Some(Bytes::Large(content)) => Some(content),
                None => None,
            },
        };
        let content = content.ok_or_else(|| Error::Internal("a piece of nothing".to_owned()))?;
        ahead.read(content, piece.from, out).await
    }

    /// Ends the stream that is being written: all of it is on the disk, or in memory where it is small.
    async fn finish(&mut self) -> Result<(), Error> {
        if self.failed {
            let text = "an earlier write to this file has failed: begin anew";
            return Err(Error::Conflict(text.to_owned()));
        }
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.feed.finish();
        // What was fed and is not there any more is part of the file.
        self.failed = true;
        let Arrived { stored, broken } = running.arrived().await?;
        self.keep_stream(stored);
        broken.map_or(Ok(()), Err)?;
        self.failed = false;
        Ok(())
    }

    fn keep_stream(&mut self, stored: Stored) {
        let inline = stored.riding.first().map(|blob| blob.bytes.clone());
        let bytes = inline.map_or_else(
            || Bytes::Large(self.store.unpublished(&self.association, &stored.content)),
            Bytes::Inline,
        );
        self.streams.push(Stream { stored, bytes });
    }

    /// Breaks off the stream that is being written, and takes what has come for all there is of it.
    pub(super) async fn break_off(&mut self) -> Result<(), Error> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.feed.break_off();
        // The feed breaks behind what was fed, so all of that is there.
        let Arrived { stored, .. } = running.arrived().await?;
        self.keep_stream(stored);
        Ok(())
    }

    /// What the file is made of now.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub(super) async fn make(&mut self) -> Result<Made, Error> {
        self.finish().await?;
        let few = self.pieces.count() <= FTP_EXTENTS_MAX_COUNT;
        let extents = if few { self.extents().await? } else { None };
        let extents = match extents {
            Some(extents) if extents.len() <= FTP_EXTENTS_MAX_COUNT => extents,
            _ => {
                self.consolidate().await?;
                self.extents().await?.unwrap_or_default()
            }
        };
        let content = self.content(extents);
        let used = |blob: &InlineBlob| content.extents.iter().any(|extent| extent.blob == blob.id);
        let all = self.streams.iter().flat_map(|stream| &stream.stored.riding);
        let riding = all.filter(|blob| used(blob)).map(|blob| InlineBlob {
            id: blob.id,
            bytes: blob.bytes.clone(),
        });
        let riding = riding.collect();
        Ok(Made { content, riding })
    }

    fn content(&self, extents: Vec<Extent>) -> FileContent {
        // What has come in one stream is known with its sums.
        if let [only] = self.streams.as_slice()
            && only.stored.content.extents == extents
        {
            return only.stored.content.clone();
        }
        let mut sum = crc32fast::Hasher::new();
        for extent in &extents {
            sum.combine(&crc32fast::Hasher::new_with_initial_len(
                extent.crc32,
                extent.length,
            ));
        }
        FileContent {
            size: extents.iter().map(|extent| extent.length).sum(),
            crc32: sum.finalize(),
            sha256: None,
            extents,
        }
    }

    /// The extents of all pieces; `None` if nobody has written some of the bytes.
    async fn extents(&self) -> Result<Option<Vec<Extent>>, Error> {
        let mut extents = Vec::new();
        for piece in self.pieces.iter() {
            let of = match piece.origin {
                Origin::Zero => return Ok(None),
                Origin::Old => self.old.as_ref().map(|old| old.row.extents.as_slice()),
                Origin::New(number) => {
                    let stream = self.streams.get(number);
                    stream.map(|stream| stream.stored.content.extents.as_slice())
                }
            };
            self.cut(piece, of.unwrap_or_default(), &mut extents).await?;
        }
        Ok(Some(extents))
    }

    /// Appends the extents of one piece. Where one is cut, its sum is made anew.
    async fn cut(&self, piece: &Piece, of: &[Extent], extents: &mut Vec<Extent>) -> Result<(), Error> {
        let (mut start, end) = (0, piece.from + piece.length);
        for extent in of {
            let (from, to) = (piece.from.max(start), end.min(start + extent.length));
            if from < to {
                let whole = to - from == extent.length;
                let part = Piece {
                    at: piece.at + (from - piece.from),
                    length: to - from,
                    origin: piece.origin,
                    from,
                };
                extents.push(Extent {
                    blob: extent.blob,
                    offset: extent.offset + (from - start),
                    length: to - from,
                    crc32: if whole {
                        extent.crc32
                    } else {
                        self.sum(part).await?
                    },
                });
            }
            start += extent.length;
        }
        Ok(())
    }

    async fn sum(&self, mut piece: Piece) -> Result<u32, Error> {
        let (mut sum, mut ahead) = (crc32fast::Hasher::new(), Ahead::default());
        let mut buffer = vec![0; COLD_READ_BYTES];
        while piece.length > 0 {
            let read = self.read_piece(&mut ahead, &piece, &mut buffer).await?;
            if read == 0 {
                return Err(Error::Damaged("a blob is shorter than its extent".to_owned()));
            }
            sum.update(buffer.get(..read).unwrap_or_default());
            piece.from += read as u64;
            piece.length -= read as u64;
        }
        Ok(sum.finalize())
    }

    /// Copies all into one stream.
    async fn consolidate(&mut self) -> Result<(), Error> {
        self.finish().await?;
        let mut all = All {
            writing: self,
            at: 0,
            ahead: Ahead::default(),
        };
        let Arrived { stored, broken } = receive(&mut all, &self.store, &self.association).await?;
        if let Some(error) = broken {
            stored.discard(&self.store, &self.association).await;
            return Err(error);
        }
        self.discard().await;
        self.pieces = Pieces::new(stored.content.size);
        self.keep_stream(stored);
        Ok(())
    }

    /// Small blobs of a content that was kept are in the log: they need not go there again.
    pub(super) fn are_in_log(&mut self, content: &FileContent) {
        for stream in &mut self.streams {
            let used = |blob: &InlineBlob| content.extents.iter().any(|extent| extent.blob == blob.id);
            stream.stored.riding.retain(|blob| !used(blob));
        }
    }

    /// Gives back what was stored and is not referred to.
    pub(super) async fn discard_unused(&mut self, content: &FileContent) {
        for stream in std::mem::take(&mut self.streams) {
            let mut blobs = stream.stored.content.extents.iter();
            if !blobs.any(|extent| content.extents.iter().any(|used| used.blob == extent.blob)) {
                stream.stored.discard(&self.store, &self.association).await;
            }
        }
    }

    /// Gives back what was stored.
    pub(super) async fn discard(&mut self) {
        for stream in std::mem::take(&mut self.streams) {
            stream.stored.discard(&self.store, &self.association).await;
        }
    }
}

fn hole() -> Error {
    Error::TooLarge(format!(
        "nothing is written so far behind the end of a file: at most {} MiB",
        SFTP_HOLE_MAX_BYTES >> 20
    ))
}

impl Running {
    fn start(store: Store, association: [u8; 16], via: Via) -> Self {
        let feed = Rc::new(Feed::default());
        let (sender, arrived) = oneshot::channel();
        let mut fed = Fed::new(Rc::clone(&feed), via);
        ring::spawn(async move {
            let arrived = receive(&mut fed, &store, &association).await;
            // Whoever does not wait for it any more has no use for it.
            if let Err(Ok(Arrived { stored, .. })) = sender.send(arrived) {
                stored.discard(&store, &association).await;
            }
        });
        Self {
            feed,
            arrived,
            length: 0,
        }
    }

    async fn arrived(&mut self) -> Result<Arrived, Error> {
        (&mut self.arrived)
            .await
            .map_err(|_| Error::Internal("a stream has ended without a word".to_owned()))?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A session that is dropped publishes nothing.
        self.feed.break_off();
    }
}

/// All of a file, as it comes out of its pieces.
struct All<'a> {
    writing: &'a Writing,
    at: u64,
    ahead: Ahead,
}

impl Source for All<'_> {
    async fn read_into(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let Some(piece) = self.writing.pieces.piece(self.at, out.len() as u64) else {
            return Ok(0);
        };
        let read = self.writing.read_piece(&mut self.ahead, &piece, out).await?;
        if read == 0 {
            return Err(Error::Damaged("a file is shorter than its row says".to_owned()));
        }
        self.at += read as u64;
        Ok(read)
    }
}
