//! Processes on this machine, and what they cost.

mod stat;
mod tree;

use std::time::Duration;

pub use self::tree::Tree;
use crate::limits::SETTLE_MAX_SECONDS;

/// CPU seconds in a look that count as doing nothing: housekeeping takes less.
const IDLE_CPU_SECONDS: f64 = 0.02;
/// Length of a look: longer than the pauses of the server's housekeeping.
pub const LOOK: Duration = Duration::from_millis(600);

/// User and system time that a process, all that descend from it, and those of its children that have ended have used so
/// far. For more than one look at servers whose children come and go, [`Tree`] is exact.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64, String> {
    Tree::new(pid)?.cpu_seconds()
}

/// Bytes of memory that a process and all that descend from it have for themselves: pages that are no file's.
///
/// # Errors
///
/// If there is no such process.
pub fn memory_bytes(pid: u32) -> Result<u64, String> {
    Tree::new(pid)?.memory_bytes()
}

/// Waits until a process and its descendants do nothing, or [`SETTLE_MAX_SECONDS`] are over, and says what they have used by
/// then.
///
/// # Errors
///
/// If there is no such process.
#[allow(clippy::disallowed_methods, reason = "what measures may sleep")]
pub fn settled(pid: u32) -> Result<f64, String> {
    let mut tree = Tree::new(pid)?;
    let mut rest = Rest::new(tree.cpu_seconds()?);
    loop {
        std::thread::sleep(LOOK);
        let now = tree.cpu_seconds()?;
        if rest.is_over(now) {
            return Ok(now);
        }
    }
}

/// Waits for rest, look by look.
#[derive(Debug)]
pub struct Rest {
    before: f64,
    looks: u32,
}

impl Rest {
    /// Begins with CPU seconds that were used so far.
    #[must_use]
    pub fn new(cpu_seconds: f64) -> Self {
        Self {
            before: cpu_seconds,
            looks: 0,
        }
    }

    /// Whether there is nothing to wait for any more: CPU seconds one [`LOOK`] later.
    pub fn is_over(&mut self, cpu_seconds: f64) -> bool {
        let used = cpu_seconds - std::mem::replace(&mut self.before, cpu_seconds);
        self.looks += 1;
        used <= IDLE_CPU_SECONDS || LOOK * self.looks >= Duration::from_secs(SETTLE_MAX_SECONDS)
    }
}
