//! A request of HTTP on its way to the node that has the files, and the answer on its way back.
//!
//! Bodies go on as they come, in as much memory as a connection has for its buffer: who is slow slows the other. The
//! client's connection can be used again afterwards, whoever it asks for then.

use std::pin::pin;

use futures::future::{Either, select};

use super::links::{Link, Links};
use crate::error::Error;
use crate::http::exchange::{
    BodyLength, ChunkStep, Chunks, Exchange, Framing, ReplyHead, RequestHead, ResponseHead,
};
use crate::metrics::{self, Via};
use crate::net::{Inbound, Outbound, Phase, Preamble, Relayed};

/// Fields that are about one connection, RFC 9110 §7.6.1, and those that each connection has of its own.
const OWN_FIELDS: [&str; 10] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// Why a body was not passed on to its end.
enum Broken {
    /// The client: what is to be told to it, if it is there.
    Client(Error),
    /// The other node takes no more.
    Link,
}

/// Has a node answer a request.
///
/// # Errors
///
/// [`Error::Unavailable`] if the node cannot be reached: nothing was done. [`Error::Gateway`] if it did not answer:
/// nobody knows whether it was done. Otherwise those of the client's connection.
pub async fn forward(links: &Links, node: u64, exchange: &mut Exchange) -> Result<(), Error> {
    let (mut link, was_kept) = links.get(node).await?;
    metrics::mine().via(exchange.via()).relayed.add(1);
    let preamble = Preamble {
        peer: exchange.peer(),
        what: Relayed::Http {
            secure: exchange.via() == Via::Https,
        },
    };
    let preamble = preamble.write().unwrap_or_default();
    let awaited = exchange.is_awaited();
    write_head(link.outbound.held(), &preamble, exchange.head(), awaited);
    if link.outbound.send(b"", b"").await.is_err() {
        if !was_kept {
            return Err(no_answer(node));
        }
        // It was ended while it was kept, so nobody has read this.
        link = links.connect(node).await?;
        write_head(link.outbound.held(), &preamble, exchange.head(), awaited);
        link.outbound.send(b"", b"").await.map_err(|_| no_answer(node))?;
    }
    let (answer, all_sent) = exchange_heads(&mut link, exchange, awaited)
        .await?
        .map_err(|_| no_answer(node))?;
    let usable = pass_back(&mut link, answer, exchange, node).await?;
    if usable && all_sent {
        links.put(node, link);
    }
    Ok(())
}

fn no_answer(node: u64) -> Error {
    Error::Gateway(format!(
        "node {node:016x}, which has the files, did not answer: whether this was done is unknown, look before it is \
         tried again"
    ))
}

