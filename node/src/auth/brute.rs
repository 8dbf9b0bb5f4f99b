//! Slows guessing: failures are counted for each address at each key, so that nobody can lock a tenant out from
//! elsewhere.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures that cost nothing but their own time.
const FREE_FAILURES: u32 = 5;
/// Longest wait, in seconds.
const WAIT_MAX_S: u64 = 300;
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
    hasher: RandomState,
}

impl Failed {
    /// How long an address has to wait before it may try a key again.
    pub(super) fn wait(&self, address: IpAddr, key: &str, now_s: u64) -> Option<Duration> {
        let failures = self.counts.get(&(network(address), self.hasher.hash_one(key)))?;
        (failures.until_s > now_s).then(|| Duration::from_secs(failures.until_s - now_s))
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
        let entry = self
            .counts
            .entry((network(address), self.hasher.hash_one(key)))
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

    /// Forgets the failures of an address that has the secret.
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
}
