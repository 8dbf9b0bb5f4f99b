//! The client: one thread a connection, one body at a time on each.

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::content::Content;
use crate::limits::{ASK_CPU, HEAD_BYTES, SMALL_MAX_BYTES};
use crate::row::Row;

/// Silence after which a server is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends all bodies of a row; returns how long it took, and what CPU the server used in seconds.
pub(crate) fn run(address: SocketAddr, content: &Content, row: &Row) -> Result<(f64, f64)> {
    let mut asking = connect(address)?;
    let sums: Vec<u32> = (0..row.bodies)
        .map(|number| content.sum(number, row.bytes))
        .collect();
    let next = AtomicU64::new(0);
    // Once when all are connected, and once when the clock runs.
    let barrier = Barrier::new(row.connections + 1);
    let work = || {
        let socket = connect(address);
        barrier.wait();
        barrier.wait();
        let mut socket = socket?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(sum) = usize::try_from(number).ok().and_then(|number| sums.get(number)) else {
                return Ok(());
            };
            if send(&mut socket, content, number, row.bytes)? != u64::from(*sum) {
                return Err(Error::other(format!("body {number} came as another")));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..row.connections).map(|_| scope.spawn(work)).collect();
        barrier.wait();
        let before = cpu_seconds(&mut asking);
        let started = Instant::now();
        barrier.wait();
        for thread in threads {
            thread
                .join()
                .map_err(|_| Error::other("a thread of the client has ended"))??;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok((seconds, cpu_seconds(&mut asking)? - before?))
    })
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends a body; returns the answer.
fn send(socket: &mut TcpStream, content: &Content, number: u64, length: u64) -> Result<u64> {
    let head: [u8; HEAD_BYTES] = head(length, number);
    if length <= SMALL_MAX_BYTES as u64 {
        let mut whole = [0; HEAD_BYTES + SMALL_MAX_BYTES];
        let body = content.piece(number, 0, usize::try_from(length).map_err(Error::other)?);
        whole[..HEAD_BYTES].copy_from_slice(&head);
        whole[HEAD_BYTES..HEAD_BYTES + body.len()].copy_from_slice(body);
        socket.write_all(&whole[..HEAD_BYTES + body.len()])?;
    } else {
        socket.write_all(&head)?;
        for piece in content.pieces(number, length) {
            socket.write_all(piece)?;
        }
    }
    answer(socket)
}

fn head(length: u64, number: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&length.to_le_bytes());
    head[8..].copy_from_slice(&number.to_le_bytes());
    head
}

fn answer(socket: &mut TcpStream) -> Result<u64> {
    let mut answer = [0; 8];
    socket.read_exact(&mut answer)?;
    Ok(u64::from_le_bytes(answer))
}

/// What CPU the server has used since its start.
fn cpu_seconds(socket: &mut TcpStream) -> Result<f64> {
    socket.write_all(&head(ASK_CPU, 0))?;
    Ok(answer(socket)? as f64 / 1e9)
}
