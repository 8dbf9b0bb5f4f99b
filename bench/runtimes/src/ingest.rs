//! The loop: connections, and the bodies that come on them.

use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::future::join;
use rustix::time::{ClockId, clock_gettime};

use crate::limits::{ASK_CPU, BLOCK_BYTES, FIRST_BYTES, HEAD_BYTES, PIECE_BYTES, SMALL_MAX_BYTES};
use crate::log::Log;
use crate::runtime::{Buffer, Runtime};

/// Serves on a runtime until it is killed. The file `log` in `directory` exists and has its blocks.
pub(crate) fn serve<R: Runtime>(listener: TcpListener, directory: PathBuf, run: u64) -> Result<()> {
    R::run(async move {
        let log = R::open(directory.join("log"), None).await?;
        let log = Log::<R>::start(log, run);
        let listener = R::listener(listener)?;
        let directory: Rc<Path> = directory.into();
        loop {
            let socket = R::accept(&listener).await?;
            let (log, directory) = (log.clone(), directory.clone());
            R::spawn(async move {
                if let Err(error) = connection::<R>(socket, &log, &directory).await {
                    eprintln!("runtimes: a connection: {error}");
                }
            });
        }
    })
}

/// Body after body until the client goes. Each is answered with its sum when it is on the disk.
async fn connection<R: Runtime>(mut socket: R::Socket, log: &Log<R>, directory: &Path) -> Result<()> {
    let mut first = R::buffer(&log.file, FIRST_BYTES);
    loop {
        let mut come = 0;
        let (length, number) = loop {
            let (received, buffer) = R::receive(&mut socket, first, come, FIRST_BYTES).await;
            first = buffer;
            match received? {
                0 => return Ok(()),
                bytes => come += bytes,
            }
            if let Some((length, number)) = head(&first.bytes()[..come]) {
                let whole = HEAD_BYTES as u64 + length.min(SMALL_MAX_BYTES as u64);
                if length == ASK_CPU || length > SMALL_MAX_BYTES as u64 || come as u64 >= whole {
                    break (length, number);
                }
            }
        };
        let body = &first.bytes()[HEAD_BYTES..come];
        let answer = match length {
            ASK_CPU => cpu_nanoseconds(),
            _ if length <= SMALL_MAX_BYTES as u64 => {
                let sum = crc32fast::hash(body);
                log.append(number, sum, body).await?;
                sum.into()
            }
            _ => {
                let path = directory.join(format!("{}-{number}", log.run));
                large::<R>(&mut socket, &log.file, path, length, body)
                    .await?
                    .into()
            }
        };
        R::send(&mut socket, answer.to_le_bytes()).await?;
    }
}

/// Length and number, once they are there.
fn head(come: &[u8]) -> Option<(u64, u64)> {
    let (length, rest) = come.split_first_chunk()?;
    let number = rest.first_chunk()?;
    Some((u64::from_le_bytes(*length), u64::from_le_bytes(*number)))
}

/// A file of its own: a piece is received while the one before is written. Returns the sum.
async fn large<R: Runtime>(
    socket: &mut R::Socket,
    like: &R::File,
    path: PathBuf,
    length: u64,
    come: &[u8],
) -> Result<u32> {
    let padded = length.next_multiple_of(BLOCK_BYTES as u64);
    let file = R::open(path, Some(padded)).await?;
    let mut sum = crc32fast::Hasher::new();
    let mut filling = R::buffer(like, PIECE_BYTES);
    filling.bytes()[..come.len()].copy_from_slice(come);
    let (mut position, mut used) = (0, come.len());
    let mut waiting: Option<(R::Buffer, usize, u64)> = None;
    let mut spare = Some(R::buffer(like, PIECE_BYTES));
    loop {
        let whole = usize::try_from((length - position).min(PIECE_BYTES as u64)).map_err(Error::other)?;
        let write = async {
            match waiting.take() {
                Some((buffer, bytes, at)) => R::write(&file, buffer, bytes, at).await.map(Some),
                None => Ok(None),
            }
        };
        let (received, written) = join(fill::<R>(socket, filling, used, whole), write).await;
        let mut full = received?;
        spare = written?.or(spare.take());
        if whole == 0 {
            break;
        }
        sum.update(&full.bytes()[..whole]);
        let bytes = whole.next_multiple_of(BLOCK_BYTES);
        full.bytes()[whole..bytes].fill(0);
        waiting = Some((full, bytes, position));
        position += whole as u64;
        used = 0;
        filling = spare.take().ok_or(Error::other("both buffers are away"))?;
    }
    R::finish(file).await?;
    Ok(sum.finalize())
}

/// Receives until `to` bytes are there.
async fn fill<R: Runtime>(
    socket: &mut R::Socket,
    mut buffer: R::Buffer,
    mut from: usize,
    to: usize,
) -> Result<R::Buffer> {
    while from < to {
        let (received, back) = R::receive(socket, buffer, from, to).await;
        buffer = back;
        match received? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            bytes => from += bytes,
        }
    }
    Ok(buffer)
}

/// CPU that this process has used, with all threads that the kernel runs for it.
fn cpu_nanoseconds() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(used.tv_sec * 1_000_000_000 + used.tv_nsec).unwrap_or(0)
}
