//! Slows guessing: failures are counted for each address at each key, so that nobody can lock a tenant out from
//! elsewhere.

use std::collections::HashMap;
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

/// Failures so far.
#[derive(Debug, Default)]
pub(super) struct Failed(HashMap<(IpAddr, String), Failures>);

impl Failed {
    /// How long an address has to wait before it may try a key again.
    pub(super) fn wait(&self, address: IpAddr, key: &str, now_s: u64) -> Option<Duration> {
        let failures = self.0.get(&(address, key.to_owned()))?;
        (failures.until_s > now_s).then(|| Duration::from_secs(failures.until_s - now_s))
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, address: IpAddr, key: &str, now_s: u64) {
        if self.0.len() >= ENTRIES_MAX_COUNT {
            self.0.retain(|_, failures| failures.until_s + WAIT_MAX_S > now_s);
            if self.0.len() >= ENTRIES_MAX_COUNT {
                self.0.clear();
            }
        }
        let entry = self
            .0
            .entry((address, key.to_owned()))
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
        self.0.remove(&(address, key.to_owned()));
    }
}
