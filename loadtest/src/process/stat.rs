//! What the kernel says about one process (proc(5)).
#![allow(unsafe_code, reason = "only libc reads the clocks of other processes")]

use std::io;
use std::time::Duration;

/// A look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Process that waits for its end.
    pub parent: u32,
    /// When it was started: tells it from a later one of the same number.
    pub started: u64,
    /// User and system time that it has used itself, to the nanosecond.
    pub own: Duration,
    /// The same of its children that have ended and were waited for, and of theirs, to the tick (10 ms).
    pub ended: Duration,
}

/// Looks at a process.
///
/// # Errors
///
/// If there is none.
pub(super) fn stat(pid: u32) -> io::Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut stat = parse(&text).ok_or(io::ErrorKind::InvalidData)?;
    // A short run takes a few ticks: they are too coarse to compare such runs.
    if let Some(exact) = pid.try_into().ok().and_then(used) {
        stat.own = exact;
    }
    Ok(stat)
}

/// Time that all threads of a process have used, by its CPU clock. None if it has ended.
fn used(pid: libc::pid_t) -> Option<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both places are there for the kernel to write to, and no other memory is touched.
    let is_read = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    is_read.then(|| Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs(count) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}

fn parse(text: &str) -> Option<Stat> {
    // The name in parentheses may hold spaces and parentheses; the fields behind it do not.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let mut skip = |count: usize| fields.nth(count)?.parse::<u64>().ok();
    let parent = skip(1)?;
    let (user, system) = (skip(9)?, skip(0)?);
    let (ended_user, ended_system) = (skip(0)?, skip(0)?);
    Some(Stat {
        parent: u32::try_from(parent).ok()?,
        started: skip(4)?,
        own: ticks(user + system),
        ended: ticks(ended_user + ended_system),
    })
}

/// Children of a process, of all its threads. Empty if it has ended, or if the kernel has no lists of children.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads.flatten().map(|thread| thread.path().join("children"));
    let texts: Vec<_> = lists.flat_map(std::fs::read_to_string).collect();
    let pids = texts.iter().flat_map(|text| text.split_ascii_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// Bytes of memory that is no file's and is shared with no other process but by a fork; 0 if it has ended.
pub(super) fn anonymous_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut fields = text
        .split_ascii_whitespace()
        .map(|pages| pages.parse().unwrap_or(0_u64));
    // Size, resident, and resident pages of files and shared memory.
    let (_, resident, shared) = (fields.next(), fields.next(), fields.next());
    let pages = resident.unwrap_or(0).saturating_sub(shared.unwrap_or(0));
    pages * rustix::param::page_size() as u64
}

/// The same, where pages that a fork has left in several processes count for each as its part of them. The kernel looks
/// at every page for this. None if it does not tell.
pub(super) fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_look_like_fields() {
        let fields = "S 7 1 1 0 -1 4194560 1 2 3 4 10 20 300 400 20 0 1 0 98765 1 1";
        let expected = Stat {
            parent: 7,
            started: 98765,
            own: ticks(30),
            ended: ticks(700),
        };
        assert_eq!(parse(&format!("5 (a) R 9 (b)) {fields}")), Some(expected));
        assert_eq!(parse("5 (a) S 7"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn both_clocks_tell_the_same() {
        let pid = std::process::id();
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (coarse, exact) = (parse(&text).unwrap(), stat(pid).unwrap());
        assert!(exact.own >= coarse.own && exact.own < coarse.own + Duration::from_secs(1));
    }
}
