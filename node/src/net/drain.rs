//! The way to a stop: nothing new is taken, what is under way is finished, up to a deadline.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::watch::Sweeper;
use crate::limits::CUT_OFF_GRACE_MS;
use crate::ring;

/// Counts the connections of a shard and tells them to end.
#[derive(Default)]
pub struct Drain {
    draining: Cell<bool>,
    open: Cell<usize>,
    waiters: RefCell<Vec<oneshot::Sender<()>>>,
    started: RefCell<Vec<oneshot::Sender<()>>>,
}

/// One connection that is counted.
pub(crate) struct Counted(Rc<Drain>);

impl Drain {
    /// Nothing is open, nothing is draining.
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Whether connections end with the reply they are at.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Connections of this shard.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Stops accepting, after what is pending was accepted; closes idle connections at once and the rest when
    /// their request is answered, or after `deadline`. Returns how many had to be cut off.
    pub async fn drain(&self, sweepers: &[Rc<Sweeper>], deadline: Duration) -> usize {
        self.draining.set(true);
        self.started.borrow_mut().drain(..).for_each(notify);
        // The acceptor takes what is pending before idle connections are counted.
        ring::yield_now().await;
        sweepers.iter().for_each(|sweeper| sweeper.close_idle());
        let (sender, all_closed) = oneshot::channel();
        if self.open.get() == 0 {
            return 0;
        }
        self.waiters.borrow_mut().push(sender);
        let timeout = std::pin::pin!(ring::sleep(deadline));
        match select(all_closed, timeout).await {
            Either::Left(_) => 0,
            Either::Right((_, all_closed)) => {
                let cut_off = self.open.get();
                sweepers.iter().for_each(|sweeper| sweeper.close_all());
                let grace = std::pin::pin!(ring::sleep(Duration::from_millis(CUT_OFF_GRACE_MS)));
                select(all_closed, grace).await;
                cut_off
            }
        }
    }

    /// Resolves once draining has begun.
    pub(crate) async fn begun(&self) {
        if self.draining.get() {
            return;
        }
        let (sender, begun) = oneshot::channel();
        self.started.borrow_mut().push(sender);
        let _ = begun.await;
    }

    pub(crate) fn count(self: &Rc<Self>) -> Counted {
        self.open.set(self.open.get() + 1);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        if self.0.open.get() == 0 {
            self.0.waiters.borrow_mut().drain(..).for_each(notify);
        }
    }
}

fn notify(waiter: oneshot::Sender<()>) {
    // Whoever waited may have given up.
    let _ = waiter.send(());
}
