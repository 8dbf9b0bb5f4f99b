//! Three members of the metadata cluster beside three of etcd, by the program `metadata`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::contest::{Entry, say};
use crate::metric::{Metric, Sample};
use crate::servers::Role;

/// Seconds of a measurement, without the third before it that does not count.
const SECONDS: &str = "3";

/// What `metadata --json` prints of each cluster.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    per_second: f64,
    median_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

/// Measures both, each started anew in each round.
pub(crate) fn measure(clients: usize, rounds: usize, directory: &Path) -> Vec<Entry> {
    let mut ours = Entry::new("filegrid", Role::Ours, true);
    let mut etcd = Entry::new("etcd", Role::Peer, true);
    for _ in 0..rounds {
        let lines = match run(clients, directory) {
            Ok(lines) => lines,
            Err(why) => {
                say(&format!("  proposals: {why}"));
                ours.failed = Some(why);
                break;
            }
        };
        for line in lines {
            let sample = Sample::from([
                (Metric::RequestsPerSecond, line.per_second),
                (Metric::P50, line.median_us),
                (Metric::P99, line.p99_us),
                (Metric::CpuPerRequest, line.cpu_us),
            ]);
            let entry = if line.name == "etcd" { &mut etcd } else { &mut ours };
            entry.rounds.add(sample);
        }
    }
    if etcd.rounds.is_empty() && ours.failed.is_none() {
        etcd.failed = Some("it is not installed: apt-get install etcd-server".to_owned());
    }
    vec![ours, etcd]
}

fn run(clients: usize, directory: &Path) -> Result<Vec<Line>, String> {
    let program = std::env::current_exe()
        .map_err(|error| error.to_string())?
        .with_file_name("metadata");
    let output = Command::new(&program)
        .args([
            "--json",
            "--seconds",
            SECONDS,
            "--clients",
            &clients.to_string(),
            "--data",
        ])
        .arg(directory.join("members"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            format!(
                "{}: {error}; cargo build --release -p filegrid-bench",
                program.display()
            )
        })?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", program.display(), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")))
        .collect()
}
