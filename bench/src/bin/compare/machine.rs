//! What it was measured on.

use std::path::Path;
use std::process::Command;

/// The machine, the day and the commit, as a sentence.
pub(crate) fn describe(directory: &Path) -> String {
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unknown processor", |model| {
            model.trim_start_matches([':', ' ', '\t'])
        });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let gib = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| (kib + (1 << 19)) >> 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let filesystem = said("stat", &["-f", "-c", "%T", &directory.to_string_lossy()]);
    let day = said("date", &["-u", "+%Y-%m-%d"]);
    let commit = said("git", &["describe", "--always", "--dirty"]);
    format!(
        "{model}, {cores} cores, {gib} GiB of memory, {filesystem}, Linux {}, on {day}, at commit {commit}",
        kernel.trim()
    )
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first line that a command prints; a question mark if there is none.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    if line.is_empty() { "?".to_owned() } else { line }
}
