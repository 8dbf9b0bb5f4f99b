//! glommio.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::PathBuf;

use futures::{AsyncReadExt, AsyncWriteExt};
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};
use rustix::fs::OFlags;

use crate::runtime::{Buffer, Runtime};

/// glommio with its files past the page cache, whose memory is registered with the ring.
pub(crate) struct Glommio;

/// What is registered with the ring: the buffers of eight large bodies and of the log.
const IO_MEMORY_BYTES: usize = 32 << 20;

impl Buffer for DmaBuffer {
    fn bytes(&mut self) -> &mut [u8] {
        self.as_bytes_mut()
    }
}

impl Runtime for Glommio {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type File = DmaFile;
    type Buffer = DmaBuffer;

    fn run(main: impl Future<Output = Result<()>> + 'static) -> Result<()> {
        // The process has been put on its core already.
        let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(IO_MEMORY_BYTES);
        executor.make().map_err(Error::from)?.run(main)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(task).detach();
    }

    fn listener(listener: std::net::TcpListener) -> Result<TcpListener> {
        // SAFETY: the descriptor is given up there and owned here.
        Ok(unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) })
    }

    fn buffer(file: &DmaFile, bytes: usize) -> DmaBuffer {
        file.alloc_dma_buffer(bytes)
    }

    async fn accept(listener: &TcpListener) -> Result<TcpStream> {
        let socket = listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn receive(
        socket: &mut TcpStream,
        mut buffer: DmaBuffer,
        from: usize,
        to: usize,
    ) -> (Result<usize>, DmaBuffer) {
        (socket.read(&mut buffer.bytes()[from..to]).await, buffer)
    }

    async fn send(socket: &mut TcpStream, bytes: [u8; 8]) -> Result<()> {
        socket.write_all(&bytes).await
    }

    async fn open(path: PathBuf, reserve: Option<u64>) -> Result<DmaFile> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(reserve.is_some());
        if reserve.is_none() {
            let sync = i32::try_from(OFlags::DSYNC.bits()).map_err(Error::other)?;
            options.custom_flags(sync);
        }
        let file = options.dma_open(path).await?;
        if let Some(bytes) = reserve {
            file.pre_allocate(bytes, false).await?;
        }
        Ok(file)
    }

    async fn write(file: &DmaFile, mut buffer: DmaBuffer, bytes: usize, position: u64) -> Result<DmaBuffer> {
        let whole = buffer.len();
        buffer.trim_to_size(bytes);
        // A buffer is given up for good; the next one comes from the same registered memory.
        match file.write_at(buffer, position).await? {
            written if written == bytes => Ok(file.alloc_dma_buffer(whole)),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    async fn finish(file: DmaFile) -> Result<()> {
        file.fdatasync().await?;
        Ok(file.close().await?)
    }
}
