//! What keeps a connection from growing: how much it has asked for and how much it has been answered.
//!
//! Requests are taken from the client while less than [`SFTP_REQUESTS_MAX_BYTES`] of them wait. Beyond, nothing is
//! read any more, unless a session waits for the client to take replies: the message by which the client says that it
//! has may lie behind more requests. So reading goes on then, but the client is granted next to no window for more.
//! A client that sends without a window is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::task::AtomicWaker;

use crate::clock;
use crate::limits::{
    SFTP_REPLIES_MAX_BYTES, SFTP_REQUESTS_MAX_BYTES, SFTP_TIGHT_WINDOW_BYTES, SFTP_WINDOW_BYTES,
};

/// The state of a connection that its threads share.
pub(super) struct Flow {
    /// When it began.
    since: Instant,
    /// When something was last asked for or answered, in milliseconds from then.
    active_ms: AtomicU64,
    /// Bytes of requests that were read and are not done.
    queued: AtomicUsize,
    /// Sessions that wait for the client to take replies.
    blocked: AtomicUsize,
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            since: clock::monotonic(),
            active_ms: AtomicU64::default(),
            queued: AtomicUsize::default(),
            blocked: AtomicUsize::default(),
            cut: AtomicBool::default(),
            reader: AtomicWaker::default(),
            writer: AtomicWaker::default(),
        }
    }
}

impl Flow {
    /// How long nothing was asked for or answered.
    pub(super) fn idle(&self) -> Duration {
        let active = Duration::from_millis(self.active_ms.load(Ordering::Relaxed));
        clock::monotonic()
            .duration_since(self.since)
            .saturating_sub(active)
    }

    /// Something was asked for or answered.
    pub(super) fn touch(&self) {
        let now = clock::monotonic().duration_since(self.since).as_millis();
        self.active_ms
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes of requests were read.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
    }

    /// They are done.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        if before >= SFTP_REQUESTS_MAX_BYTES {
            self.reader.wake();
        }
    }

    /// Bytes of requests that wait.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// The window that the client is granted.
    pub(super) fn window(&self) -> u32 {
        if self.queued() < SFTP_REQUESTS_MAX_BYTES {
            SFTP_WINDOW_BYTES
        } else {
            SFTP_TIGHT_WINDOW_BYTES
        }
    }

    /// Ends the connection: nothing is read or written any more, and what was asked for is not begun.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// Whether it has been ended.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Whether the client may be read from; if not, the task is woken when it may.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        let full = self.queued() >= SFTP_REQUESTS_MAX_BYTES && self.blocked.load(Ordering::Acquire) == 0;
        if full && !self.is_cut() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Has a task that writes woken when the connection is cut.
    pub(super) fn watch_writing(&self, cx: &mut Context<'_>) {
        self.writer.register(cx.waker());
    }
}

/// Where the replies of a session go.
pub(super) struct Outlet {
    replies: mpsc::UnboundedSender<Vec<u8>>,
    unsent: Arc<Unsent>,
    flow: Arc<Flow>,
}

/// Replies on their way to the client.
#[derive(Default)]
struct Unsent {
    bytes: AtomicUsize,
    gone: AtomicBool,
    /// Whether the session has not done all that it was asked for.
    failed: AtomicBool,
    waker: AtomicWaker,
}

/// Where the replies of a session come from. Dropped, it lets the session know that nobody takes them.
pub(super) struct Replies {
    replies: mpsc::UnboundedReceiver<Vec<u8>>,
    unsent: Arc<Unsent>,
}

/// A way for the replies of a session.
pub(super) fn outlet(flow: Arc<Flow>) -> (Outlet, Replies) {
    let (sender, replies) = mpsc::unbounded();
    let unsent = Arc::new(Unsent::default());
    let outlet = Outlet {
        replies: sender,
        unsent: Arc::clone(&unsent),
        flow,
    };
    (outlet, Replies { replies, unsent })
}

impl Outlet {
    /// Sends a reply. [`Outlet::room`] was waited for before the request was begun.
    pub(super) fn send(&self, reply: Vec<u8>) {
        self.unsent.bytes.fetch_add(reply.len(), Ordering::AcqRel);
        // Nobody takes it if the client has gone.
        let _ = self.replies.unbounded_send(reply);
    }

    /// Notes that not all was done: the client is told when the channel ends.
    pub(super) fn fails(&self) {
        self.unsent.failed.store(true, Ordering::Release);
    }

    /// Whether nobody takes replies any more.
    pub(super) fn is_gone(&self) -> bool {
        self.unsent.gone.load(Ordering::Acquire)
    }

    /// Waits until the client has taken enough replies for there to be more.
    pub(super) async fn room(&self) {
        if self.unsent.has_room() {
            return;
        }
        let blocked = Blocked::new(&self.flow);
        std::future::poll_fn(|cx| {
            self.unsent.waker.register(cx.waker());
            if self.unsent.has_room() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        drop(blocked);
    }
}

impl Unsent {
    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < SFTP_REPLIES_MAX_BYTES || self.gone.load(Ordering::Acquire)
    }
}

/// A session that waits for the client.
struct Blocked<'a>(&'a Flow);

impl<'a> Blocked<'a> {
    fn new(flow: &'a Flow) -> Self {
        flow.blocked.fetch_add(1, Ordering::AcqRel);
        flow.reader.wake();
        Self(flow)
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.blocked.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Replies {
    /// The next reply, with those behind it that are there already, up to about `joined` bytes; and how many bytes that is.
    /// `None` when there are no more.
    pub(super) async fn next(&mut self, joined: usize) -> Option<(Vec<u8>, usize)> {
        let mut reply = self.replies.next().await?;
        while reply.len() < joined
            && let Ok(next) = self.replies.try_recv()
        {
            reply.extend_from_slice(&next);
        }
        let bytes = reply.len();
        Some((reply, bytes))
    }

    /// What the session's end is told as: 0 if all was done.
    pub(super) fn exit_status(&self) -> u32 {
        u32::from(self.unsent.failed.load(Ordering::Acquire))
    }

    /// The client, or what sends to it, has taken bytes of replies.
    pub(super) fn taken(&self, bytes: usize) {
        self.unsent.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.unsent.waker.wake();
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.unsent.gone.store(true, Ordering::Release);
        self.unsent.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_open(flow: &Flow) -> bool {
        flow.poll_open(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_full_queue_stops_reading_unless_the_client_has_replies_to_take() {
        let flow = Arc::new(Flow::default());
        assert_eq!(flow.window(), SFTP_WINDOW_BYTES);
        flow.queue(SFTP_REQUESTS_MAX_BYTES);
        assert!(!is_open(&flow));
        assert_eq!(flow.window(), SFTP_TIGHT_WINDOW_BYTES);
        let (outlet, replies) = outlet(Arc::clone(&flow));
        outlet.send(vec![0; SFTP_REPLIES_MAX_BYTES]);
        let mut room = Box::pin(outlet.room());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll(&mut cx).is_pending());
        assert!(is_open(&flow), "the client's word may lie behind requests");
        replies.taken(1);
        assert!(room.as_mut().poll(&mut cx).is_ready());
        assert!(!is_open(&flow));
        flow.release(1);
        assert!(is_open(&flow));
        flow.queue(1);
        flow.cut();
        assert!(is_open(&flow), "to see that it is cut");
    }

    #[test]
    fn nobody_waits_for_a_client_that_has_gone() {
        let (outlet, replies) = outlet(Arc::default());
        outlet.send(vec![0; SFTP_REPLIES_MAX_BYTES]);
        drop(replies);
        futures::executor::block_on(outlet.room());
    }
}
