//! What the loop needs of a runtime.

use std::fs::File;
use std::io::{Error, Result};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

/// Memory that can be received into and written from.
pub(crate) trait Buffer: 'static {
    /// All of it.
    fn bytes(&mut self) -> &mut [u8];
}

/// One of the contenders, on one thread.
///
/// Memory is passed in and out, as completion-based runtimes want it.
pub(crate) trait Runtime: 'static {
    /// Listens.
    type Listener: 'static;
    /// A connection.
    type Socket: 'static;
    /// A file past the page cache.
    type File: 'static;
    /// Memory, aligned as the file needs it.
    type Buffer: Buffer;

    /// Runs a future to its end.
    fn run(main: impl Future<Output = Result<()>> + 'static) -> Result<()>;
    /// Starts a task beside the others.
    fn spawn(task: impl Future<Output = ()> + 'static);
    /// Takes over a listener.
    fn listener(listener: TcpListener) -> Result<Self::Listener>;
    /// Memory for `file`.
    fn buffer(file: &Self::File, bytes: usize) -> Self::Buffer;
    /// Waits for a connection, without Nagle's algorithm.
    async fn accept(listener: &Self::Listener) -> Result<Self::Socket>;
    /// Receives into `buffer[from..to]` whatever is there, at least one byte; 0 at the end.
    async fn receive(
        socket: &mut Self::Socket,
        buffer: Self::Buffer,
        from: usize,
        to: usize,
    ) -> (Result<usize>, Self::Buffer);
    /// Sends all of it.
    async fn send(socket: &mut Self::Socket, bytes: [u8; 8]) -> Result<()>;
    /// Opens a file as `open` does.
    async fn open(path: PathBuf, reserve: Option<u64>) -> Result<Self::File>;
    /// Writes `buffer[..bytes]` at `position`; returns memory of the same size.
    async fn write(
        file: &Self::File,
        buffer: Self::Buffer,
        bytes: usize,
        position: u64,
    ) -> Result<Self::Buffer>;
    /// fdatasync(2), and closes the file.
    async fn finish(file: Self::File) -> Result<()>;
}

/// Opens for writing past the page cache: a new file with so many bytes reserved, or else one that is there and has its
/// blocks, with `O_DSYNC`.
pub(crate) fn open(path: &Path, reserve: Option<u64>) -> Result<File> {
    let more = reserve.map_or(OFlags::DSYNC, |_| OFlags::empty());
    let flags = i32::try_from((OFlags::DIRECT | more).bits()).map_err(Error::other)?;
    let mut options = File::options();
    options
        .write(true)
        .create_new(reserve.is_some())
        .custom_flags(flags);
    let file = options.open(path)?;
    if let Some(bytes) = reserve {
        fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    }
    Ok(file)
}
