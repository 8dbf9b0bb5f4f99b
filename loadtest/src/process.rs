//! A process on this machine, and what it costs.

use std::time::Duration;

/// CPU seconds in a look that count as doing nothing: housekeeping takes less.
const IDLE_CPU_SECONDS: f64 = 0.02;
/// Length of a look: longer than the pauses of the server's housekeeping.
const LOOK: Duration = Duration::from_millis(600);

/// User and system time that a process, and those of its children that have ended, have used so far.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The name in parentheses may hold spaces; the fields behind it do not (proc(5)).
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>();
    let per_second = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    Ok(ticks / per_second)
}

/// Waits until a process does nothing, and says what it has used by then.
///
/// # Errors
///
/// If there is no such process.
#[allow(clippy::disallowed_methods, reason = "what measures may sleep")]
pub fn settled(pid: u32) -> Result<f64, String> {
    loop {
        let before = cpu_seconds(pid)?;
        std::thread::sleep(LOOK);
        let now = cpu_seconds(pid)?;
        if now - before <= IDLE_CPU_SECONDS {
            return Ok(now);
        }
    }
}
