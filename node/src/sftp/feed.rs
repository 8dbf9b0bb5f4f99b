//! What a client writes, on its way to a blob.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::queue::Queued;
use crate::error::Error;
use crate::ingest::Source;
use crate::metrics::Via;

/// Bytes that wait to be taken by the disk. They count as a request of the client until they are: a slow disk slows
/// the client and not the memory.
#[derive(Default)]
pub(super) struct Feed(RefCell<State>);

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    end: Option<End>,
    waker: Option<Waker>,
    /// Woken when all was taken.
    settled: Option<Waker>,
}

struct Chunk {
    packet: Queued,
    data: Range<usize>,
}

#[derive(Clone, Copy)]
enum End {
    /// All has come.
    Whole,
    /// No more will come.
    Broken,
    /// Nobody takes any more.
    Over,
}

impl Feed {
    /// Adds the bytes in a range of a packet.
    pub(super) fn push(&self, packet: Queued, data: Range<usize>) {
        let mut state = self.0.borrow_mut();
        if state.end.is_none() {
            state.chunks.push_back(Chunk { packet, data });
        }
        state.wake();
    }

    /// Says that all has come.
    pub(super) fn finish(&self) {
        self.end(End::Whole);
    }

    /// Says that no more will come, and that this is not all.
    pub(super) fn break_off(&self) {
        self.end(End::Broken);
    }

    /// Whether nobody takes any more: the disk has failed.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.0.borrow().end, Some(End::Over))
    }

    /// Waits until all that was fed is taken.
    pub(super) async fn settle(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.chunks.is_empty() {
                return Poll::Ready(());
            }
            state.settled = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn end(&self, end: End) {
        let mut state = self.0.borrow_mut();
        state.end = Some(end);
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Copies what there is.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let mut taken = 0;
        while let (Some(chunk), Some(spare)) = (self.chunks.front_mut(), out.get_mut(taken..)) {
            let bytes = chunk.packet.bytes().get(chunk.data.clone()).unwrap_or_default();
            let n = bytes.len().min(spare.len());
            let (Some(spare), Some(bytes)) = (spare.get_mut(..n), bytes.get(..n)) else {
                break;
            };
            spare.copy_from_slice(bytes);
            taken += n;
            chunk.data.start += n;
            if !chunk.data.is_empty() {
                break;
            }
            self.chunks.pop_front();
        }
        if let Some(settled) = self.settled.take_if(|_| self.chunks.is_empty()) {
            settled.wake();
        }
        taken
    }
}

/// Takes what is fed.
pub(super) struct Fed {
    feed: Rc<Feed>,
    via: Via,
}

impl Fed {
    pub(super) fn new(feed: Rc<Feed>, via: Via) -> Self {
        Self { feed, via }
    }
}

impl Source for Fed {
    fn via(&self) -> Option<Via> {
        Some(self.via)
    }

    async fn read_into(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        std::future::poll_fn(|cx| {
            let mut state = self.feed.0.borrow_mut();
            match (state.take(out), state.end) {
                (0, Some(End::Broken)) => Poll::Ready(Err(Error::Disconnected)),
                (0, None) => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                (taken, _) => Poll::Ready(Ok(taken)),
            }
        })
        .await
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        let mut state = self.feed.0.borrow_mut();
        if state.end.is_none() {
            state.end = Some(End::Over);
        }
        state.chunks.clear();
        if let Some(settled) = state.settled.take() {
            settled.wake();
        }
    }
}
