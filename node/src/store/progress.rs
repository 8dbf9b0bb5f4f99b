//! How far the cluster has a log, for all threads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// How far a log is, and how far the cluster has it.
#[derive(Debug, Default)]
pub struct Progress {
    applied: AtomicU64,
    shipped: AtomicU64,
    /// When the oldest change that is not shipped was applied, at the earliest.
    since_ms: AtomicI64,
    waiting: Mutex<Vec<Waker>>,
}

impl Progress {
    /// Sequence of the last change that clients of this node see.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Sequence of the last change that the cluster has acknowledged.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Acquire)
    }

    /// For how long there has been something that the cluster does not have, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, now_ms: i64) -> u64 {
        if self.shipped() >= self.applied() {
            return 0;
        }
        let since = self.since_ms.load(Ordering::Acquire);
        u64::try_from(now_ms.saturating_sub(since)).unwrap_or(0)
    }

    /// Waits until the cluster has acknowledged a change. The caller sets a limit of time.
    pub async fn wait_shipped(&self, sequence: u64) {
        poll_fn(|context| {
            let mut waiting = self.waiting();
            if self.shipped() >= sequence {
                return Poll::Ready(());
            }
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Notes what is applied; `now_ms` counts if all before it was shipped.
    pub(super) fn set_applied(&self, sequence: u64, now_ms: i64) {
        if self.shipped() >= self.applied() {
            self.since_ms.store(now_ms, Ordering::Release);
        }
        self.applied.store(sequence, Ordering::Release);
    }

    /// Notes what is shipped. All that was applied at `as_of_ms` is, if that is told.
    pub(super) fn set_shipped(&self, sequence: u64, as_of_ms: Option<i64>) {
        if let Some(as_of_ms) = as_of_ms {
            self.since_ms.store(as_of_ms, Ordering::Release);
        }
        let woken = {
            let mut waiting = self.waiting();
            self.shipped.store(sequence, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn lag_counts_from_the_oldest_change_that_is_not_shipped() {
        let progress = Progress::default();
        assert_eq!(progress.lag_ms(100), 0);
        progress.set_applied(1, 100);
        progress.set_applied(2, 150);
        assert_eq!(progress.lag_ms(160), 60);
        progress.set_shipped(1, None);
        assert_eq!(progress.lag_ms(170), 70, "nobody has said how new that was");
        progress.set_applied(3, 180);
        progress.set_shipped(2, Some(165));
        assert_eq!(progress.lag_ms(180), 15);
        progress.set_shipped(3, Some(181));
        assert_eq!(progress.lag_ms(9000), 0);
        progress.set_applied(4, 9000);
        assert_eq!(progress.lag_ms(9001), 1, "silence is no lag");
    }

    #[test]
    fn who_waits_is_woken() {
        let progress = Progress::default();
        progress.set_applied(2, 0);
        let mut waiting = std::pin::pin!(progress.wait_shipped(2));
        assert!(waiting.as_mut().now_or_never().is_none());
        progress.set_shipped(1, None);
        assert!(waiting.as_mut().now_or_never().is_none());
        progress.set_shipped(2, None);
        assert!(waiting.as_mut().now_or_never().is_some());
    }
}
