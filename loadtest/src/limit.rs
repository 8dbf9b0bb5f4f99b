//! A limit to how long a request may take.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// The limit of a connection's requests, one after the other. They share one timer, which is set anew only when it has rung
/// and the request of that moment may go on: setting it for each costs more than all else that is done for a small one.
#[derive(Default)]
pub struct Limit {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Limit {
    /// What something comes to, or none if it does not end before that time.
    pub async fn before<T>(&mut self, end: Instant, act: impl Future<Output = T>) -> Option<T> {
        let end = end.into();
        let mut act = pin!(act);
        poll_fn(|context| {
            if let Poll::Ready(done) = act.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
            // One with more time may have come before.
            if timer.deadline() > end {
                timer.as_mut().reset(end);
            }
            while timer.as_mut().poll(context).is_ready() {
                if timer.deadline() >= end {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(end);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn each_has_its_own_end() {
        let mut limit = Limit::default();
        let after = |ms| clock::now() + Duration::from_millis(ms);
        let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
        assert_eq!(limit.before(after(10), async { 7 }).await, Some(7));
        // The first timer is set here.
        assert_eq!(limit.before(after(5), wait(1)).await, Some(()));
        // It rings in the middle of this one, which may go on.
        assert_eq!(limit.before(after(60_000), wait(20)).await, Some(()));
        let end = after(10);
        assert_eq!(limit.before(end, std::future::pending::<()>()).await, None);
        assert!(clock::now() >= end);
        assert_eq!(limit.before(after(60_000), wait(5)).await, Some(()));
        assert_eq!(limit.before(after(1), std::future::pending::<()>()).await, None);
    }
}
