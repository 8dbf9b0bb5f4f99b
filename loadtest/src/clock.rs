//! The clock. Nothing else reads it.

use std::time::{Duration, Instant, SystemTime};

/// Now, by the clock that latencies are measured with.
#[allow(clippy::disallowed_methods, reason = "this is where time is read")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Now, in seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "this is where time is read")]
#[must_use]
pub fn unix_seconds() -> u64 {
    unix().as_secs()
}

/// Now, in nanoseconds since 1970: a number that no other run has.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the low bits differ, and only that matters"
)]
#[must_use]
pub fn unix_nanoseconds() -> u64 {
    unix().as_nanos() as u64
}

#[allow(clippy::disallowed_methods, reason = "this is where time is read")]
fn unix() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
