//! Connections, from the side that answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::connection::{put, read_frame, read_hello, write_frames};
use super::frame::{Decoder, Frame, Kind};
use super::tls::{Reader, Stream};
use super::{Identity, Refusal, Security, Service};
use crate::limits::{
    CONNECTIONS_MAX_COUNT, FRAME_MAX_BYTES, FRAMES_QUEUED_MAX_COUNT, HANDSHAKE_TIMEOUT_S,
    HANDSHAKES_MAX_COUNT, HELLO_MAX_BYTES, PEER_SILENT_MAX_S, REQUESTS_QUEUED_MAX_BYTES,
    REQUESTS_QUEUED_MAX_COUNT,
};

/// Accepts connections.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    security: Security,
}

/// What a connection needs to know of the server.
#[derive(Clone)]
struct Server {
    member: u64,
    cluster: Arc<str>,
    security: Security,
    service: Arc<dyn Service>,
}

/// Where the items of a stream go.
#[derive(Clone)]
pub struct Push {
    out: mpsc::Sender<Frame>,
    number: u64,
}

/// The other end of a stream is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Push {
    /// Sends an item; waits while the other takes none.
    ///
    /// # Errors
    ///
    /// If nobody takes items any more.
    pub async fn item(&self, body: Bytes) -> Result<(), Gone> {
        let frame = Frame::new(Kind::Item, self.number, body);
        self.out.send(frame).await.map_err(|_| Gone)
    }
}

