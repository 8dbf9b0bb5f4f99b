//! The only place that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since the Unix epoch; 0 for a clock set before it.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Wall-clock time in microseconds since the Unix epoch; 0 for a clock set before it.
#[must_use]
pub fn now_us() -> u64 {
    u64::try_from(since_epoch().as_micros()).unwrap_or(u64::MAX)
}

/// Wall-clock time in whole seconds since the Unix epoch.
#[must_use]
pub fn now_s() -> u64 {
    since_epoch().as_secs()
}

/// A point on the monotonic clock, for deadlines and durations.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn monotonic() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
