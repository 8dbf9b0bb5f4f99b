//! A connection, from the side that asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::frame::{Decoder, Frame, HEADER_BYTES, Kind};
use super::tls::{Reader, Stream, Writer};
use super::{CallError, Destination, Identity, Method, Refusal};
use crate::limits::{
    FRAME_COPY_MAX_BYTES, FRAME_MAX_BYTES, FRAMES_QUEUED_MAX_COUNT, HELLO_MAX_BYTES, READ_MAX_BYTES,
    READ_MIN_BYTES, WATCH_QUEUED_MAX_COUNT,
};

/// Who waits for a number.
enum Waiter {
    Call(oneshot::Sender<Result<Bytes, CallError>>),
    Watch(mpsc::Sender<Result<Bytes, CallError>>),
}

/// Who waits, and why nobody does any more.
#[derive(Default)]
struct Waiting {
    waiters: HashMap<u64, Waiter>,
    closed: Option<String>,
}

/// A connection that is welcome. Clones share it; it is closed when all are dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    out: mpsc::Sender<Frame>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    next: AtomicU64,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, why: &str) {
        let waiters = {
            let mut waiting = self.waiting();
            waiting.closed.get_or_insert_with(|| why.to_owned());
            std::mem::take(&mut waiting.waiters)
        };
        for waiter in waiters.into_values() {
            let lost = Err(CallError::Lost(why.to_owned()));
            match waiter {
                Waiter::Call(waiter) => drop(waiter.send(lost)),
                // A full queue ends without a reason, which says the same.
                Waiter::Watch(waiter) => drop(waiter.try_send(lost)),
            }
        }
    }
}

/// Takes a waiter away when nobody waits any more.
struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.waiting().waiters.remove(&self.number);
    }
}

/// A stream of items. Dropping it ends it.
pub struct Watch {
    items: mpsc::Receiver<Result<Bytes, CallError>>,
    out: mpsc::Sender<Frame>,
    place: Place,
}

impl Watch {
    /// The next item; `None` when the other has ended the stream. After an error there are no more: the stream may have
    /// been ended because this side fell behind, so it has to be resumed where it was.
    pub async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        self.items.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // With a full queue the connection is about to end anyway.
        let _ = self
            .out
            .try_send(Frame::new(Kind::Cancel, self.place.number, Bytes::new()));
    }
}

impl Connection {
    /// Says hello on a fresh stream and waits for the welcome.
    pub(super) async fn open(
        mut stream: Stream,
        cluster: &str,
        us: &Identity,
        to: &Destination,
    ) -> Result<Self, CallError> {
        let unreachable = |why: String| CallError::Unreachable(why);
        if let Some(identities) = &stream.identities
            && !identities.contains(&Identity::member(to.member))
        {
            return Err(unreachable(format!(
                "{} has no certificate of member {}",
                to.address, to.member
            )));
        }
        let hello = Frame::new(Kind::Hello, 0, write_hello(cluster, us, to.member));
        let mut bytes = BytesMut::new();
        put(&mut bytes, &hello);
        let written = stream.writer.write_all(&bytes).await;
        written.map_err(|error| unreachable(error.to_string()))?;
        let mut decoder = Decoder::new(HELLO_MAX_BYTES);
        let answer = read_frame(&mut stream.reader, &mut decoder).await;
        match answer.map_err(unreachable)? {
            Some(frame) if frame.kind == Kind::Welcome => {}
            Some(frame) if frame.kind == Kind::Refusal => return Err(Refusal::read(frame.body).into()),
            _ => return Err(unreachable(format!("{} is no member of a cluster", to.address))),
        }
        decoder.max_bytes = FRAME_MAX_BYTES;
        let shared = Arc::new(Shared::default());
        let (out, frames) = mpsc::channel(FRAMES_QUEUED_MAX_COUNT);
        let ended = Arc::clone(&shared);
        let writing = tokio::spawn(async move {
            let why = match write_frames(stream.writer, frames).await {
                Ok(()) => "closed".to_owned(),
                Err(error) => error.to_string(),
            };
            ended.close(&why);
        });
        let ended = Arc::clone(&shared);
        tokio::spawn(async move {
            let why = read_answers(&mut stream.reader, &mut decoder, &ended).await;
            ended.close(&why);
            // A peer that has ended reads nothing more either.
            writing.abort();
        });
        Ok(Self { shared, out })
    }

    /// Whether it can be used no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.waiting().closed.is_some()
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// If the other refuses, or the connection ends before it answers.
    pub async fn call(&self, method: Method, body: Bytes) -> Result<Bytes, CallError> {
        let (sender, receiver) = oneshot::channel();
        let _place = self
            .ask(Kind::Request, method, body, Waiter::Call(sender))
            .await?;
        let lost = || CallError::Lost("the connection has ended".to_owned());
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Asks for a stream.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub async fn watch(&self, method: Method, body: Bytes) -> Result<Watch, CallError> {
        let (sender, items) = mpsc::channel(WATCH_QUEUED_MAX_COUNT);
        let place = self.ask(Kind::Watch, method, body, Waiter::Watch(sender)).await?;
        Ok(Watch {
            items,
            out: self.out.clone(),
            place,
        })
    }

    async fn ask(&self, kind: Kind, method: Method, body: Bytes, waiter: Waiter) -> Result<Place, CallError> {
        if body.len() > FRAME_MAX_BYTES {
            let refusal = format!("{} bytes, at most {FRAME_MAX_BYTES} are allowed", body.len());
            return Err(Refusal::BadRequest(refusal).into());
        }
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut waiting = self.shared.waiting();
            if let Some(why) = &waiting.closed {
                return Err(CallError::Unreachable(why.clone()));
            }
            waiting.waiters.insert(number, waiter);
        }
        let place = Place {
            shared: Arc::clone(&self.shared),
            number,
        };
        let frame = Frame {
            kind,
            method,
            number,
            body,
        };
        let ended = |_| CallError::Unreachable("the connection has ended".to_owned());
        self.out.send(frame).await.map_err(ended)?;
        Ok(place)
    }
}

