//! A timer that is exact to some microseconds. The runtime's own rounds up to a millisecond, which would be most of a
//! latency.
#![allow(
    unsafe_code,
    reason = "the runtime takes descriptors on the promise that they stay what they are"
)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;

/// A timer.
pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// One of the runtime that this runs in.
    ///
    /// # Errors
    ///
    /// If the system has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // SAFETY: the timer owns its descriptor, and nobody else can close or replace it while it is in here.
        let registered = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until it is that time.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn wait_until(&self, time: Instant) -> io::Result<()> {
        let wait = time.saturating_duration_since(clock::now());
        let Ok(it_value) = Timespec::try_from(wait) else {
            return Ok(());
        };
        if wait.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // Setting it again is what takes the event away, so it is never read. One that was left by a wait which was
            // given up is passed over.
            ready.clear_ready();
            if clock::now() >= time {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_waits_again_and_again() {
        let timer = Timer::new().unwrap();
        for wait in [3, 0, 5, 1] {
            let time = clock::now() + Duration::from_millis(wait);
            timer.wait_until(time).await.unwrap();
            assert!(clock::now() >= time);
        }
        // A wait that was given up does not cut the next one short.
        let given_up = timer.wait_until(clock::now() + Duration::from_millis(2));
        let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
        let time = clock::now() + Duration::from_millis(20);
        timer.wait_until(time).await.unwrap();
        assert!(clock::now() >= time);
    }
}
