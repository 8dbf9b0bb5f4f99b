//! Whether the node does what it is there for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::log::Durability;

/// What is known of a log, some times a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogHealth {
    /// The metadata cluster has never let this node in: nothing is taken.
    pub closed: bool,
    /// So much waits for the cluster that changes are refused.
    pub full: bool,
    /// The cluster has not been heard of for so long that changes and logins are refused.
    pub cut_off: bool,
    /// Bytes that the log keeps for the cluster.
    pub unshipped_bytes: u64,
    /// Changes that the cluster does not have.
    pub unshipped_changes: u64,
    /// For how long it has lacked some, in milliseconds.
    pub lag_ms: u64,
}

/// What is known of a node.
#[derive(Debug)]
pub struct Health {
    durability: Durability,
    stopping: Arc<AtomicBool>,
    free_bytes: AtomicU64,
    low_on_space: AtomicBool,
    drained: AtomicBool,
    logs: Mutex<BTreeMap<u8, LogHealth>>,
}

impl Health {
    /// Of a node that stops when `stopping` is set.
    #[must_use]
    pub fn new(durability: Durability, stopping: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            durability,
            stopping,
            free_bytes: AtomicU64::new(0),
            low_on_space: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            logs: Mutex::default(),
        })
    }

    /// Notes the free bytes of the disk, and whether those are too few for uploads.
    pub fn note_space(&self, free_bytes: u64, low: bool) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        self.low_on_space.store(low, Ordering::Relaxed);
    }

    /// Notes whether the operator wants clients to go elsewhere.
    pub fn note_drained(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    /// Notes how a log is.
    pub fn note_log(&self, log: u8, health: LogHealth) {
        self.logs_mut().insert(log, health);
    }

    /// Free bytes of the disk.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Whether uploads are refused for lack of space.
    #[must_use]
    pub fn is_low_on_space(&self) -> bool {
        self.low_on_space.load(Ordering::Relaxed)
    }

    /// The logs that were noted.
    #[must_use]
    pub fn logs(&self) -> BTreeMap<u8, LogHealth> {
        self.logs_mut().clone()
    }

    /// What an answer of 200 means.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Why clients should go elsewhere; none if they need not. A full disk is no reason: it serves downloads and deletes.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Acquire) {
            reasons.push("the node is stopping".to_owned());
        }
        if self.drained.load(Ordering::Relaxed) {
            reasons.push("the node is drained".to_owned());
        }
        for (log, health) in self.logs() {
            if health.closed {
                reasons.push(format!(
                    "log {log}: the metadata cluster has not let this node in yet"
                ));
            }
            if health.full {
                reasons.push(format!(
                    "log {log}: {} changes wait for the metadata cluster, so no more are taken",
                    health.unshipped_changes
                ));
            }
        }
        if self.logs().iter().any(|(_, health)| health.cut_off) {
            reasons.push("the metadata cluster has not been heard of for too long".to_owned());
        }
        reasons
    }

    fn logs_mut(&self) -> MutexGuard<'_, BTreeMap<u8, LogHealth>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
