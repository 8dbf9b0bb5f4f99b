//! Logins that are being decided, one after the other where an address has few failures left, and what becomes of them:
//! counted here, and told to the other nodes.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use filegrid_meta::nodes;
use futures::channel::oneshot;

use super::brute::Failed;
use crate::clock;
use crate::error::Error;
use crate::limits::GUESSES_UNTOLD_MAX_COUNT;

/// An address and what it tries.
type At = (IpAddr, u64);

/// Guards all logins of a node. Shared by all shards.
#[derive(Debug, Default)]
pub struct Guesses {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failed: Failed,
    open: HashMap<At, Open>,
    /// Decided, and not told yet; `None` where there is nobody to tell.
    untold: Option<VecDeque<(At, u64, bool)>>,
}

/// Logins of an address at a key that are being decided.
#[derive(Debug, Default)]
struct Open {
    count: u32,
    waiting: Vec<oneshot::Sender<()>>,
}

/// A login that is being decided. Dropped, it counts as neither.
pub(super) struct Guess<'a> {
    guesses: &'a Guesses,
    at: At,
}

impl Guesses {
    /// Lets an address try a key, when it is its turn: no more are decided at once than it has failures left.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyRequests`] if it has to wait before it may try again.
    pub(super) async fn admit(&self, peer: IpAddr, key: &str) -> Result<Guess<'_>, Error> {
        let at = (network(peer), hash(key));
        while let Some(turn) = self.try_admit(at)? {
            // Whoever is in front may be gone, which is a turn as well.
            let _ = turn.await;
        }
        Ok(Guess { guesses: self, at })
    }

    /// What to wait for, if it is not the turn yet.
    fn try_admit(&self, at: At) -> Result<Option<oneshot::Receiver<()>>, Error> {
        let mut inner = self.inner();
        let now_s = clock::now_s();
        if let Some(retry_after) = inner.failed.wait(at, now_s) {
            return Err(Error::TooManyRequests {
                detail: "too many failed logins".to_owned(),
                retry_after,
            });
        }
        let left = inner.failed.left(at);
        let open = inner.open.entry(at).or_default();
        if open.count < left {
            open.count += 1;
            return Ok(None);
        }
        let (go, turn) = oneshot::channel();
        open.waiting.push(go);
        Ok(Some(turn))
    }

    /// From now on what is decided is kept, to be told to other nodes.
    pub(crate) fn share(&self) {
        self.inner().untold.get_or_insert_default();
    }

    /// What has been decided since this was last asked.
    pub(crate) fn untold(&self) -> Vec<nodes::Guess> {
        let now_s = clock::now_s();
        let told = |((address, key), at_s, right): (At, u64, bool)| nodes::Guess {
            address: match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            },
            key,
            age_s: u32::try_from(now_s.saturating_sub(at_s)).unwrap_or(u32::MAX),
            right,
        };
        let mut inner = self.inner();
        let untold = inner.untold.as_mut().map(std::mem::take);
        untold.into_iter().flatten().map(told).collect()
    }

    /// Counts what another node has decided.
    pub(crate) fn told(&self, guess: &nodes::Guess) {
        let at = (network(Ipv6Addr::from(guess.address).into()), guess.key);
        let at_s = clock::now_s().saturating_sub(guess.age_s.into());
        let mut inner = self.inner();
        if guess.right {
            inner.failed.succeeded(at);
        } else {
            inner.failed.failed(at, at_s);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, at: At, now_s: u64, right: bool) {
        if let Some(untold) = &mut self.untold {
            if untold.len() == GUESSES_UNTOLD_MAX_COUNT {
                untold.pop_front();
            }
            untold.push_back((at, now_s, right));
        }
    }
}

impl Guess<'_> {
    /// It was wrong.
    pub(super) fn failed(self) {
        let now_s = clock::now_s();
        let mut inner = self.guesses.inner();
        inner.failed.failed(self.at, now_s);
        inner.note(self.at, now_s, false);
    }

    /// It was right: what failures before it have brought is forgotten.
    pub(super) fn succeeded(self) {
        let mut inner = self.guesses.inner();
        // Most have not failed before, and are nobody's concern.
        if inner.failed.succeeded(self.at) {
            inner.note(self.at, clock::now_s(), true);
        }
    }
}

