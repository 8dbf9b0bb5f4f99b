//! Accepting connections: poll on the ring, then a plain `accept4`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, acceptfrom_with, bind, listen, socket_with, sockopt,
};

use super::poll::Pollable;
use super::socket::Socket;

/// Connections the kernel keeps for us while we are busy; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// As [`BACKLOG`], where one connection is expected and strangers may come before it.
const ALONE_BACKLOG: i32 = 8;

/// A listening TCP socket; each shard has its own for the same address (`SO_REUSEPORT`).
pub struct Listener {
    poll: Pollable,
    local: SocketAddr,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken by another user, not ours, or descriptors ran out.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let fd = unbound(address)?;
        sockopt::set_socket_reuseport(&fd, true)?;
        bind(&fd, &address)?;
        listen(&fd, BACKLOG)?;
        let local = rustix::net::getsockname(&fd)?.try_into()?;
        Ok(Self {
            poll: Pollable::new(fd)?,
            local,
        })
    }

    /// Listens on `address` alone, for a connection or two: of FTP's data.
    ///
    /// # Errors
    /// The address is taken, or descriptors ran out.
    pub fn bind_alone(address: SocketAddr) -> io::Result<Self> {
        let fd = socket_for(address)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        bind(&fd, &address)?;
        listen(&fd, ALONE_BACKLOG)?;
        let local = rustix::net::getsockname(&fd)?.try_into()?;
        Ok(Self {
            poll: Pollable::new(fd)?,
            local,
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A connection that is waiting, or `None`.
    ///
    /// # Errors
    /// Descriptors or memory ran out. Connections that broke before they were taken are passed over.
    pub fn try_accept(&self) -> io::Result<Option<Socket>> {
        loop {
            match self.accept_now() {
                Ok((fd, Some(peer))) => return Socket::new(fd, peer).map(Some),
                Ok((_, None)) | Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a connection to be taken with [`Listener::try_accept`]. May be cancelled: it takes nothing.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn readable(&self) -> io::Result<()> {
        self.poll.readable().await
    }

    fn accept_now(&self) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, peer) = acceptfrom_with(self.poll.as_fd(), flags)?;
        Ok((fd, peer.and_then(|peer| peer.try_into().ok())))
    }
}

/// Takes an address for this process: which one it is, port 0 being a free one, and a socket that keeps others from it
/// until every shard has its listener.
///
/// Listeners of one user share their address, so a second node could share it silently. This socket does not share
/// when it begins to listen, which the kernel allows one socket only, and none where anybody listens already; it
/// shares from then on, with the shards. A connection that comes to it is reset when it is dropped.
///
/// # Errors
/// Somebody else listens there, or as for [`Listener::bind`].
pub fn reserve(address: SocketAddr) -> io::Result<(SocketAddr, OwnedFd)> {
    let fd = unbound(address)?;
    bind(&fd, &address)?;
    listen(&fd, 0)?;
    sockopt::set_socket_reuseport(&fd, true)?;
    let local = rustix::net::getsockname(&fd)?.try_into()?;
    Ok((local, fd))
}

/// A socket that what remains of closed connections does not keep from its address.
fn unbound(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = socket_for(address)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    Ok(fd)
}

/// A non-blocking TCP socket of an address's family.
pub(super) fn socket_for(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, SocketType::STREAM, flags, None)
}
