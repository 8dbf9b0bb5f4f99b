//! What was asked of another node, and how long it may take to answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Type of a request that is an extension, of which some copy files: draft-ietf-secsh-filexfer-02 §8.
const SSH_FXP_EXTENDED: u8 = 200;

/// Packets that were sent and are not answered.
pub(super) struct Asked(Mutex<Count>);

struct Count {
    sent: u64,
    answered: u64,
    /// Until so many are answered one is under way that may take as long as it likes, such as a copy of a file.
    patient_until: u64,
    /// Whether the client does not take what has come.
    is_client_slow: bool,
    /// Since when the next answer is waited for.
    since: Instant,
}

impl Asked {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Count {
            sent: 0,
            answered: 0,
            patient_until: 0,
            is_client_slow: false,
            since: Instant::now(),
        }))
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet is about to be sent.
    pub(super) fn sends(&self, packet: &[u8]) {
        let mut count = self.count();
        if count.sent == count.answered {
            count.since = Instant::now();
        }
        count.sent += 1;
        if packet.first() == Some(&SSH_FXP_EXTENDED) {
            count.patient_until = count.sent;
        }
    }

    /// Bytes have come, and with them these many packets.
    pub(super) fn comes(&self, packets: u64) {
        let mut count = self.count();
        count.answered += packets;
        count.since = Instant::now();
    }

    pub(super) fn client_is_slow(&self, is_slow: bool) {
        let mut count = self.count();
        if count.is_client_slow != is_slow {
            count.is_client_slow = is_slow;
            count.since = Instant::now();
        }
    }

    /// What is left of the time for an answer.
    pub(super) fn rest(&self, answer: Duration) -> Duration {
        let count = self.count();
        let waits =
            count.answered < count.sent && count.answered >= count.patient_until && !count.is_client_slow;
        if waits {
            answer.saturating_sub(count.since.elapsed())
        } else {
            answer
        }
    }
}

/// Counts packets in a stream of them, each behind its length.
#[derive(Default)]
pub(super) struct Packets {
    /// What has come of the next one's length.
    length: Vec<u8>,
    /// Bytes of the packet that are still to come.
    rest: usize,
}

impl Packets {
    /// How many end in these bytes.
    pub(super) fn end_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.rest == 0 {
                let (now, later) = bytes.split_at((4 - self.length.len()).min(bytes.len()));
                self.length.extend_from_slice(now);
                bytes = later;
                if let Some(length) = self.length.first_chunk() {
                    self.rest = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                    self.length.clear();
                }
                continue;
            }
            let now = self.rest.min(bytes.len());
            bytes = bytes.get(now..).unwrap_or_default();
            self.rest -= now;
            ended += u64::from(self.rest == 0);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Duration = Duration::from_secs(10);

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_other_node_is_waited_for_and_only_for_an_answer() {
        let asked = Asked::new();
        pass(100).await;
        assert_eq!(asked.rest(ANSWER), ANSWER, "nothing was asked");
        for _ in 0..3 {
            asked.sends(&[5]);
        }
        pass(4).await;
        assert_eq!(asked.rest(ANSWER).as_secs(), 6);
        asked.comes(0);
        assert_eq!(asked.rest(ANSWER), ANSWER, "a part of an answer");
        pass(9).await;
        asked.comes(1);
        pass(9).await;
        assert_eq!(asked.rest(ANSWER).as_secs(), 1, "two are not answered");
        asked.client_is_slow(true);
        pass(100).await;
        assert_eq!(asked.rest(ANSWER), ANSWER);
        asked.client_is_slow(false);
        pass(3).await;
        assert_eq!(asked.rest(ANSWER).as_secs(), 7);
        asked.sends(&[SSH_FXP_EXTENDED]);
        pass(100).await;
        assert_eq!(asked.rest(ANSWER), ANSWER, "a file is being copied");
        asked.comes(3);
        asked.sends(&[5]);
        pass(100).await;
        assert!(asked.rest(ANSWER).is_zero());
    }

    #[test]
    fn packets_are_counted_however_they_come() {
        let bytes = [
            &[0, 0, 0, 3][..],
            b"abc",
            &[0, 0, 0, 1],
            b"d",
            &[0, 0, 1, 0],
            &[7; 256],
        ]
        .concat();
        for piece in [1, 2, 3, 5, 8, 100, 1000] {
            let mut packets = Packets::default();
            let ended: u64 = bytes.chunks(piece).map(|some| packets.end_in(some)).sum();
            assert_eq!((ended, packets.rest, packets.length.len()), (3, 0, 0));
        }
    }
}
