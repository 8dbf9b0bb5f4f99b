//! A client of HTTP/1.1 with one connection: a request, then its answer.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;

use super::answer::Answer;
use super::archive::ArchiveCheck;
use super::token::Token;
use crate::clock;
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::limits::{BODY_KEPT_MAX_BYTES, PIECE_BYTES};
use crate::target::Target;
use crate::wire::Wire;

/// Servers end connections that nobody has used for a while; one that has rested for so long is not used again.
const REST_MAX: Duration = Duration::from_secs(10);
/// Body from which it is dropped by the kernel instead of being copied.
const SKIP_MIN_BYTES: u64 = 32 * 1024;
/// Body of a refusal that is kept.
const REFUSAL_MAX_BYTES: usize = 8192;

/// A server of the REST API.
#[derive(Debug)]
pub struct Server {
    /// As it was given.
    pub target: Target,
    /// Its address.
    pub address: SocketAddr,
    /// TLS, if it speaks it.
    pub tls: Option<Arc<ClientConfig>>,
    /// What requests carry.
    pub token: Arc<Token>,
}

/// Where a body goes.
pub enum Sink {
    /// Nowhere.
    Drop,
    /// Into memory.
    Keep(Vec<u8>),
    /// It is a file, and is compared.
    Check(Check),
    /// It is an archive, and is compared.
    Archive(Box<ArchiveCheck>),
}

impl Sink {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Drop => {}
            Self::Keep(kept) => {
                let room = BODY_KEPT_MAX_BYTES.saturating_sub(kept.len());
                kept.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            }
            Self::Check(check) => check.feed(bytes),
            Self::Archive(check) => check.feed(bytes),
        }
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        match self {
            Self::Keep(kept) => kept,
            _ => &[],
        }
    }
}

/// Content of a request.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// Where it is from.
    pub content: &'a Content,
    /// Number of the file.
    pub number: u64,
    /// Bytes of the file.
    pub size: u64,
    /// What comes behind it.
    pub tail: &'a [u8],
}

/// A connection to a server, made when it is needed.
pub struct Client {
    server: Arc<Server>,
    wire: Option<Wire>,
    used: Instant,
    answer: Answer,
}

impl Client {
    /// To a server.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            wire: None,
            used: clock::now(),
            answer: Answer::default(),
        }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        if self.wire.is_none() || self.used.elapsed() > REST_MAX {
            let wire = Wire::connect(self.server.address).await?;
            self.wire = Some(match &self.server.tls {
                Some(config) => wire.secure(config, &self.server.target.host).await?,
                None => wire,
            });
        }
        self.used = clock::now();
        Ok(())
    }

    /// A request with JSON.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but 200 included.
    pub async fn ask(&mut self, route: &str, body: &Value, sink: &mut Sink) -> Result<u64, Failure> {
        let body = body.to_string();
        let fields = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let head = self.head("POST", route, &fields) + &body;
        self.exchange(&head, None, sink).await
    }

    /// The head of a request, with the empty line at its end.
    #[must_use]
    pub fn head(&self, method: &str, route: &str, fields: &str) -> String {
        let token = self.server.token.get();
        let authority = &self.server.target.authority;
        let authorization = match &*token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        format!("{method} {route} HTTP/1.1\r\nHost: {authority}\r\n{authorization}{fields}\r\n")
    }

    /// Sends a request and receives its answer; the bytes of its body.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but 200 included.
    pub async fn exchange(
        &mut self,
        head: &str,
        payload: Option<Payload<'_>>,
        sink: &mut Sink,
    ) -> Result<u64, Failure> {
        self.connect().await?;
        // Taken out, so that a connection which is given up in the middle is not used again.
        let Some(mut wire) = self.wire.take() else {
            return Err(Failure::closed());
        };
        self.answer.reset();
        let sent = send(&mut wire, head, payload).await;
        let mut refusal = Vec::new();
        let received = self.receive(&mut wire, sink, &mut refusal).await;
        // A server that refuses a body may answer and stop reading: its answer says more than the broken pipe.
        let received = match (received, sent) {
            (Ok(received), _) => received,
            (Err(_), Err(sent)) => return Err(sent),
            (Err(received), Ok(())) => return Err(received),
        };
        if !self.answer.closes() {
            self.wire = Some(wire);
        }
        match self.answer.status() {
            200 => Ok(received),
            status => Err(Failure::refused(format!("HTTP {status}"), detail(&refusal))),
        }
    }

    async fn receive(
        &mut self,
        wire: &mut Wire,
        sink: &mut Sink,
        refusal: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let answer = &mut self.answer;
        let mut received = 0;
        while !answer.is_done() {
            let ahead = answer.body_ahead();
            if ahead >= SKIP_MIN_BYTES && matches!(sink, Sink::Drop) && matches!(wire, Wire::Plain(_)) {
                let dropped = wire.skip(usize::try_from(ahead).unwrap_or(usize::MAX)).await? as u64;
                if dropped == 0 {
                    answer
                        .end()
                        .map_err(|why| Failure::refused("connection closed", why).breaking())?;
                }
                answer.skipped(dropped);
                received += dropped;
                continue;
            }
            let fed = wire.receive(|bytes| feed(answer, bytes, sink, refusal)).await?;
            match fed? {
                Some(taken) => received += taken,
                None => answer
                    .end()
                    .map_err(|why| Failure::refused("connection closed", why).breaking())?,
            }
        }
        Ok(received)
    }
}

/// Bytes of the body among these; none if the connection has ended.
fn feed(
    answer: &mut Answer,
    bytes: &[u8],
    sink: &mut Sink,
    refusal: &mut Vec<u8>,
) -> Result<Option<u64>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut taken = 0;
    let fed = answer.feed(bytes, |status, body| {
        taken += body.len() as u64;
        if status == 200 {
            sink.take(body);
        } else {
            let room = REFUSAL_MAX_BYTES.saturating_sub(refusal.len());
            refusal.extend_from_slice(body.get(..room.min(body.len())).unwrap_or_default());
        }
    });
    fed.map_err(Failure::malformed)?;
    Ok(Some(taken))
}

async fn send(wire: &mut Wire, head: &str, payload: Option<Payload<'_>>) -> Result<(), Failure> {
    let Some(payload) = payload else {
        return Ok(wire.send(&mut [IoSlice::new(head.as_bytes())]).await?);
    };
    let mut head = head.as_bytes();
    let mut at = 0;
    loop {
        let piece = payload
            .content
            .piece(payload.number, at, (payload.size - at).min(PIECE_BYTES as u64));
        at += piece.len() as u64;
        let tail = if at == payload.size { payload.tail } else { &[] };
        wire.send(&mut [IoSlice::new(head), IoSlice::new(piece), IoSlice::new(tail)])
            .await?;
        head = &[];
        if at == payload.size {
            return Ok(());
        }
    }
}

/// What a refusal says.
fn detail(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get("detail").and_then(Value::as_str) {
        Some(detail) => detail.to_owned(),
        None => String::from_utf8_lossy(body).trim().to_owned(),
    }
}
