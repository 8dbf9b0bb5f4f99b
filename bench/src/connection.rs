//! Connections that do one job after another, all on one epoll.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::event::epoll;

/// Payload that is sent again and again.
const PAYLOAD_BYTES: usize = 1 << 20;
const RECEIVE_BYTES: usize = 1 << 20;

/// A request, and the length of the body that answers it (any, if it is not known).
pub(crate) struct Job {
    pub(crate) head: Vec<u8>,
    pub(crate) body_bytes: usize,
    pub(crate) tail: Vec<u8>,
    pub(crate) answer_bytes: Option<usize>,
}

struct Connection {
    stream: TcpStream,
    job: Option<Job>,
    sent: usize,
    head: Vec<u8>,
    /// Bytes of the answer's body still to come, once its head is there.
    owed: Option<usize>,
}

/// Does all jobs; the seconds from the first byte to the last.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn run(target: SocketAddr, connections: usize, jobs: Vec<Job>) -> io::Result<f64> {
    let payload: Vec<u8> = (0..PAYLOAD_BYTES)
        .map(|at| u8::try_from(at * 31 % 251).unwrap_or(0))
        .collect();
    let mut received = vec![0; RECEIVE_BYTES];
    let mut jobs: VecDeque<Job> = jobs.into();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&poll, &stream, epoll::EventData::new_u64(number as u64), flags)?;
        all.push(Connection {
            stream,
            job: None,
            sent: 0,
            head: Vec::new(),
            owed: None,
        });
    }
    let start = Instant::now();
    let mut open = 0;
    for connection in &mut all {
        open += usize::from(connection.next(&mut jobs));
        connection.send(&payload)?;
    }
    let mut events = Vec::with_capacity(connections);
    while open > 0 {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(connection) = all.get_mut(number).filter(|connection| connection.job.is_some()) else {
                continue;
            };
            connection.send(&payload)?;
            while connection.receive(&mut received)? {
                if !connection.next(&mut jobs) {
                    open -= 1;
                    break;
                }
                connection.send(&payload)?;
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

impl Connection {
    /// Takes the next job; `false` when there is none.
    fn next(&mut self, jobs: &mut VecDeque<Job>) -> bool {
        self.job = jobs.pop_front();
        self.sent = 0;
        self.head.clear();
        self.owed = None;
        self.job.is_some()
    }

    /// Sends as much as goes.
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(job) = &self.job else { return Ok(()) };
        let body_end = job.head.len() + job.body_bytes;
        let all = body_end + job.tail.len();
        while self.sent < all {
            let head = job.head.get(self.sent..).unwrap_or_default();
            let body_sent = self.sent.saturating_sub(job.head.len());
            let body = payload.get(..(job.body_bytes - body_sent.min(job.body_bytes)).min(payload.len()));
            let body = body.unwrap_or_default();
            let last = body_sent + body.len() >= job.body_bytes;
            let tail = job
                .tail
                .get(self.sent.saturating_sub(body_end)..)
                .filter(|_| last)
                .unwrap_or_default();
            match self
                .stream
                .write_vectored(&[IoSlice::new(head), IoSlice::new(body), IoSlice::new(tail)])
            {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives what is there; `true` when the answer is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            self.owed = match self.owed {
                Some(owed) => owed.checked_sub(read),
                None => self.body_owed(bytes)?,
            };
            if self.owed == Some(0) {
                return Ok(true);
            }
        }
    }

    fn body_owed(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(self.head.get(..end).unwrap_or_default()).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let expected = self.job.as_ref().and_then(|job| job.answer_bytes);
        match length {
            Some(length)
                if head.starts_with("http/1.1 200") && expected.is_none_or(|bytes| bytes == length) =>
            {
                Ok(Some((end + 4 + length).saturating_sub(self.head.len())))
            }
            _ => Err(io::Error::other(format!("unexpected answer: {head}"))),
        }
    }
}
