//! Slows guessing: failures are counted for each address at each key, so that nobody can lock a tenant out from
//! elsewhere.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
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
        let failures = self.counts.get(&(address, self.hasher.hash_one(key)))?;
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

    /// Forgets the failures of an address that has the secret.
    pub(super) fn succeeded(&mut self, address: IpAddr, key: &str) {
        self.counts.remove(&(address, self.hasher.hash_one(key)));
    }
}
