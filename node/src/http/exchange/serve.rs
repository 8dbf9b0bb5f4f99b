//! A connection from its first request to its close.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::body::Body;
use super::wire::{self, RequestHead};
use super::{Exchange, State};
use crate::error::Error;
use crate::http::problem;
use crate::limits::{DRAIN_RETRY_S, HANDOFF_AFTER_COUNT, LINGER_MAX_BYTES};
use crate::metrics::Via;
use crate::net::{
    Admission, Drain, Handoff, HandshakeError, Handshakes, Inbound, Outbound, Peers, Permit, Phase, Preamble,
    Stream, Sweeper, Watch, shake_hands,
};
use crate::ring::Socket;
use crate::tls::{self, Tls};

/// Told to those beyond the limits of connections.
pub const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Content-Length: 112\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"too many connections\",\"rslt\":\"ERROR\"}";

/// Answers requests.
pub trait Service: 'static {
    /// Answers one request. An error before the reply has begun should have been replied by then; otherwise
    /// the connection is just closed.
    fn call(&self, exchange: &mut Exchange) -> impl Future<Output = Result<(), Error>>;
}

/// What the connections of a shard share.
pub struct Shard {
    /// Number of the shard, its place in `peers`.
    pub number: usize,
    /// Enforces the deadlines.
    pub sweeper: Rc<Sweeper>,
    /// Says when to end.
    pub drain: Rc<Drain>,
    /// Where connections can move to.
    pub peers: Peers,
    /// TLS handshakes under way.
    pub handshakes: Rc<Handshakes>,
}

/// The halves of a connection between two requests.
struct Connection {
    stream: Rc<Stream>,
    watch: Rc<Watch>,
    inbound: Inbound,
    outbound: Outbound,
    /// Whom another node passes requests on for by this connection.
    relay: Option<Relay>,
}

/// What is known of the clients of another node.
struct Relay {
    /// Who may be a client.
    clients: Arc<Admission>,
    /// What went before the next request.
    next: Option<Preamble>,
}

/// A client that has come to another node.
pub(super) struct Origin {
    pub(super) peer: SocketAddr,
    pub(super) via: Via,
    /// Its right to be served; `None` if there are too many.
    permit: Option<Permit>,
}

impl Connection {
    fn new(stream: Rc<Stream>, watch: Rc<Watch>, unread: Vec<u8>) -> Self {
        Self {
            inbound: Inbound::new(Rc::clone(&stream), Rc::clone(&watch), unread),
            outbound: Outbound::new(Rc::clone(&stream), Rc::clone(&watch)),
            stream,
            watch,
            relay: None,
        }
    }
}

/// Serves a plain connection to its end.
pub async fn serve_plain<S: Service>(shard: Rc<Shard>, service: Rc<S>, socket: Socket, permit: Permit) {
    let socket = Rc::new(socket);
    let watch = shard.sweeper.watch(Rc::clone(&socket));
    let connection = Connection::new(Stream::plain(socket), watch, Vec::new());
    serve(shard, service, connection, permit).await;
}

/// Serves a TLS connection from its handshake to its end.
pub async fn serve_tls<S: Service>(
    shard: Rc<Shard>,
    service: Rc<S>,
    tls: Arc<Tls>,
    socket: Socket,
    permit: Permit,
) {
    let socket = Rc::new(socket);
    let watch = shard.sweeper.watch(Rc::clone(&socket));
    match shake_hands(&shard.handshakes, tls.http(), &socket, &watch, &[]).await {
        Ok(shaken) => {
            // Whoever has not sent a request by now is idle, and idle connections end when the node does.
            if !shard.drain.is_draining() {
                let stream = Stream::new(socket, Some(shaken.session));
                serve(shard, service, Connection::new(stream, watch, Vec::new()), permit).await;
            }
        }
        Err(HandshakeError::Plain(unread)) => {
            let error = Error::BadRequest("this port speaks TLS: ask for https://".to_owned());
            refuse(Connection::new(Stream::plain(socket), watch, unread), &error).await;
        }
        Err(error) => tracing::debug!(%error, peer = %socket.peer(), "no TLS connection"),
    }
}

/// Serves a connection that another node passes requests on by, to its end. `first` has been read from it.
pub async fn serve_relayed<S: Service>(
    shard: Rc<Shard>,
    service: Rc<S>,
    (stream, watch, inbound): (Rc<Stream>, Rc<Watch>, Inbound),
    (first, clients): (Preamble, Arc<Admission>),
    permit: Permit,
) {
    let connection = Connection {
        outbound: Outbound::new(Rc::clone(&stream), Rc::clone(&watch)),
        stream,
        watch,
        inbound,
        relay: Some(Relay {
            clients,
            next: Some(first),
        }),
    };
    serve(shard, service, connection, permit).await;
}

