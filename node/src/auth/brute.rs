//! Slows guessing: failures are counted for each address at each key, so that nobody can lock a tenant out from
//! elsewhere, and for each address at all keys, so that trying one secret at many keys is no way around it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Failures that cost nothing but their own time.
const FREE_FAILURES: u32 = 5;
/// Longest wait, in seconds.
const WAIT_MAX_S: u64 = 300;
/// Failures of an address at all keys that cost nothing: an office of people behind one address has that many.
const ADDRESS_FREE_FAILURES: u64 = 100;
/// Time in which one of them is forgotten, in seconds, and so the pace of those beyond them.
const ADDRESS_PACE_S: u64 = 10;
/// Counts kept; beyond it those that are no longer in force are dropped, then all of them: memory is bounded,
/// and a flood from many addresses is the admission's to stop.
const ENTRIES_MAX_COUNT: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    until_s: u64,
}

/// Failures so far, by address and hash of the key.
#[derive(Debug, Default)]
pub(super) struct Failed {
    counts: HashMap<(IpAddr, u64), Failures>,
    /// When all failures of an address are forgotten.
    addresses: HashMap<IpAddr, u64>,
}

impl Failed {
    /// How long an address has to wait before it may try a key again.
    pub(super) fn wait(&self, at: (IpAddr, u64), now_s: u64) -> Option<Duration> {
        let key_until_s = self.counts.get(&at).map_or(0, |failures| failures.until_s);
        let forgotten_s = self.addresses.get(&at.0).copied().unwrap_or(0);
        let address_until_s = forgotten_s.saturating_sub((ADDRESS_FREE_FAILURES - 1) * ADDRESS_PACE_S);
        let until_s = key_until_s.max(address_until_s);
        (until_s > now_s).then(|| Duration::from_secs(until_s - now_s))
    }

    /// How many times an address may fail at a key before it has to wait: once at least.
    pub(super) fn left(&self, at: (IpAddr, u64)) -> u32 {
        let count = self.counts.get(&at).map_or(0, |failures| failures.count);
        FREE_FAILURES.saturating_sub(count).max(1)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, at: (IpAddr, u64), now_s: u64) {
        if self.counts.len() >= ENTRIES_MAX_COUNT {
            self.counts
                .retain(|_, failures| failures.until_s + WAIT_MAX_S > now_s);
            if self.counts.len() >= ENTRIES_MAX_COUNT {
                self.counts.clear();
            }
        }
        if self.addresses.len() >= ENTRIES_MAX_COUNT {
            self.addresses.retain(|_, forgotten_s| *forgotten_s > now_s);
            if self.addresses.len() >= ENTRIES_MAX_COUNT {
                self.addresses.clear();
            }
        }
        let forgotten_s = self.addresses.entry(at.0).or_insert(0);
        *forgotten_s = (*forgotten_s).max(now_s) + ADDRESS_PACE_S;
        let entry = self.counts.entry(at).or_insert(Failures { count: 0, until_s: 0 });
        if entry.until_s + WAIT_MAX_S <= now_s && entry.until_s > 0 {
            entry.count = 0;
        }
        entry.count += 1;
        let over = entry.count.saturating_sub(FREE_FAILURES);
        let wait_s = if over == 0 {
            0
        } else {
            (1 << over.min(16)).min(WAIT_MAX_S)
        };
        // One that another node has seen may be older than the last.
        entry.until_s = entry.until_s.max(now_s + wait_s);
    }

    /// Forgets the failures of an address at a key that it has the secret of; whether there were any. Those at other keys
    /// still count.
    pub(super) fn succeeded(&mut self, at: (IpAddr, u64)) -> bool {
        self.counts.remove(&at).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_tries_many_keys_is_slowed_at_all_of_them() {
        let mut failed = Failed::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for key in 0..ADDRESS_FREE_FAILURES {
            assert_eq!(failed.wait((guesser, key), 1000), None);
            failed.failed((guesser, key), 1000);
        }
        // One key of its own does not help.
        assert!(failed.succeeded((guesser, 0)));
        let pace = Duration::from_secs(ADDRESS_PACE_S);
        let (new, newer) = (1 << 40, 1 << 41);
        assert_eq!(failed.wait((guesser, new), 1000), Some(pace));
        assert_eq!(failed.wait((other, new), 1000), None);
        let next = 1000 + ADDRESS_PACE_S;
        assert_eq!(failed.wait((guesser, new), next), None);
        failed.failed((guesser, new), next);
        assert_eq!(failed.wait((guesser, newer), next), Some(pace));
    }

    #[test]
    fn failures_wait_longer_each_and_an_old_one_shortens_nothing() {
        let mut failed = Failed::default();
        let at = (IpAddr::from([192, 0, 2, 1]), 7);
        for count in 0..FREE_FAILURES {
            assert_eq!(failed.left(at), FREE_FAILURES - count);
            failed.failed(at, 1000);
        }
        assert_eq!((failed.left(at), failed.wait(at, 1000)), (1, None));
        failed.failed(at, 1000);
        assert_eq!(failed.wait(at, 1000), Some(Duration::from_secs(2)));
        failed.failed(at, 900);
        assert_eq!(failed.wait(at, 1000), Some(Duration::from_secs(2)));
        assert_eq!(failed.wait(at, 1002), None);
    }

    #[test]
    fn counts_of_addresses_are_bounded() {
        let mut failed = Failed::default();
        for number in 0..=u32::try_from(ENTRIES_MAX_COUNT).unwrap() {
            failed.failed((std::net::Ipv4Addr::from_bits(number).into(), 1), 1000);
        }
        assert!(failed.addresses.len() <= ENTRIES_MAX_COUNT && failed.counts.len() <= ENTRIES_MAX_COUNT);
    }
}
