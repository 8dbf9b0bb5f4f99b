//! compio.

use std::io::Result;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::PathBuf;

use compio::BufResult;
use compio::fs::File;
use compio::io::{AsyncRead, AsyncWriteAtExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};

use crate::aligned::Aligned;
use crate::runtime::{Runtime, open};

/// compio with its driver for io_uring.
pub(crate) struct Compio;

impl Runtime for Compio {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type File = File;
    type Buffer = Aligned;

    fn run(main: impl Future<Output = Result<()>> + 'static) -> Result<()> {
        compio::runtime::Runtime::new()?.block_on(main)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        compio::runtime::spawn(task).detach();
    }

    fn listener(listener: std::net::TcpListener) -> Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    fn buffer(_: &File, bytes: usize) -> Aligned {
        Aligned::new(bytes)
    }

    async fn accept(listener: &TcpListener) -> Result<TcpStream> {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn receive(
        socket: &mut TcpStream,
        buffer: Aligned,
        from: usize,
        to: usize,
    ) -> (Result<usize>, Aligned) {
        let BufResult(received, buffer) = socket.read(buffer.part(from, to)).await;
        (received, buffer)
    }

    async fn send(socket: &mut TcpStream, bytes: [u8; 8]) -> Result<()> {
        let BufResult(sent, _) = socket.write_all(bytes).await;
        sent
    }

    async fn open(path: PathBuf, reserve: Option<u64>) -> Result<File> {
        // SAFETY: the descriptor is given up there and owned here.
        Ok(unsafe { File::from_raw_fd(open(&path, reserve)?.into_raw_fd()) })
    }

    async fn write(file: &File, buffer: Aligned, bytes: usize, position: u64) -> Result<Aligned> {
        let mut file = file;
        let BufResult(written, buffer) = file.write_all_at(buffer.part(0, bytes), position).await;
        written.map(|()| buffer)
    }

    async fn finish(file: File) -> Result<()> {
        file.sync_data().await?;
        file.close().await
    }
}
