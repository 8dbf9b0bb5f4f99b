//! The one place where a member reads the time of day: for what it shows, never for what it decides.

use std::time::SystemTime;

/// Now, in Unix milliseconds.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