impl Drop for Guess<'_> {
    fn drop(&mut self) {
        let mut inner = self.guesses.inner();
        let Some(open) = inner.open.get_mut(&self.at) else {
            return;
        };
        open.count = open.count.saturating_sub(1);
        let waiting = std::mem::take(&mut open.waiting);
        if open.count == 0 {
            inner.open.remove(&self.at);
        }
        drop(inner);
        for turn in waiting {
            // One that has given up needs none.
            let _ = turn.send(());
        }
    }
}

/// What an IPv6 client cannot choose of its address: the first half.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// Keys are kept as hashes, the same on all nodes: they are what a client sends, of any length. One that finds two names
/// with the same hash slows itself down.
fn hash(key: &str) -> u64 {
    let sum = digest::digest(&digest::SHA256, key.as_bytes());
    sum.as_ref()
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::task::Poll;

    use futures::{FutureExt as _, poll};

    use super::*;

    fn ready<'a>(guesses: &'a Guesses, peer: &str, key: &str) -> Result<Guess<'a>, Error> {
        let admitted = guesses.admit(peer.parse().unwrap(), key).now_or_never();
        admitted.expect("it is its turn")
    }

    #[test]
    fn an_ipv6_client_has_one_address_and_a_key_is_slowed_for_it_alone() {
        let guesses = Guesses::default();
        for host in 0..6 {
            ready(&guesses, &format!("2001:db8::{host}"), "key")
                .unwrap()
                .failed();
        }
        assert!(ready(&guesses, "2001:db8::ffff", "key").is_err());
        assert!(ready(&guesses, "2001:db8::ffff", "other").is_ok());
        assert!(ready(&guesses, "2001:db8:0:1::1", "key").is_ok());
        let told = nodes::Guess {
            address: "2001:db8::9".parse::<Ipv6Addr>().unwrap().octets(),
            key: hash("key"),
            age_s: 0,
            right: true,
        };
        guesses.told(&told);
        assert!(ready(&guesses, "2001:db8::ffff", "key").is_ok());
    }

    #[test]
    fn no_more_are_decided_at_once_than_there_are_failures_left() {
        let guesses = Guesses::default();
        futures::executor::block_on(async {
            let mut open = Vec::new();
            for _ in 0..5 {
                open.push(ready(&guesses, "192.0.2.1", "key").unwrap());
            }
            let sixth = guesses.admit("192.0.2.1".parse().unwrap(), "key");
            let seventh = guesses.admit("192.0.2.1".parse().unwrap(), "key");
            futures::pin_mut!(sixth, seventh);
            assert!(poll!(&mut sixth).is_pending());
            assert!(poll!(&mut seventh).is_pending());
            // Another address does not wait for this one.
            drop(ready(&guesses, "192.0.2.2", "key").unwrap());
            open.pop().unwrap().succeeded();
            let Poll::Ready(Ok(sixth)) = poll!(&mut sixth) else {
                panic!("a right one makes room");
            };
            assert!(poll!(&mut seventh).is_pending());
            open.drain(..).for_each(Guess::failed);
            assert!(
                poll!(&mut seventh).is_pending(),
                "one failure is left, and the sixth may be it"
            );
            sixth.failed();
            let Poll::Ready(Ok(seventh)) = poll!(&mut seventh) else {
                panic!("five failures are free");
            };
            seventh.failed();
            assert!(ready(&guesses, "192.0.2.1", "key").is_err());
        });
        assert!(guesses.inner().open.is_empty());
    }

    #[test]
    fn what_one_node_sees_counts_at_another_and_memory_is_bounded() {
        let (here, there) = (Guesses::default(), Guesses::default());
        ready(&here, "192.0.2.1", "before").unwrap().failed();
        here.share();
        for _ in 0..6 {
            ready(&here, "192.0.2.1", "key").unwrap().failed();
        }
        ready(&here, "192.0.2.1", "new").unwrap().succeeded();
        let told = here.untold();
        assert_eq!(told.len(), 6, "what never failed is nobody's concern");
        assert!(ready(&there, "192.0.2.1", "key").is_ok());
        told.iter().for_each(|guess| there.told(guess));
        assert!(ready(&there, "192.0.2.1", "key").is_err());
        assert!(there.untold().is_empty(), "nothing goes in circles");
        for number in 0..=GUESSES_UNTOLD_MAX_COUNT {
            here.inner()
                .note((Ipv4Addr::LOCALHOST.into(), number as u64), 1, false);
        }
        assert_eq!(here.untold().len(), GUESSES_UNTOLD_MAX_COUNT);
        assert!(here.untold().is_empty());
    }
}
