//! tokio.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use crate::aligned::Aligned;
use crate::runtime::{Buffer, Runtime, open};

/// tokio on one thread for sockets (epoll), and its pool of threads for files, on the same core.
pub(crate) struct Tokio;

/// Runs what blocks on the pool.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::other)?
}

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type File = Arc<File>;
    type Buffer = Aligned;

    fn run(main: impl Future<Output = Result<()>> + 'static) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, main)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }

    fn listener(listener: std::net::TcpListener) -> Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    fn buffer(_: &Arc<File>, bytes: usize) -> Aligned {
        Aligned::new(bytes)
    }

    async fn accept(listener: &TcpListener) -> Result<TcpStream> {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn receive(
        socket: &mut TcpStream,
        mut buffer: Aligned,
        from: usize,
        to: usize,
    ) -> (Result<usize>, Aligned) {
        (socket.read(&mut buffer.bytes()[from..to]).await, buffer)
    }

    async fn send(socket: &mut TcpStream, bytes: [u8; 8]) -> Result<()> {
        socket.write_all(&bytes).await
    }

    async fn open(path: PathBuf, reserve: Option<u64>) -> Result<Arc<File>> {
        blocking(move || open(&path, reserve).map(Arc::new)).await
    }

    async fn write(file: &Arc<File>, buffer: Aligned, bytes: usize, position: u64) -> Result<Aligned> {
        let file = file.clone();
        blocking(move || {
            let buffer = buffer.part(0, bytes);
            file.write_all_at(buffer.chosen(), position)?;
            Ok(buffer)
        })
        .await
    }

    async fn finish(file: Arc<File>) -> Result<()> {
        blocking(move || file.sync_data()).await
    }
}
