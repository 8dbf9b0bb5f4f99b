//! A TCP stream: data by plain system calls, waiting by the ring's poll.
//!
//! A `recv` that finds data costs no trip through the ring, and a poll that is dropped loses nothing.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv, send, sendmsg,
    shutdown, sockopt,
};

use super::poll::Pollable;
use crate::limits::{RELAY_KEEPALIVE_EACH_S, RELAY_KEEPALIVE_S, RELAY_KEEPALIVES_MAX_COUNT};

/// A connected, non-blocking TCP socket of this thread.
pub struct Socket {
    poll: Pollable,
    peer: SocketAddr,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, peer: SocketAddr) -> io::Result<Self> {
        // Replies leave in one write, so waiting to gather more only delays them.
        sockopt::set_tcp_nodelay(&fd, true)?;
        Ok(Self {
            poll: Pollable::new(fd)?,
            peer,
        })
    }

    /// Takes over a connected TCP socket, for instance from another shard.
    ///
    /// # Errors
    /// It is not connected or not TCP.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let peer = rustix::net::getpeername(&fd)?.ok_or(Errno::NOTCONN)?.try_into()?;
        Self::new(fd, peer)
    }

    /// Connects from `local` to `peer`. May be cancelled: the attempt ends with the socket.
    ///
    /// # Errors
    /// Nobody listens there, the way is barred, or descriptors ran out.
    pub async fn connect(local: IpAddr, peer: SocketAddr) -> io::Result<Self> {
        let fd = super::listener::socket_for(peer)?;
        rustix::net::bind(&fd, &SocketAddr::new(local, 0))?;
        match rustix::net::connect(&fd, &peer) {
            Ok(()) => Self::new(fd, peer),
            Err(Errno::INPROGRESS) => {
                let socket = Self::new(fd, peer)?;
                socket.writable().await?;
                sockopt::socket_error(socket.poll.as_fd())??;
                Ok(socket)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Two sockets that are connected to each other, within this process; both say that `peer` is at the other side.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub fn pair(peer: SocketAddr) -> io::Result<(Self, Self)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let socket = |fd| {
            Ok::<_, io::Error>(Self {
                poll: Pollable::new(fd)?,
                peer,
            })
        };
        Ok((socket(one)?, socket(other)?))
    }

    /// The address on this side.
    ///
    /// # Errors
    /// The kernel does not know it.
    pub fn local(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(self.poll.as_fd())?.try_into()?)
    }

    /// Leaves urgent bytes in their place among the others, and asks peers that are silent for long whether they live.
    /// Errors mean it is gone already.
    pub fn keep_for_long(&self) {
        let _ = sockopt::set_socket_oobinline(self.poll.as_fd(), true);
        let _ = sockopt::set_socket_keepalive(self.poll.as_fd(), true);
    }

    /// Finds out within half a minute that the other machine is gone. Errors mean that the connection is.
    pub fn notice_loss(&self) {
        notice_loss(self.poll.as_fd());
    }

    /// Gives the connection away, for instance to another shard.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        // A duplicate, since an operation that was just cancelled may still hold the original for a moment.
        Ok(rustix::io::fcntl_dupfd_cloexec(self.poll.as_fd(), 0)?)
    }

    /// Address of the other side.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until a read makes progress: data, end or error.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn readable(&self) -> io::Result<()> {
        self.poll.readable().await
    }

    /// Waits until a write makes progress: room or error.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn writable(&self) -> io::Result<()> {
        self.poll.writable().await
    }

    /// Reads what is there; `None`: nothing yet, `Some(0)`: the peer has finished sending.
    ///
    /// # Errors
    /// The connection broke.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        would_block(retry(|| {
            recv(self.poll.as_fd(), &mut *buf, RecvFlags::empty()).map(|(_, n)| n)
        }))
    }

    /// Waits for data and reads it; 0: the peer has finished sending.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(n) = self.try_recv(buf)? {
                return Ok(n);
            }
            self.readable().await?;
        }
    }

    /// Sends what fits now; `None`: nothing does. `more`: hold a partial packet back, the rest follows.
    ///
    /// # Errors
    /// The connection broke.
    pub fn try_send(&self, bytes: &[u8], more: bool) -> io::Result<Option<usize>> {
        would_block(retry(|| send(self.poll.as_fd(), bytes, flags(more))))
    }

    /// Sends what fits now of several buffers; see [`Socket::try_send`].
    ///
    /// # Errors
    /// The connection broke.
    pub fn try_send_vectored(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<Option<usize>> {
        let fd = self.poll.as_fd();
        would_block(retry(|| {
            sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), flags(more))
        }))
    }

    /// Sends what fits now of `len` bytes of `file` from `offset`; `Some(0)`: the file ends there.
    ///
    /// # Errors
    /// The connection broke or the file cannot be read.
    pub fn try_send_file(&self, file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Option<usize>> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut offset = offset;
        would_block(retry(|| {
            rustix::fs::sendfile(self.poll.as_fd(), file, Some(&mut offset), len)
        }))
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_send(bytes, false)? {
                Some(n) => bytes = bytes.get(n..).unwrap_or_default(),
                None => self.writable().await?,
            }
        }
        Ok(())
    }

    /// Sends all of several buffers, in one packet train if they fit.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_vectored_all(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.try_send_vectored(parts, false)? {
                Some(n) => IoSlice::advance_slices(&mut parts, n),
                None => self.writable().await?,
            }
        }
        Ok(())
    }

    /// Sends one bounded slice of a file by `sendfile`; less than `len` only where the file ends.
    ///
    /// # Errors
    /// The connection broke or the file cannot be read.
    pub async fn send_file(&self, file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<u64> {
        let mut sent = 0;
        while sent < len {
            match self.try_send_file(file, offset + sent, len - sent)? {
                Some(0) => break,
                Some(n) => sent += n as u64,
                None => self.writable().await?,
            }
        }
        Ok(sent)
    }

    /// Wakes readers only once this many bytes are there (`SO_RCVLOWAT`); 1 is the default.
    pub fn set_low_water(&self, bytes: usize) {
        super::option::set_receive_low_water(self.poll.as_fd(), bytes);
    }

    /// Ends a direction or both; whoever waits on the socket wakes up. Errors mean it is gone already.
    pub fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        let _ = shutdown(self.poll.as_fd(), how);
    }
}

/// Has the kernel find out within half a minute that the other machine is gone. Errors mean that the connection is.
pub fn notice_loss(fd: BorrowedFd<'_>) {
    let _ = sockopt::set_socket_keepalive(fd, true);
    let _ = sockopt::set_tcp_keepidle(fd, Duration::from_secs(RELAY_KEEPALIVE_S));
    let _ = sockopt::set_tcp_keepintvl(fd, Duration::from_secs(RELAY_KEEPALIVE_EACH_S));
    let _ = sockopt::set_tcp_keepcnt(fd, RELAY_KEEPALIVES_MAX_COUNT);
    let most = RELAY_KEEPALIVE_S + RELAY_KEEPALIVE_EACH_S * u64::from(RELAY_KEEPALIVES_MAX_COUNT);
    let most_ms = u32::try_from(most * 1000).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(fd, most_ms);
}

fn flags(more: bool) -> SendFlags {
    if more {
        SendFlags::NOSIGNAL | SendFlags::MORE
    } else {
        SendFlags::NOSIGNAL
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn would_block(result: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
