//! monoio.

use std::io::Result;
use std::path::PathBuf;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

use crate::aligned::Aligned;
use crate::runtime::{Runtime, open};

/// monoio 0.2.4 with its driver for io_uring, as a node has it.
pub(crate) struct Monoio;

impl Runtime for Monoio {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type File = monoio::fs::File;
    type Buffer = Aligned;

    fn run(main: impl Future<Output = Result<()>> + 'static) -> Result<()> {
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .build()?
            .block_on(main)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        monoio::spawn(task);
    }

    fn listener(listener: std::net::TcpListener) -> Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    fn buffer(_: &Self::File, bytes: usize) -> Aligned {
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
        socket.read(buffer.part(from, to)).await
    }

    async fn send(socket: &mut TcpStream, bytes: [u8; 8]) -> Result<()> {
        let (sent, _) = socket.write_all(Box::new(bytes)).await;
        sent.map(drop)
    }

    async fn open(path: PathBuf, reserve: Option<u64>) -> Result<monoio::fs::File> {
        monoio::fs::File::from_std(open(&path, reserve)?)
    }

    async fn write(file: &Self::File, buffer: Aligned, bytes: usize, position: u64) -> Result<Aligned> {
        let (written, buffer) = file.write_all_at(buffer.part(0, bytes), position).await;
        written.map(|()| buffer)
    }

    async fn finish(file: Self::File) -> Result<()> {
        file.sync_data().await?;
        file.close().await
    }
}
