//! The clock. Nothing else reads it.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Now, by the clock that latencies are measured with.
#[allow(clippy::disallowed_methods, reason = "this is where time is read")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Now since some moment, to some milliseconds: costs a fraction of [`now`].
#[must_use]
pub fn coarse() -> Duration {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Duration::try_from(time).unwrap_or_default()
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