/// Goes on with a connection from another shard.
pub async fn resume<S: Service>(shard: Rc<Shard>, service: Rc<S>, handoff: Handoff) {
    let Handoff {
        fd,
        session,
        unread,
        permit,
        clients,
    } = handoff;
    match Socket::from_fd(fd) {
        Ok(socket) => {
            let socket = Rc::new(socket);
            let watch = shard.sweeper.watch(Rc::clone(&socket));
            let mut connection = Connection::new(Stream::new(socket, session), watch, unread);
            connection.relay = clients.map(|clients| Relay { clients, next: None });
            serve(shard, service, connection, permit).await;
        }
        Err(error) => tracing::debug!(%error, "a connection broke on its way between shards"),
    }
}

async fn serve<S: Service>(shard: Rc<Shard>, service: Rc<S>, mut connection: Connection, permit: Permit) {
    let mut moves = Moves::default();
    loop {
        let origin = match next_origin(&mut connection).await {
            Ok(Some(origin)) => origin,
            Ok(None) | Err(_) => return part(&connection),
        };
        let head = match next_head(&mut connection).await {
            Ok(Some(head)) => head,
            Ok(None) | Err(Error::Disconnected) => return part(&connection),
            Err(error) => return refuse(connection, &error).await,
        };
        let draining = shard.drain.is_draining();
        let crowded = origin.as_ref().is_some_and(|origin| origin.permit.is_none());
        let (mut exchange, relay) = exchange(connection, head, origin, !draining);
        let result = if draining {
            turn_away(&mut exchange, "the node is stopping").await
        } else if crowded {
            turn_away(&mut exchange, "too many connections").await
        } else {
            service.call(&mut exchange).await
        };
        if let Err(error) = &result {
            tracing::debug!(%error, "a request ended with an error");
        }
        let done = result.is_ok() && exchange.state == State::Done;
        let keep = exchange.keep && done && drop_rest(&mut exchange).await.is_ok();
        let preferred = exchange.preferred;
        let Exchange {
            stream,
            watch,
            inbound,
            outbound,
            state,
            ..
        } = exchange;
        connection = Connection {
            stream,
            watch,
            inbound,
            outbound,
            relay,
        };
        if !keep || shard.drain.is_draining() {
            if state == State::Done {
                linger(connection).await;
            }
            return;
        }
        if let Some(target) = moves.count(preferred, shard.number) {
            return hand_over(connection, permit, &shard, target);
        }
    }
}

/// Whom the next request is of; `Some(None)`: of who is at the other end. `None`: the peer is done.
async fn next_origin(connection: &mut Connection) -> Result<Option<Option<Origin>>, Error> {
    let Connection {
        watch,
        inbound,
        relay,
        ..
    } = connection;
    let Some(Relay { clients, next }) = relay else {
        return Ok(Some(None));
    };
    let preamble = match next.take() {
        Some(first) => first,
        None => match next_preamble(inbound, watch).await? {
            Some(preamble) => preamble,
            None => return Ok(None),
        },
    };
    let via = preamble.http_via().ok_or(Error::Disconnected)?;
    let permit = clients.admit(preamble.peer.ip());
    let peer = preamble.peer;
    Ok(Some(Some(Origin { peer, via, permit })))
}

/// What another node says before it passes something on; `None`: it is done.
///
/// # Errors
///
/// It is not understood, or the node is gone or too slow.
pub async fn next_preamble(inbound: &mut Inbound, watch: &Watch) -> Result<Option<Preamble>, Error> {
    watch.enter(Phase::Idle);
    if !inbound.begin().await? {
        return Ok(None);
    }
    watch.enter(Phase::Head);
    loop {
        match Preamble::read(inbound.bytes()) {
            Ok(Some((preamble, consumed))) => {
                inbound.consume(consumed);
                return Ok(Some(preamble));
            }
            Ok(None) if inbound.more(0).await? > 0 => {}
            Ok(None) => return Err(Error::Disconnected),
            Err(error) => {
                tracing::warn!(%error, "a connection from another node ends");
                return Err(Error::Disconnected);
            }
        }
    }
}

/// Counts requests in a row that belonged to one other shard.
#[derive(Default)]
struct Moves {
    target: Option<usize>,
    count: u32,
}

