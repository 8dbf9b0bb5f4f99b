//! Segment files: made ahead, written ahead, used again.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_journal::codec::records;

use super::{BatchHeader, Durability, Log, LogError, LogOptions, Place, RecordKind};
use crate::disk::{Access, Disk, DiskFile, OpenHow};
use crate::limits::{BLOCK_BYTES, READY_SPARE_SEGMENTS};
use crate::ring::AlignedBuf;

/// Zeros written at a time while a segment is made.
const ZEROS_BYTES: usize = 1 << 20;

/// A segment file that is open.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) bytes: u32,
    pub(super) file: Rc<dyn DiskFile>,
}

/// A segment that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub segment: u32,
    /// Generation of its use.
    pub generation: u64,
    /// Its length.
    pub bytes: u32,
}

/// The name of a segment's file.
#[must_use]
pub fn segment_name(segment: u32) -> String {
    format!("{segment:016}.seg")
}

pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 16).then(|| digits.parse().ok()).flatten()
}

pub(super) fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> LogError {
    let text = format!("cannot {what} {}", path.display());
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => LogError::Full,
        _ => LogError::Disk(format!("{text}: {error}")),
    }
}

/// Opens a segment for writing batches.
pub(super) async fn open(
    disk: &Rc<dyn Disk>,
    directory: &Path,
    number: u32,
    options: &LogOptions,
) -> Result<Segment, LogError> {
    let path = directory.join(segment_name(number));
    let dsync = options.durability == Durability::Commit;
    let how = OpenHow {
        access: Access::ReadWrite,
        create_new: false,
        direct: true,
        dsync,
    };
    let file = disk.open(&path, how).await.map_err(failed("open", &path))?;
    let bytes = file.size().map_err(failed("ask for the length of", &path))?;
    Ok(Segment {
        number,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        file,
    })
}

/// Makes a segment: every block of it is written and durable before it gets its name.
pub(super) async fn make(
    disk: &Rc<dyn Disk>,
    directory: &Path,
    number: u32,
    options: &LogOptions,
) -> Result<Segment, LogError> {
    let path = directory.join(segment_name(number));
    let fresh = fresh_name(directory, number);
    // What a crash has left of an earlier attempt.
    let _ = disk.remove(&fresh).await;
    let how = OpenHow {
        access: Access::ReadWrite,
        create_new: true,
        direct: true,
        dsync: false,
    };
    let file = disk.open(&fresh, how).await.map_err(failed("create", &fresh))?;
    if let Err(error) = fill(&file, options.segment_bytes).await {
        // Half a segment would keep the space that others need.
        let _ = disk.remove(&fresh).await;
        return Err(failed("fill", &fresh)(error));
    }
    disk.rename(&fresh, &path)
        .await
        .map_err(failed("rename", &fresh))?;
    disk.sync_dir(directory)
        .await
        .map_err(failed("sync", directory))?;
    open(disk, directory, number, options).await
}

fn fresh_name(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:016}.new"))
}

async fn fill(file: &Rc<dyn DiskFile>, bytes: u32) -> std::io::Result<()> {
    file.allocate(0, u64::from(bytes)).await?;
    let (mut at, bytes) = (0, bytes as usize);
    let mut zeros = AlignedBuf::with_capacity(ZEROS_BYTES);
    while at < bytes {
        zeros.clear();
        zeros.resize_zeroed(ZEROS_BYTES.min(bytes - at));
        let length = zeros.len();
        let (written, back) = file.write_at(zeros, at as u64).await;
        written?;
        zeros = back;
        at += length;
    }
    file.sync_data().await
}

