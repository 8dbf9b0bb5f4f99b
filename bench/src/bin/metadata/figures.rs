//! Rows of the table.

use std::future::Future;
use std::time::{Duration, Instant};

use loadtest::process;
use tokio::task::JoinSet;

/// The columns.
pub(crate) const HEADING: &str =
    "               clients     writes/s   median      99 %   CPU of the servers";

/// What was measured.
pub(crate) struct Row {
    name: &'static str,
    clients: usize,
    per_second: f64,
    median_us: u128,
    most_us: u128,
    cpu_us: f64,
}

impl Row {
    /// The row as text.
    pub(crate) fn show(&self) -> String {
        format!(
            "{:<14} {:>7} {:>12.0} {:>6} µs {:>6} µs {:>10.1} µs a write",
            self.name, self.clients, self.per_second, self.median_us, self.most_us, self.cpu_us
        )
    }

    /// The row for programs.
    pub(crate) fn json(&self) -> String {
        serde_json::json!({
            "name": self.name, "clients": self.clients, "per_second": self.per_second,
            "median_us": self.median_us, "p99_us": self.most_us, "cpu_us": self.cpu_us,
        })
        .to_string()
    }

    /// The row, and how many times faster the other was.
    pub(crate) fn beside(&self, other: &Self) -> String {
        format!(
            "{}   members: {:.2} times",
            self.show(),
            other.per_second / self.per_second
        )
    }
}

/// One write; what it answers is of no matter, an error ends the bench.
pub(crate) trait Client: Send + 'static {
    /// Writes a value under a key and waits until it is durable on a quorum.
    fn write(&mut self, key: &[u8; 16], value: &[u8]) -> impl Future<Output = Result<(), String>>;
}

/// Lets every client write for some time.
pub(crate) async fn run<C: Client>(
    name: &'static str,
    clients: Vec<C>,
    measure: Duration,
    value_bytes: usize,
    pids: &[u32],
) -> Result<Row, String> {
    let count = clients.len();
    let warm = clock() + measure / 3;
    let end = warm + measure;
    let mut tasks = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        tasks.spawn_local(async move {
            let value = vec![b'v'; value_bytes];
            let mut times = Vec::new();
            let mut written = 0_u64;
            loop {
                let mut key = [b'k'; 16];
                key[..8].copy_from_slice(&(number as u64).to_be_bytes());
                key[8..].copy_from_slice(&(written % 1000).to_be_bytes());
                let before = clock();
                if before >= end {
                    return Ok::<_, String>(times);
                }
                client.write(&key, &value).await?;
                written += 1;
                if before >= warm {
                    times.push((clock() - before).as_micros());
                }
            }
        });
    }
    tokio::time::sleep_until(warm.into()).await;
    let before = cpu_seconds(pids)?;
    tokio::time::sleep_until(end.into()).await;
    let cpu = cpu_seconds(pids)? - before;
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended.map_err(|error| error.to_string())??);
    }
    times.sort_unstable();
    let writes = times.len() as f64;
    let at = |part: f64| times.get((writes * part) as usize).copied().unwrap_or_default();
    Ok(Row {
        name,
        clients: count,
        per_second: writes / measure.as_secs_f64(),
        median_us: at(0.5),
        most_us: at(0.99),
        cpu_us: cpu * 1e6 / writes.max(1.0),
    })
}

#[allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// CPU time that processes have used.
fn cpu_seconds(pids: &[u32]) -> Result<f64, String> {
    pids.iter().map(|pid| process::cpu_seconds(*pid)).sum()
}
