//! A connection, with or without TLS.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::SCRATCH_BYTES;

thread_local! {
    /// What all connections of a thread receive into: nobody waits while it holds bytes.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A connection.
pub enum Wire {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects, for requests and answers.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Plain(stream))
    }

    /// Connects, for bytes that go one way to their end: nothing waits for an answer.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect_one_way(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).await.map(Self::Plain)
    }

    /// Goes on through TLS.
    ///
    /// # Errors
    ///
    /// If the handshake fails, as `InvalidData`.
    pub async fn secure(self, config: &Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let Self::Plain(stream) = self else {
            return Ok(self);
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{host}: {error}")))?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends all of the slices.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn send(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let sent = poll_fn(|context| self.poll_write(context, slices)).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut slices, sent);
        }
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => poll_fn(|context| Pin::new(stream.as_mut()).poll_flush(context)).await,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            // Straight to the socket, not by way of a file.
            Self::Plain(stream) if slices.len() == 1 => {
                let only = slices.first().map_or(&[][..], |slice| slice);
                Pin::new(stream).poll_write(context, only)
            }
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        }
    }

    /// Waits for bytes and shows them; none if the server has ended the connection.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn receive<T>(&mut self, mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(self.poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(take(buffer.filled())))
            })
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }

    /// Drops up to so many bytes without looking at them; how many there were. With TLS it has to look.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn skip(&mut self, most: usize) -> io::Result<usize> {
        let Self::Plain(stream) = self else {
            return self.receive(<[u8]>::len).await;
        };
        let drop_some = || {
            SCRATCH.with_borrow_mut(|scratch| {
                let length = most.min(scratch.len());
                let buffer = scratch.get_mut(..length).unwrap_or_default();
                // With TRUNC, Linux drops what came over TCP instead of copying it (tcp(7)).
                let (_, dropped) =
                    rustix::net::recv(&*stream, buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
                Ok(dropped)
            })
        };
        stream.async_io(Interest::READABLE, drop_some).await
    }

    /// Whether the server has ended the connection, as far as is known here by now.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        // Unlike a look at what has come, this sees the end behind bytes that nobody has read yet.
        let mut asked = [PollFd::new(stream, PollFlags::RDHUP)];
        let answered = poll(&mut asked, Some(&Timespec::default()));
        answered.is_ok_and(|ready| ready > 0)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn end(&mut self) -> io::Result<()> {
        poll_fn(|context| match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        })
        .await
    }

    /// Closes a connection whose other side has sent its last byte. With TLS that side may wait for an end of ours.
    pub async fn close(mut self) {
        if matches!(self, Self::Tls(_)) {
            // Who has closed the connection already does not wait.
            let _ = self.end().await;
        }
    }
}
