//! Files of the log behind one trait, so that it runs on a simulated disk too. Calls block: they are made on the log's
//! own thread, or where blocking is allowed.

mod aligned;
mod real;
pub mod sim;

use std::io;
use std::path::Path;
use std::sync::Arc;

use filegrid_journal::sim::DirEntry;

pub use self::aligned::Aligned;
pub use self::real::RealDisk;

/// A disk, as the log uses it.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory; one that exists is fine.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, in no order.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a file for reading and writing, or makes it: then it must not be there.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn open(&self, path: &Path, create_new: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing what is there.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Offsets, lengths and memory are multiples of [`filegrid_journal::BLOCK_BYTES`]: see [`Aligned`].
pub trait DiskFile: Send + Sync {
    /// Reads up to the buffer's length and returns how many bytes there were; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes. They are durable when it returns, if the file has had space there that was written before.
    ///
    /// # Errors
    ///
    /// Those of the system. What is on the disk is unknown then.
    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn size(&self) -> io::Result<u64>;
}