/// Sets what every connection needs: answers go out at once, and an end that is silently gone is noticed.
pub(super) fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    // A system that refuses one of these serves all the same.
    let _ = stream.set_nodelay(true);
    let silent = Duration::from_secs(PEER_SILENT_MAX_S);
    let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(silent.as_millis()).unwrap_or(u32::MAX));
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, silent);
    let _ = sockopt::set_tcp_keepintvl(stream, silent);
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    ///
    /// A text that names the address and what is wrong with it.
    pub async fn bind(address: SocketAddr, security: Security) -> Result<Self, String> {
        security.allows(&address)?;
        let failed = |error| format!("{address}: {error}");
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            security,
        })
    }

    /// The address, with the port that was given.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped, and with it all its connections.
    pub async fn serve(self, member: u64, cluster: &str, service: Arc<dyn Service>) {
        let server = Server {
            member,
            cluster: cluster.into(),
            security: self.security,
            service,
        };
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX_COUNT));
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX_COUNT));
        let mut tasks = JoinSet::new();
        loop {
            // Those that are over the limit wait in the system's queue.
            let (Ok(connection), Ok(handshake)) = (
                Arc::clone(&connections).acquire_owned().await,
                Arc::clone(&handshakes).acquire_owned().await,
            ) else {
                return;
            };
            match self.socket.accept().await {
                Ok((stream, from)) => {
                    tune(&stream);
                    let server = server.clone();
                    tasks.spawn(async move {
                        if let Err(why) = server.connection(stream, handshake).await {
                            tracing::debug!("connection from {from}: {why}");
                        }
                        drop(connection);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }
}

impl Server {
    async fn connection(&self, stream: TcpStream, handshake: OwnedSemaphorePermit) -> Result<(), String> {
        let limit = Duration::from_secs(HANDSHAKE_TIMEOUT_S);
        let (stream, decoder, peer) = tokio::time::timeout(limit, self.handshake(stream))
            .await
            .map_err(|_| "no hello in time".to_owned())??;
        drop(handshake);
        self.answer(stream, decoder, peer).await
    }

    async fn handshake(&self, stream: TcpStream) -> Result<(Stream, Decoder, Identity), String> {
        let accepted = self.security.accept(stream).await;
        let mut stream = accepted.map_err(|error| error.to_string())?;
        let mut decoder = Decoder::new(HELLO_MAX_BYTES);
        let hello = read_frame(&mut stream.reader, &mut decoder).await?;
        let hello = hello.filter(|frame| frame.kind == Kind::Hello);
        let hello = hello.and_then(|frame| read_hello(frame.body)).ok_or("no hello")?;
        let (answer, result) = match self.judge(hello, stream.identities.as_deref()) {
            Ok(peer) => (Frame::new(Kind::Welcome, 0, Bytes::new()), Ok(peer)),
            Err(refusal) => (
                Frame::new(Kind::Refusal, 0, refusal.write()),
                Err(refusal.to_string()),
            ),
        };
        let mut bytes = BytesMut::new();
        put(&mut bytes, &answer);
        let written = async {
            stream.writer.write_all(&bytes).await?;
            stream.writer.flush().await
        };
        written.await.map_err(|error| error.to_string())?;
        decoder.max_bytes = FRAME_MAX_BYTES;
        result.map(|peer| (stream, decoder, peer))
    }

    /// Whether a hello is meant for us, from one who is who it says.
    fn judge(
        &self,
        (member, peer, cluster): (u64, Identity, String),
        certified: Option<&[Identity]>,
    ) -> Result<Identity, Refusal> {
        if *self.cluster != *cluster {
            return Err(Refusal::Forbidden(format!("this is cluster {}", self.cluster)));
        }
        if member != self.member {
            return Err(Refusal::Forbidden(format!("this is member {}", self.member)));
        }
        match certified {
            Some(identities) if !identities.contains(&peer) => Err(Refusal::Forbidden(format!(
                "the certificate is not one of {} {}",
                peer.role.word(),
                peer.name
            ))),
            _ => Ok(peer),
        }
    }

    /// Answers requests until the connection ends.
    async fn answer(&self, stream: Stream, decoder: Decoder, peer: Identity) -> Result<(), String> {
        let (out, frames) = mpsc::channel(FRAMES_QUEUED_MAX_COUNT);
        let Stream { reader, writer, .. } = stream;
        let requests = Requests {
            server: self,
            peer,
            out,
            room: Arc::new(Semaphore::new(REQUESTS_QUEUED_MAX_BYTES)),
            tasks: JoinSet::new(),
            watches: HashMap::new(),
        };
        // Whichever ends first ends the other, and with it what is still being answered.
        tokio::select! {
            ended = requests.read(reader, decoder) => ended,
            ended = write_frames(writer, frames) => ended.map_err(|error| error.to_string()),
        }
    }
}

/// The requests of a connection.
struct Requests<'a> {
    server: &'a Server,
    peer: Identity,
    out: mpsc::Sender<Frame>,
    /// Bytes that requests may still take.
    room: Arc<Semaphore>,
    tasks: JoinSet<()>,
    watches: HashMap<u64, AbortHandle>,
}

impl Requests<'_> {
    async fn read(mut self, mut reader: Reader, mut decoder: Decoder) -> Result<(), String> {
        while let Some(frame) = read_frame(&mut reader, &mut decoder).await? {
            self.forget_ended();
            match frame.kind {
                Kind::Request | Kind::Watch => self.begin(frame).await,
                Kind::Cancel => {
                    if let Some(watch) = self.watches.remove(&frame.number) {
                        watch.abort();
                    }
                }
                _ => return Err("a frame of a kind that clients do not send".to_owned()),
            }
        }
        Ok(())
    }

    /// Begins to answer a request, when there is room for it: until then nothing more is read.
    async fn begin(&mut self, frame: Frame) {
        // Every request takes something, so there is a limit to their number.
        let cost = frame
            .body
            .len()
            .max(REQUESTS_QUEUED_MAX_BYTES / REQUESTS_QUEUED_MAX_COUNT);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await else {
            return;
        };
        let (service, out) = (&self.server.service, self.out.clone());
        let Frame {
            kind,
            method,
            number,
            body,
        } = frame;
        if kind == Kind::Request {
            let answer = service.call(&self.peer, method, body);
            self.tasks.spawn(async move {
                let answer = match answer.await {
                    Ok(body) => Frame::new(Kind::Answer, number, body),
                    Err(refusal) => Frame::new(Kind::Refusal, number, refusal.write()),
                };
                drop(room);
                let _ = out.send(answer).await;
            });
            return;
        }
        let to = Push {
            out: out.clone(),
            number,
        };
        let stream = service.watch(&self.peer, method, body, to);
        let handle = self.tasks.spawn(async move {
            let end = match stream.await {
                Ok(()) => Frame::new(Kind::End, number, Bytes::new()),
                Err(refusal) => Frame::new(Kind::Refusal, number, refusal.write()),
            };
            drop(room);
            let _ = out.send(end).await;
        });
        self.watches.insert(number, handle);
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.watches.retain(|_, watch| !watch.is_finished());
    }
}
