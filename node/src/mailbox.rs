//! Messages between the threads of the node.
//!
//! A message to a shard that sleeps costs a wake-up of another core, so whole connections and whole
//! changes are sent, never pieces of them.

use std::pin::pin;

use futures::StreamExt;
use futures::channel::mpsc;

/// The end that receives; one per shard and kind of message.
pub struct Mailbox<T>(mpsc::UnboundedReceiver<T>);

/// The end that sends; cheap to clone, usable from any thread.
pub struct Sender<T>(mpsc::UnboundedSender<T>);

/// A mailbox without messages. Its length is bounded by what senders wait for: each has a bounded number
/// of requests in hand.
#[must_use]
pub fn mailbox<T>() -> (Sender<T>, Mailbox<T>) {
    let (sender, receiver) = mpsc::unbounded();
    (Sender(sender), Mailbox(receiver))
}

impl<T> Mailbox<T> {
    /// The next message; `None` when no sender is left and all messages are taken.
    pub async fn next(&mut self) -> Option<T> {
        pin!(&mut self.0).next().await
    }

    /// A message that is there already.
    pub fn try_next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Sender<T> {
    /// Sends a message.
    ///
    /// # Errors
    /// The receiving end is gone; the message comes back.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.0
            .unbounded_send(message)
            .map_err(mpsc::TrySendError::into_inner)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring;

    #[test]
    fn messages_arrive_in_order_from_another_thread() {
        let (sender, mut mailbox) = mailbox();
        let thread = std::thread::spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        let got = ring::run(None, || async move {
            let mut got = Vec::new();
            while let Some(n) = mailbox.next().await {
                got.push(n);
            }
            got
        });
        thread.join().unwrap();
        assert_eq!(got.unwrap(), (0..100).collect::<Vec<_>>());
    }
}
