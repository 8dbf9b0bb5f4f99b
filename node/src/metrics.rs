//! Counters of the node.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Payload bytes received.
pub static PAYLOAD_RECEIVED: Counter = Counter(AtomicU64::new(0));
/// Payload bytes of files sent.
pub static PAYLOAD_SENT: Counter = Counter(AtomicU64::new(0));
/// Payload bytes of large blobs that were copied on their way to the disk.
pub static PAYLOAD_COPIED: Counter = Counter(AtomicU64::new(0));
/// Bytes of large files that the scrub has read.
pub static SCRUBBED: Counter = Counter(AtomicU64::new(0));
/// Large blobs that did not match their checksums.
pub static BLOBS_DAMAGED: Counter = Counter(AtomicU64::new(0));
/// Changes acknowledged.
pub static CHANGES: Counter = Counter(AtomicU64::new(0));
