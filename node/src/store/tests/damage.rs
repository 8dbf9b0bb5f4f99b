//! Bits that flip while the node is off.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::executor::block_on;

use super::life::{LOGS, data};
use crate::disk::sim::{Random, SimDisk};
use crate::disk::{Access, Disk, OpenHow};
use crate::limits::BLOCK_BYTES;
use crate::ring::AlignedBuf;
use crate::store::log::{BatchHeader, Position};
use crate::store::log_directory;

/// A bit of a file.
pub(super) struct Flip {
    disk: SimDisk,
    path: PathBuf,
    bit: u64,
    /// The log whose segment it is in, and the last change before its batch; `None` for a large blob.
    pub(super) batch: Option<(u8, u64)>,
}

impl std::fmt::Debug for Flip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "bit {} of byte {} of {}",
            self.bit % 8,
            self.bit / 8,
            self.path.display()
        )
    }
}

impl Flip {
    /// Whether it may take changes of a log behind `end` that no other batch knows durable: in the batch that follows.
    pub(super) fn may_lose(&self, log: u8, end: u64) -> bool {
        self.batch == Some((log, end))
    }

    fn new(disk: &SimDisk, path: &Path, bit: u64, batch: Option<(u8, u64)>) -> Self {
        disk.flip_bit(path, bit);
        Self {
            disk: disk.clone(),
            path: path.to_owned(),
            bit,
            batch,
        }
    }

    /// Flips some bit of what is in use.
    pub(super) fn anywhere(disk: &SimDisk, random: &mut Random) -> Option<Self> {
        if random.one_in(3) {
            let blobs = disk.files(|path| path.components().any(|part| part.as_os_str() == "blobs"));
            let (path, length) = pick(&blobs, random)?;
            return Some(Self::new(disk, path, random.below(length * 8), None));
        }
        let log = u8::try_from(random.below(u64::from(LOGS))).unwrap();
        let batches = batches(disk, log);
        let batch = match random.below(4) {
            // The tail.
            0 => batches
                .iter()
                .max_by_key(|batch| (batch.header.generation, batch.header.offset)),
            // The front of a segment.
            1 => {
                let first: Vec<_> = batches.iter().filter(|batch| batch.header.offset == 0).collect();
                pick(&first, random).copied()
            }
            _ => pick(&batches, random),
        }?;
        let bits = match random.below(2) {
            0 => 8 * 64,
            _ => 8 * u64::from(batch.header.length),
        };
        let bit = 8 * u64::from(batch.header.offset) + random.below(bits);
        Some(Self::new(disk, &batch.path, bit, Some((log, batch.header.base))))
    }

    /// Flips a bit of the batch that ends where a log was closed.
    pub(super) fn behind(disk: &SimDisk, log: u8, closed: &Position, random: &mut Random) -> Option<Self> {
        let batches = batches(disk, log);
        let last = batches.iter().find(|Batch { header, .. }| {
            header.generation == closed.generation && header.offset + header.padded() == closed.offset
        })?;
        let bit = 8 * u64::from(last.header.offset) + random.below(8 * u64::from(last.header.length));
        Some(Self::new(disk, &last.path, bit, Some((log, last.header.base))))
    }

    /// Puts the bit right again.
    pub(super) fn heal(self) {
        self.disk.flip_bit(&self.path, self.bit);
    }
}

fn pick<'a, T>(of: &'a [T], random: &mut Random) -> Option<&'a T> {
    of.get(usize::try_from(random.below(of.len() as u64)).unwrap())
}

struct Batch {
    path: PathBuf,
    header: BatchHeader,
}

/// The highest sequence that a good batch of a log knows durable.
pub(super) fn highest_mark(disk: &SimDisk, log: u8) -> u64 {
    let marks = batches(disk, log).into_iter().map(|batch| batch.header.mark);
    marks.max().unwrap_or(0)
}

/// Every good batch in the segments of a log, also those of earlier uses.
fn batches(disk: &SimDisk, log: u8) -> Vec<Batch> {
    let directory = log_directory(&data(), log).join("log");
    let mut found = Vec::new();
    for (path, length) in disk.files(|path| path.parent() == Some(&directory)) {
        let bytes = block_on(read(disk, &path, usize::try_from(length).unwrap()));
        for at in (0..bytes.len()).step_by(BLOCK_BYTES) {
            let Some(header) = BatchHeader::decode(&bytes[at..]) else {
                continue;
            };
            let batch = bytes[at..].get(..header.length as usize);
            if header.offset as usize == at && batch.is_some_and(|batch| header.matches(batch)) {
                found.push(Batch {
                    path: path.clone(),
                    header,
                });
            }
        }
    }
    found
}

async fn read(disk: &SimDisk, path: &Path, length: usize) -> AlignedBuf {
    let how = OpenHow {
        access: Access::Read,
        create_new: false,
        direct: false,
        dsync: false,
    };
    let disk: Rc<dyn Disk> = Rc::new(disk.clone());
    let file = disk.open(path, how).await.unwrap();
    let mut buffer = AlignedBuf::with_capacity(length);
    buffer.resize_zeroed(length);
    let (read, buffer) = file.read_at(buffer, 0).await;
    assert_eq!(read.unwrap(), length);
    buffer
}
