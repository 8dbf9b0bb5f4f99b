//! A client of HTTP/1.1 with one connection: a request, then its answer.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;

use super::answer::Answer;
use super::archive::ArchiveCheck;
use crate::clock;
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::files::File;
use crate::limits::{BODY_KEPT_MAX_BYTES, PIECE_BYTES};
use crate::target::Target;
use crate::wire::Wire;

/// Servers end connections that nobody has used for a while; one that has rested for so long is not used again.
const REST_MAX: Duration = Duration::from_secs(10);
/// Body from which it is dropped by the kernel instead of being copied.
const SKIP_MIN_BYTES: u64 = 32 * 1024;
/// Body of a refusal that is kept.
const REFUSAL_MAX_BYTES: usize = 8192;

/// A server of HTTP.
#[derive(Debug)]
pub struct Server {
    /// As it was given.
    pub target: Target,
    /// Its address.
    pub address: SocketAddr,
    /// TLS, if it speaks it.
    pub tls: Option<Arc<ClientConfig>>,
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

    /// Whether what was to be compared is as it should be.
    ///
    /// # Errors
    ///
    /// That it is not.
    pub fn finish(&self) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.finish().map_err(Failure::wrong),
            Self::Archive(check) => check.finish().map_err(Failure::wrong),
            Self::Drop | Self::Keep(_) => Ok(()),
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Bytes of the body.
    pub received: u64,
    /// What a body says that comes with another status than a 2xx.
    refusal: Vec<u8>,
}

impl Answered {
    /// The bytes of the body, if the status is a 2xx.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn success(self) -> Result<u64, Failure> {
        match self.status {
            200..300 => Ok(self.received),
            status => Err(Failure::refused(format!("HTTP {status}"), detail(&self.refusal))),
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

    /// The head of a request with these fields, which are whole lines, and the empty line at its end.
    #[must_use]
    pub fn head(&self, method: &str, route: &str, fields: &[&str]) -> String {
        let authority = &self.server.target.authority;
        let mut head = format!("{method} {route} HTTP/1.1\r\nHost: {authority}\r\n");
        head.extend(fields.iter().copied());
        head.push_str("\r\n");
        head
    }

    /// Sends a request and receives its answer; the bytes of its body.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but a 2xx included.
    pub async fn exchange(
        &mut self,
        head: &str,
        payload: Option<Payload<'_>>,
        sink: &mut Sink,
    ) -> Result<u64, Failure> {
        self.answered(head, payload, sink).await?.success()
    }

    /// Sends a request and receives its answer, whatever its status is.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being received.
    pub async fn answered(
        &mut self,
        head: &str,
        payload: Option<Payload<'_>>,
        sink: &mut Sink,
    ) -> Result<Answered, Failure> {
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
            (Ok(received), Ok(())) => {
                if !self.answer.closes() {
                    self.wire = Some(wire);
                }
                received
            }
            // What is left of the body cannot be sent any more, so that nothing else can.
            (Ok(received), Err(_)) => received,
            (Err(_), Err(sent)) => return Err(sent),
            (Err(received), Ok(())) => return Err(received),
        };
        Ok(Answered {
            status: self.answer.status(),
            received,
            refusal,
        })
    }

    /// Fetches a file by a request, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, another length included.
    pub async fn fetch(
        &mut self,
        head: &str,
        content: &Arc<Content>,
        file: &File,
        verify: bool,
    ) -> Result<u64, Failure> {
        let mut sink = match verify {
            true => Sink::Check(Check::new(content, file.number, file.size)),
            false => Sink::Drop,
        };
        let received = self.exchange(head, None, &mut sink).await?;
        sink.finish()?;
        if received == file.size {
            return Ok(received);
        }
        Err(Failure::wrong(format!(
            "{received} bytes came instead of {}",
            file.size
        )))
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
        if (200..300).contains(&status) {
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