/// Takes what the other sends to who waits for it. Returns why it ended.
async fn read_answers(reader: &mut Reader, decoder: &mut Decoder, shared: &Shared) -> String {
    loop {
        let frame = match read_frame(reader, decoder).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the other has closed the connection".to_owned(),
            Err(why) => return why,
        };
        let mut waiting = shared.waiting();
        // Who gave up is gone; what comes for it late is dropped.
        if frame.kind == Kind::Item {
            let fell_behind = match waiting.waiters.get(&frame.number) {
                Some(Waiter::Watch(items)) => items.try_send(Ok(frame.body)).is_err(),
                _ => false,
            };
            if fell_behind {
                waiting.waiters.remove(&frame.number);
            }
            continue;
        }
        let waiter = waiting.waiters.remove(&frame.number);
        drop(waiting);
        match (waiter, frame.kind) {
            (Some(Waiter::Call(waiter)), Kind::Answer) => drop(waiter.send(Ok(frame.body))),
            (Some(Waiter::Call(waiter)), Kind::Refusal) => {
                drop(waiter.send(Err(Refusal::read(frame.body).into())));
            }
            (Some(Waiter::Watch(items)), Kind::Refusal) => {
                drop(items.try_send(Err(Refusal::read(frame.body).into())));
            }
            (Some(Waiter::Watch(_)), Kind::End) | (None, _) => {}
            (Some(Waiter::Call(_) | Waiter::Watch(_)), _) => return "an answer of the wrong kind".to_owned(),
        }
    }
}

/// Reads a frame; `None` at the end between two.
pub(super) async fn read_frame(reader: &mut Reader, decoder: &mut Decoder) -> Result<Option<Frame>, String> {
    loop {
        if let Some(frame) = decoder.next_frame().map_err(|error| error.to_string())? {
            return Ok(Some(frame));
        }
        // Memory grows with what has come, not with what a header promises.
        let room = decoder.buffer.len().clamp(READ_MIN_BYTES, READ_MAX_BYTES);
        decoder.buffer.reserve(room);
        match reader.read_buf(&mut decoder.buffer).await {
            Ok(0) if decoder.buffer.is_empty() => return Ok(None),
            Ok(0) => return Err("the connection ended within a frame".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Writes frames until there are no more senders: all that wait in one go.
pub(super) async fn write_frames(
    mut writer: Writer,
    mut frames: mpsc::Receiver<Frame>,
) -> std::io::Result<()> {
    let mut waiting = Vec::new();
    let mut bytes = BytesMut::new();
    while frames.recv_many(&mut waiting, FRAMES_QUEUED_MAX_COUNT).await > 0 {
        for frame in waiting.drain(..) {
            if frame.body.len() <= FRAME_COPY_MAX_BYTES {
                put(&mut bytes, &frame);
            } else {
                bytes.put_slice(&frame.header());
                writer.write_all_buf(&mut (&mut bytes).chain(frame.body)).await?;
            }
        }
        writer.write_all_buf(&mut bytes).await?;
        writer.flush().await?;
        bytes.clear();
    }
    writer.shutdown().await
}

pub(super) fn put(to: &mut BytesMut, frame: &Frame) {
    to.reserve(HEADER_BYTES + frame.body.len());
    to.put_slice(&frame.header());
    to.put_slice(&frame.body);
}

/// # Layout
///
/// The member that is wanted (8), role (1), length of the name (2), name, name of the cluster.
pub(super) fn write_hello(cluster: &str, us: &Identity, member: u64) -> Bytes {
    let mut to = BytesMut::new();
    to.put_u64_le(member);
    to.put_u8(us.role as u8);
    to.put_u16_le(u16::try_from(us.name.len()).unwrap_or(u16::MAX));
    to.put_slice(us.name.as_bytes());
    to.put_slice(cluster.as_bytes());
    to.freeze()
}

/// The member that is wanted, who wants it, name of the cluster.
pub(super) fn read_hello(mut from: Bytes) -> Option<(u64, Identity, String)> {
    let member = from.try_get_u64_le().ok()?;
    let role = super::Role::of(from.try_get_u8().ok()?)?;
    let length = usize::from(from.try_get_u16_le().ok()?);
    if length > from.len() {
        return None;
    }
    let name = String::from_utf8(from.split_to(length).to_vec()).ok()?;
    let cluster = String::from_utf8(from.to_vec()).ok()?;
    Some((member, Identity { role, name }, cluster))
}
