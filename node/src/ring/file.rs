//! Positioned reads and writes of a file on the ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::buf::AlignedBuf;

/// An open file of this thread.
pub struct File {
    ring: monoio::fs::File,
    /// The same description once more, for calls that are plain system calls.
    plain: std::fs::File,
}

impl File {
    /// Takes over a file that was opened by a plain system call: opening is cheap, and cancelling an
    /// `open` on the ring would leak the descriptor.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub fn from_std(file: std::fs::File) -> io::Result<Self> {
        let plain = file.try_clone()?;
        Ok(Self {
            ring: monoio::fs::File::from_std(file)?,
            plain,
        })
    }

    /// Reads up to `buf.len()` bytes; fewer at the end of the file, or when the kernel likes.
    pub async fn read_at(&self, buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        self.ring.read_at(buf, offset).await
    }

    /// Writes `buf`; the result may be fewer bytes than it has.
    pub async fn write_at(&self, buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        self.ring.write_at(buf, offset).await
    }

    /// Makes the contents durable (`fdatasync`).
    ///
    /// # Errors
    /// The disk failed; what was written is in doubt for ever.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.ring.sync_data().await
    }

    /// Makes the contents and the metadata durable (`fsync`).
    ///
    /// # Errors
    /// As for [`File::sync_data`].
    pub async fn sync_all(&self) -> io::Result<()> {
        self.ring.sync_all().await
    }

    /// The file for plain calls such as `fstat`.
    #[must_use]
    pub fn plain(&self) -> &std::fs::File {
        &self.plain
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.plain.as_fd()
    }
}