fn write_head(out: &mut Vec<u8>, preamble: &[u8], head: &RequestHead, awaited: bool) {
    out.extend_from_slice(preamble);
    for part in [head.method(), " ", head.target(), " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let mut has_host = false;
    for (name, value) in head.fields() {
        let own = OWN_FIELDS
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
        has_host |= name.eq_ignore_ascii_case(b"host");
        if !own {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    // HTTP/1.0 need not have one.
    if !has_host {
        out.extend_from_slice(b"Host: relay\r\n");
    }
    match head.framing() {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if awaited {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Sends the body behind the head, and reads the head of the answer, which may come before all is sent: then the rest is not. Says
/// whether all was.
///
/// # Errors
///
/// The outer: of the client. The inner: the node does not answer.
async fn exchange_heads(
    link: &mut Link,
    exchange: &mut Exchange,
    awaited: bool,
) -> Result<Result<(ResponseHead, bool), Error>, Error> {
    let Link {
        inbound,
        outbound,
        receiving,
        ..
    } = link;
    receiving.enter(Phase::Head);
    if awaited {
        match next_head(inbound, true).await {
            Ok(head) if head.status() == 100 => {}
            other => return Ok(other.map(|head| (head, false))),
        }
    }
    // As long as the client sends, the node need not answer.
    receiving.enter(Phase::Busy);
    let chunked = exchange.head().framing() == Framing::Chunked;
    let answer = pin!(next_head(inbound, false));
    let sent = pin!(pass_on(exchange, outbound, chunked));
    match select(sent, answer).await {
        Either::Left((Err(Broken::Client(error)), _)) => Err(error),
        // What it has said before it took no more is read all the same.
        Either::Left((sent, answer)) => {
            receiving.enter(Phase::Head);
            Ok(answer.await.map(|head| (head, sent.is_ok())))
        }
        Either::Right((answer, _)) => Ok(answer.map(|head| (head, false))),
    }
}

/// Passes the body on.
async fn pass_on(exchange: &mut Exchange, outbound: &mut Outbound, chunked: bool) -> Result<(), Broken> {
    loop {
        let bytes = exchange.fill().await.map_err(Broken::Client)?;
        let n = bytes.len();
        if n == 0 {
            break;
        }
        let end: &[u8] = if chunked { b"\r\n" } else { b"" };
        if chunked {
            outbound.held().extend_from_slice(format!("{n:x}\r\n").as_bytes());
        }
        outbound.send(bytes, end).await.map_err(|_| Broken::Link)?;
        exchange.consume(n);
    }
    if chunked {
        outbound.send(b"0\r\n\r\n", b"").await.map_err(|_| Broken::Link)?;
    }
    Ok(())
}

/// The head of the answer; those that are only on the way to it are passed over, unless `any` is wanted.
async fn next_head(inbound: &mut Inbound, any: bool) -> Result<ResponseHead, Error> {
    loop {
        if let Some((head, consumed)) = ResponseHead::parse(inbound.bytes())? {
            inbound.consume(consumed);
            if any || head.status() >= 200 {
                return Ok(head);
            }
        } else if inbound.more(0).await? == 0 {
            return Err(Error::Disconnected);
        }
    }
}

/// Passes the answer back; whether the link can be used again.
async fn pass_back(
    link: &mut Link,
    answer: ResponseHead,
    exchange: &mut Exchange,
    node: u64,
) -> Result<bool, Error> {
    let is_head = exchange.head().method() == "HEAD";
    let framing = answer.framing().ok_or_else(|| no_answer(node))?;
    let length = match framing {
        Framing::None => BodyLength::Exact(0),
        Framing::Length(length) => BodyLength::Exact(length),
        Framing::Chunked => BodyLength::Chunked,
    };
    let mut head = ReplyHead::new(answer.status());
    for (name, value) in answer.fields() {
        if !OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            head = head.field(name, value);
        }
    }
    let has_body = !is_head && !matches!(answer.status(), 204 | 304);
    exchange.start(head, length).await?;
    link.receiving.enter(Phase::Body);
    if has_body {
        match framing {
            Framing::None => {}
            Framing::Length(length) => pass_length(&mut link.inbound, exchange, length).await?,
            Framing::Chunked => pass_chunks(&mut link.inbound, exchange).await?,
        }
    }
    exchange.finish().await?;
    Ok(answer.keeps() && link.inbound.bytes().is_empty())
}

async fn pass_length(inbound: &mut Inbound, exchange: &mut Exchange, length: u64) -> Result<(), Error> {
    let mut left = length;
    while left > 0 {
        if inbound.bytes().is_empty() && inbound.more(left).await? == 0 {
            return Err(Error::Disconnected);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let bytes = inbound.bytes();
        let bytes = bytes.get(..most).unwrap_or(bytes);
        exchange.write(bytes).await?;
        let n = bytes.len();
        inbound.consume(n);
        left -= n as u64;
    }
    Ok(())
}

async fn pass_chunks(inbound: &mut Inbound, exchange: &mut Exchange) -> Result<(), Error> {
    let mut chunks = Chunks::default();
    loop {
        match chunks.step(inbound.bytes()).map_err(|_| Error::Disconnected)? {
            ChunkStep::Skip(n) => inbound.consume(n),
            ChunkStep::Data(n) => {
                exchange
                    .write(inbound.bytes().get(..n).unwrap_or_default())
                    .await?;
                inbound.consume(n);
            }
            ChunkStep::End(n) => {
                inbound.consume(n);
                return Ok(());
            }
            ChunkStep::Need => {
                if inbound.more(u64::MAX).await? == 0 {
                    return Err(Error::Disconnected);
                }
            }
        }
    }
}
