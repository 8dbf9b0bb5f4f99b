//! Waking tasks of the same shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A condition that tasks of one shard wait for.
#[derive(Debug, Default)]
pub(crate) struct Notify(RefCell<Vec<Waker>>);

impl Notify {
    /// Wakes everybody who waits.
    pub(crate) fn notify(&self) {
        for waker in self.0.take() {
            waker.wake();
        }
    }

    /// Waits for the next [`Notify::notify`].
    pub(crate) async fn next(&self) {
        let asked = Cell::new(false);
        self.until(|| asked.replace(true).then_some(())).await;
    }

    /// Waits until `ready` gives something. It is asked at once and after each [`Notify::notify`].
    pub(crate) async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match ready() {
            Some(done) => Poll::Ready(done),
            None => {
                let mut wakers = self.0.borrow_mut();
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}