impl Log {
    /// Keeps segments ready, for ever: makes them when there are few, removes them when there are many. A full disk is
    /// tried again at each [`Log::retry`].
    pub async fn maintain(&self) {
        let mut failing = false;
        self.making.set(true);
        loop {
            self.lacking
                .until(|| (self.lacks() || self.abounds()).then_some(()))
                .await;
            let done = if self.abounds() {
                self.remove_one().await
            } else {
                self.make_one().await
            };
            match done {
                Ok(()) if std::mem::take(&mut failing) => {
                    self.making.set(true);
                    tracing::info!(directory = %self.directory.display(), "segments can be made again");
                }
                Ok(()) => {}
                Err(error) => {
                    self.making.set(false);
                    self.made.notify();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(directory = %self.directory.display(), %error, "cannot make a segment");
                    }
                    self.lacking.next().await;
                }
            }
        }
    }

    /// Lets [`Log::maintain`] try again what has failed.
    pub fn retry(&self) {
        self.lacking.notify();
    }

    /// Waits until a segment has become ready, or cannot be made, or the log is fenced: after [`LogError::NotReady`], before
    /// trying again.
    pub async fn made(&self) {
        self.made.next().await;
    }

    /// Lets those go who wait in [`Log::made`].
    pub fn wake(&self) {
        self.made.notify();
    }

    async fn make_one(&self) -> Result<(), LogError> {
        let number = self.state.borrow().highest_segment + 1;
        let segment = make(&self.disk, &self.directory, number, &self.options).await?;
        let mut state = self.state.borrow_mut();
        state.highest_segment = number;
        state.ready.push(segment);
        drop(state);
        self.made.notify();
        Ok(())
    }

    /// Removes a segment that is ready. Its space is given back first, since readers may keep the file open.
    async fn remove_one(&self) -> Result<(), LogError> {
        let Some(segment) = self.state.borrow_mut().ready.pop() else {
            return Ok(());
        };
        let path = self.directory.join(segment_name(segment.number));
        segment
            .file
            .truncate(0)
            .await
            .map_err(failed("truncate", &path))?;
        self.disk.remove(&path).await.map_err(failed("remove", &path))
    }

    fn lacks(&self) -> bool {
        self.state.borrow().ready.len() < self.options.ready_segments && !self.fenced.get()
    }

    fn abounds(&self) -> bool {
        let most = self.options.ready_segments + READY_SPARE_SEGMENTS;
        self.state.borrow().ready.len() > most && !self.fenced.get()
    }

    /// Shows the segments that are full, oldest first.
    pub fn each_sealed(&self, with: &mut dyn FnMut(SegmentInfo)) {
        for (generation, segment) in &self.state.borrow().sealed {
            with(SegmentInfo {
                segment: segment.number,
                generation: *generation,
                bytes: segment.bytes,
            });
        }
    }

    /// Gives a full segment back for use. The caller answers for nothing in it being needed any more.
    pub fn release(&self, segment: &SegmentInfo) {
        let mut state = self.state.borrow_mut();
        if let Some(free) = state.sealed.remove(&segment.generation) {
            state.lasts.remove(&segment.generation);
            state.ready.push(free);
        }
        drop(state);
        self.lacking.notify();
        self.made.notify();
    }

    /// Reads a full segment from its beginning.
    #[must_use]
    pub fn read_segment(&self, segment: &SegmentInfo) -> Option<SegmentReader> {
        let file = self
            .state
            .borrow()
            .sealed
            .get(&segment.generation)
            .map(|found| Rc::clone(&found.file))?;
        Some(SegmentReader {
            file,
            info: *segment,
            at: 0,
        })
    }
}

/// Reads the batches of a segment one after the other.
pub struct SegmentReader {
    file: Rc<dyn DiskFile>,
    info: SegmentInfo,
    at: u32,
}

/// The records of one batch.
pub struct Records {
    batch: AlignedBuf,
    info: SegmentInfo,
    offset: u32,
}

impl SegmentReader {
    /// The next batch; `None` behind the last one of this use of the segment.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a batch does not match its sum.
    pub async fn next(&mut self) -> Result<Option<Records>, LogError> {
        let offset = self.at;
        if offset >= self.info.bytes {
            return Ok(None);
        }
        let Some((header, batch)) = read_batch(&self.file, offset, self.info.bytes).await? else {
            return Ok(None);
        };
        if header.generation != self.info.generation || header.offset != offset {
            return Ok(None);
        }
        if !header.matches(&batch) {
            return Err(LogError::Damaged(format!(
                "segment {} at byte {offset}: the batch does not match its checksum",
                self.info.segment
            )));
        }
        self.at = offset + header.padded();
        Ok(Some(Records {
            batch,
            info: self.info,
            offset,
        }))
    }
}

impl Records {
    /// The inline blobs, with their places.
    pub fn blobs(&self) -> impl Iterator<Item = (Place, &[u8])> {
        let (generation, segment) = (self.info.generation, self.info.segment);
        records::<RecordKind>(&self.batch)
            .filter_map(Result::ok)
            .filter(|(_, record)| matches!(record.kind, RecordKind::Blob | RecordKind::MovedBlob))
            .map(move |(at, record)| {
                let length = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
                (
                    Place {
                        segment,
                        generation,
                        offset: self.offset + at,
                        length,
                    },
                    record.payload,
                )
            })
    }
}

/// Reads the batch whose header stands at an offset, without its padding and without checking its sum; `None` if no
/// header is there.
pub(super) async fn read_batch(
    file: &Rc<dyn DiskFile>,
    offset: u32,
    segment_bytes: u32,
) -> Result<Option<(BatchHeader, AlignedBuf)>, LogError> {
    let head = read(file, offset, BLOCK_BYTES).await?;
    let Some(header) = BatchHeader::decode(&head) else {
        return Ok(None);
    };
    if u64::from(offset) + u64::from(header.padded()) > u64::from(segment_bytes) {
        return Ok(None);
    }
    let mut batch = if header.length as usize <= BLOCK_BYTES {
        head
    } else {
        read(file, offset, header.padded() as usize).await?
    };
    batch.truncate(header.length as usize);
    Ok(Some((header, batch)))
}

pub(super) async fn read(file: &Rc<dyn DiskFile>, offset: u32, bytes: usize) -> Result<AlignedBuf, LogError> {
    let mut buffer = AlignedBuf::with_capacity(bytes);
    buffer.resize_zeroed(bytes);
    let (read, mut buffer) = file.read_at(buffer, u64::from(offset)).await;
    let read = read.map_err(|error| LogError::Disk(format!("cannot read a segment: {error}")))?;
    buffer.truncate(read);
    buffer.resize_zeroed(bytes);
    Ok(buffer)
}
