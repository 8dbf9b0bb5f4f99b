//! Files behind one trait, so that the store runs on a simulated disk too.

mod real;
pub mod sim;

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use crate::ring::AlignedBuf;

pub use self::real::RealDisk;

/// A boxed future: an operation is a batch of changes or a MiB of a blob, so the box is noise.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub struct OpenHow {
    /// What for.
    pub access: Access,
    /// Makes the file; refused if it is there.
    pub create_new: bool,
    /// Past the page cache: offsets, lengths and memory in blocks of [`crate::limits::BLOCK_BYTES`]. Filesystems
    /// that cannot are used through the page cache.
    pub direct: bool,
    /// Every write is durable when it completes.
    pub dsync: bool,
}

pub use filegrid_journal::sim::DirEntry;

/// A disk, as a shard uses it.
pub trait Disk {
    /// Opens a file.
    fn open<'a>(&'a self, path: &'a Path, how: OpenHow) -> Fut<'a, io::Result<Rc<dyn DiskFile>>>;
    /// Makes a directory; one that exists is fine.
    fn create_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>>;
    /// Makes the entries of a directory durable.
    fn sync_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>>;
    /// Renames a file, replacing what is there.
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Fut<'a, io::Result<()>>;
    /// Removes a file.
    fn remove<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>>;
    /// The entries of a directory, in no order.
    fn list<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<Vec<DirEntry>>>;
    /// Bytes that can still be written to the filesystem of a path.
    fn free_bytes<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<u64>>;
}

/// An open file.
pub trait DiskFile {
    /// Reads up to the buffer's length; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<usize>, AlignedBuf)>;
    /// Writes all of the buffer.
    fn write_at(&self, buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<()>, AlignedBuf)>;
    /// Makes what was written durable, with the length that it needs.
    fn sync_data(&self) -> Fut<'_, io::Result<()>>;
    /// Gives the file space ahead of its bytes.
    fn allocate(&self, offset: u64, length: u64) -> Fut<'_, io::Result<()>>;
    /// Sets the length.
    fn truncate(&self, length: u64) -> Fut<'_, io::Result<()>>;
    /// Reads from the page cache alone; `None` if any of it would need the disk.
    fn try_read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize>;
    /// The descriptor, for `sendfile`; `None` on a simulated disk.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be asked.
    fn size(&self) -> io::Result<u64>;
}
