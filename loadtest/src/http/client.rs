//! A client of HTTP/1.1 with one connection: a request, then its answer.

use std::fmt::Write as _;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
/// One that has rested for so long is looked at first: some servers end it after a few seconds.
const REST_UNSEEN: Duration = Duration::from_millis(100);
/// Body from which it is dropped by the kernel instead of being copied.
const SKIP_MIN_BYTES: u64 = 32 * 1024;
/// How long a server may take to say that it wants a body. Some never say it (RFC 9110, 10.1.1).
const WANTED_WAIT: Duration = Duration::from_secs(1);
/// What most heads of requests take: the token is most of it.
const HEAD_USUAL_BYTES: usize = 1024;
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
    /// Where a 307 or a 308 sends the client.
    pub location: Option<String>,
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
    /// When it was used last, by the coarse clock.
    used: Duration,
    answer: Answer,
    /// What a body says that comes with another status than a 2xx.
    refusal: Vec<u8>,
}

impl Client {
    /// To a server.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            wire: None,
            used: clock::coarse(),
            answer: Answer::default(),
            refusal: Vec::new(),
        }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        let now = clock::coarse();
        let rested = now.saturating_sub(self.used);
        let is_good = |wire: &Wire| rested < REST_UNSEEN || rested < REST_MAX && !wire.has_ended();
        if !self.wire.as_ref().is_some_and(is_good) {
            let wire = Wire::connect(self.server.address).await?;
            self.wire = Some(match &self.server.tls {
                Some(config) => wire.secure(config, &self.server.target.host).await?,
                None => wire,
            });
        }
        self.used = now;
        Ok(())
    }

    /// The head of a request whose body, if it has one, is so long, with the empty line at its end and some room. The fields
    /// are whole lines, in pieces.
    #[must_use]
    pub fn head(
        &self,
        method: &str,
        route: &[&str],
        fields: &[&[&str]],
        length: Option<u64>,
        room: usize,
    ) -> String {
        let mut head = String::with_capacity(HEAD_USUAL_BYTES + room);
        head.push_str(method);
        head.push(' ');
        head.extend(route.iter().copied());
        head.push_str(" HTTP/1.1\r\nHost: ");
        head.push_str(&self.server.target.authority);
        head.push_str("\r\n");
        head.extend(fields.iter().flat_map(|pieces| pieces.iter().copied()));
        if let Some(length) = length {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
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
        let mut wire = self.begin().await?;
        let sent = send(&mut wire, head, payload).await;
        self.finish(wire, sent, sink).await
    }

    /// The same, but the body is sent only if the server says that it wants it, or says nothing. The head has to ask for that
    /// by `Expect: 100-continue`; what is in front of the payload is not in it.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being received.
    pub async fn answered_if_wanted(
        &mut self,
        head: &str,
        front: &str,
        payload: Payload<'_>,
        sink: &mut Sink,
    ) -> Result<Answered, Failure> {
        let mut wire = self.begin().await?;
        send(&mut wire, head, None).await?;
        let wanted = tokio::time::timeout(WANTED_WAIT, self.is_wanted(&mut wire));
        let sent = match wanted.await.unwrap_or(Ok(true))? {
            true => send(&mut wire, front, Some(payload)).await,
            // The server may still wait for a body behind that head, so that no other request can follow.
            false => Err(Failure::closed()),
        };
        self.finish(wire, sent, sink).await
    }

    /// Whether the server wants the body: false if it answers at once.
    async fn is_wanted(&mut self, wire: &mut Wire) -> Result<bool, Failure> {
        let answer = &mut self.answer;
        while !answer.goes_on() && answer.status() == 0 {
            let fed = wire.receive(|bytes| feed(answer, bytes, &mut Sink::Drop, &mut self.refusal));
            if fed.await??.is_none() {
                return Err(Failure::closed());
            }
        }
        Ok(answer.status() == 0)
    }

    /// A connection, taken out, so that one which is given up in the middle is not used again.
    async fn begin(&mut self) -> Result<Wire, Failure> {
        self.connect().await?;
        self.answer.reset();
        self.refusal.clear();
        self.wire.take().ok_or_else(Failure::closed)
    }

    /// Receives the answer after a request was sent or not.
    async fn finish(
        &mut self,
        mut wire: Wire,
        sent: Result<(), Failure>,
        sink: &mut Sink,
    ) -> Result<Answered, Failure> {
        let received = self.receive(&mut wire, sink).await;
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
            location: self.answer.take_location(),
            refusal: std::mem::take(&mut self.refusal),
        })
    }

    async fn receive(&mut self, wire: &mut Wire, sink: &mut Sink) -> Result<u64, Failure> {
        let (answer, refusal) = (&mut self.answer, &mut self.refusal);
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

/// Whether a file came whole, and as it should be if that is compared; its bytes.
///
/// # Errors
///
/// That it did not.
pub fn whole(sink: &Sink, received: u64, file: &File) -> Result<u64, Failure> {
    sink.finish()?;
    if received == file.size {
        return Ok(received);
    }
    let size = file.size;
    Err(Failure::wrong(format!("{received} bytes came instead of {size}")))
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
