//! tokio, with dice that a simulation can seed.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioInstant, TokioRuntime};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// openraft's runtime on tokio. Its dice are the thread's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runtime;

thread_local! {
    static DICE: RefCell<SmallRng> = RefCell::new(SmallRng::from_entropy());
}

/// Makes the dice of this thread fall the same every time.
#[cfg(test)]
pub(crate) fn seed_dice(seed: u64) {
    DICE.with_borrow_mut(|dice| *dice = SmallRng::seed_from_u64(seed));
}

/// The dice of the thread.
pub(crate) struct Dice;

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        DICE.with_borrow_mut(RngCore::next_u32)
    }

    fn next_u64(&mut self) -> u64 {
        DICE.with_borrow_mut(RngCore::next_u64)
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        DICE.with_borrow_mut(|dice| dice.fill_bytes(to));
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(to);
        Ok(())
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = Dice;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Dice
    }

    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>)
    where
        T: OptionalSend,
    {
        TokioRuntime::oneshot()
    }
}