impl Moves {
    fn count(&mut self, preferred: Option<usize>, here: usize) -> Option<usize> {
        let preferred = preferred.filter(|&shard| shard != here);
        self.count = if preferred.is_some() && preferred == self.target {
            self.count + 1
        } else {
            1
        };
        self.target = preferred;
        preferred.filter(|_| self.count >= HANDOFF_AFTER_COUNT)
    }
}

async fn next_head(connection: &mut Connection) -> Result<Option<RequestHead>, Error> {
    let Connection {
        stream,
        watch,
        inbound,
        ..
    } = connection;
    watch.enter(Phase::Idle);
    if !inbound.begin().await? {
        return Ok(None);
    }
    watch.enter(Phase::Head);
    if !stream.is_tls() && inbound.bytes().first() == Some(&tls::FIRST_BYTE) {
        // TLS on the plain port: no answer that could be sent would be understood.
        return Ok(None);
    }
    loop {
        // Empty lines before it are passed over (RFC 9112 §2.2), and count as part of it.
        if let Some((head, consumed)) = wire::parse(inbound.bytes())? {
            inbound.consume(consumed);
            return Ok(Some(head));
        }
        if inbound.more(0).await? == 0 {
            return Ok(None);
        }
    }
}

fn exchange(
    connection: Connection,
    head: RequestHead,
    origin: Option<Origin>,
    keep: bool,
) -> (Exchange, Option<Relay>) {
    let Connection {
        stream,
        watch,
        inbound,
        outbound,
        relay,
    } = connection;
    let (body, keep) = (Body::new(head.framing()), keep && head.keep_alive());
    let exchange = Exchange {
        stream,
        watch,
        inbound,
        outbound,
        head,
        body,
        state: State::Unstarted,
        keep,
        preferred: None,
        status: None,
        origin,
    };
    (exchange, relay)
}

/// Answers a request that is not begun. Of those that came after the node was told to stop none is: what is done by the
/// deadline is only what was under way.
async fn turn_away(exchange: &mut Exchange, why: &str) -> Result<(), Error> {
    let error = Error::Unavailable {
        detail: why.to_owned(),
        retry_after: Duration::from_secs(DRAIN_RETRY_S),
    };
    problem::tell(exchange, error).await
}

/// Reads what the handler left of a body that is known to be small.
async fn drop_rest(exchange: &mut Exchange) -> Result<(), Error> {
    if exchange.body.remaining() == Some(0) {
        return Ok(());
    }
    exchange.watch.enter(Phase::Body);
    loop {
        let n = exchange.body.fill(&mut exchange.inbound).await?;
        if n == 0 {
            return Ok(());
        }
        exchange.body.consume(&mut exchange.inbound, n);
    }
}

/// Answers a head that cannot be understood, and closes.
async fn refuse(connection: Connection, error: &Error) {
    let Connection {
        watch,
        mut outbound,
        stream,
        inbound,
        relay,
    } = connection;
    watch.enter(Phase::Reply);
    let Some(reply) = problem::reply(error) else {
        return;
    };
    reply
        .head
        .write(outbound.held(), Some(reply.body.len() as u64), false, false, true);
    if outbound.send(&reply.body, b"").await.is_ok() {
        linger(Connection {
            stream,
            watch,
            inbound,
            outbound,
            relay,
        })
        .await;
    }
}

/// Ends a connection between two requests: TLS has a last word.
fn part(connection: &Connection) {
    if connection.stream.is_tls() {
        connection.stream.end();
    }
}

/// Lets a client that is still sending read the reply: closing now would reset the connection.
async fn linger(mut connection: Connection) {
    connection.outbound.end().await;
    connection.watch.enter(Phase::Head);
    let mut dropped = 0;
    while dropped < LINGER_MAX_BYTES {
        let held = connection.inbound.bytes().len();
        connection.inbound.consume(held);
        match connection.inbound.more(0).await {
            Ok(n) if n > 0 => dropped += n as u64,
            _ => return,
        }
    }
}

fn hand_over(connection: Connection, permit: Permit, shard: &Shard, target: usize) {
    let Connection {
        stream,
        watch,
        mut inbound,
        outbound,
        relay,
    } = connection;
    let unread = inbound.take_unread();
    drop((watch, inbound, outbound));
    let Some((socket, session)) = Rc::into_inner(stream).map(Stream::into_parts) else {
        return;
    };
    let fd = Rc::into_inner(socket).and_then(|socket| socket.into_fd().ok());
    if let (Some(fd), Some(peer)) = (fd, shard.peers.get(target)) {
        // A shard that is gone takes the connection with it.
        drop(peer.send(Handoff {
            fd,
            session,
            unread,
            permit,
            clients: relay.map(|relay| relay.clients),
        }));
    }
}
