//! Slows guessing: failures are counted for each address at each key, so that nobody can lock a tenant out from
//! elsewhere, and for each address at all keys, so that trying one secret at many keys is no way around it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
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

/// Failures so far. Keys are kept as hashes: they are what a client sends, of any length.
#[derive(Debug, Default)]
pub(super) struct Failed {
    counts: HashMap<(IpAddr, u64), Failures>,
    /// When all failures of an address are forgotten.
    addresses: HashMap<IpAddr, u64>,
    hasher: RandomState,
}

impl Failed {
    /// How long an address has to wait before it may try a key again.
    pub(super) fn wait(&self, address: IpAddr, key: &str, now_s: u64) -> Option<Duration> {
        let address = network(address);
        let of_key = self.counts.get(&(address, self.hasher.hash_one(key)));
        let key_until_s = of_key.map_or(0, |failures| failures.until_s);
        let forgotten_s = self.addresses.get(&address).copied().unwrap_or(0);
        let address_until_s = forgotten_s.saturating_sub((ADDRESS_FREE_FAILURES - 1) * ADDRESS_PACE_S);
        let until_s = key_until_s.max(address_until_s);
        (until_s > now_s).then(|| Duration::from_secs(until_s - now_s))
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, address: IpAddr, key: &str, now_s: u64) {
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
        let address = network(address);
        let forgotten_s = self.addresses.entry(address).or_insert(0);
        *forgotten_s = (*forgotten_s).max(now_s) + ADDRESS_PACE_S;
        let entry = self
            .counts
            .entry((address, self.hasher.hash_one(key)))
            .or_insert(Failures { count: 0, until_s: 0 });
        if entry.until_s + WAIT_MAX_S <= now_s && entry.until_s > 0 {
            entry.count = 0;
        }
        entry.count += 1;
        let over = entry.count.saturating_sub(FREE_FAILURES);
        entry.until_s = if over == 0 {
            now_s
        } else {
            now_s + (1 << over.min(16)).min(WAIT_MAX_S)
        };
    }

    /// Forgets the failures of an address at a key that it has the secret of. Those at other keys still count.
    pub(super) fn succeeded(&mut self, address: IpAddr, key: &str) {
        self.counts.remove(&(network(address), self.hasher.hash_one(key)));
    }
}

/// What an IPv6 client cannot choose of its address: the first half.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_has_one_address_and_a_key_is_slowed_for_it_alone() {
        let mut failed = Failed::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for host in 0..6 {
            failed.failed(address(&format!("2001:db8::{host}")), "key", 100);
        }
        assert!(failed.wait(address("2001:db8::ffff"), "key", 100).is_some());
        assert!(failed.wait(address("2001:db8::ffff"), "other", 100).is_none());
        assert!(failed.wait(address("2001:db8:0:1::1"), "key", 100).is_none());
        failed.succeeded(address("2001:db8::9"), "key");
        assert!(failed.wait(address("2001:db8::ffff"), "key", 100).is_none());
    }

    #[test]
    fn an_address_that_tries_many_keys_is_slowed_at_all_of_them() {
        let mut failed = Failed::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for key in 0..ADDRESS_FREE_FAILURES {
            assert_eq!(failed.wait(guesser, &format!("key {key}"), 1000), None);
            failed.failed(guesser, &format!("key {key}"), 1000);
        }
        // One key of its own does not help.
        failed.succeeded(guesser, "key 0");
        let pace = Duration::from_secs(ADDRESS_PACE_S);
        assert_eq!(failed.wait(guesser, "new", 1000), Some(pace));
        assert_eq!(failed.wait(other, "new", 1000), None);
        let next = 1000 + ADDRESS_PACE_S;
        assert_eq!(failed.wait(guesser, "new", next), None);
        failed.failed(guesser, "new", next);
        assert_eq!(failed.wait(guesser, "newer", next), Some(pace));
    }

    #[test]
    fn counts_of_addresses_are_bounded() {
        let mut failed = Failed::default();
        for number in 0..=u32::try_from(ENTRIES_MAX_COUNT).unwrap() {
            failed.failed(std::net::Ipv4Addr::from_bits(number).into(), "key", 1000);
        }
        assert!(failed.addresses.len() <= ENTRIES_MAX_COUNT && failed.counts.len() <= ENTRIES_MAX_COUNT);
    }
}
