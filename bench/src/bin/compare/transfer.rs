//! Transfers of files, by the load generator.

use std::time::Duration;

use loadtest::cli::Cipher;
use loadtest::connect::Servers;
use loadtest::content::Content;
use loadtest::figures::Figures;
use loadtest::files::Files;
use loadtest::plan::{Access, Plan};
use loadtest::profile::{Mix, Operation, Profile};
use loadtest::schedule::{Pace, Until};
use loadtest::sizes::Sizes;
use loadtest::thresholds::Thresholds;

use crate::metric::{Metric, Sample};
use crate::rows::Transfer;
use crate::servers::{Door, Running};

/// What sizes and content follow from: the same for all servers.
const SEED: u64 = 4711;
/// Time that a request may take, besides a second for each MiB.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round<'a> {
    /// Directory of its files on the server.
    pub(crate) root: &'a str,
    /// Whether the files that it needs are there already.
    pub(crate) is_prepared: bool,
    /// Whether all bytes are compared with what was sent.
    pub(crate) verify: bool,
}

/// Does one round.
///
/// # Errors
///
/// A text that says what went wrong: a request that failed or content that is not what was sent included.
pub(crate) fn measure(
    server: &Running,
    door: &Door,
    of: Transfer,
    round: Round<'_>,
) -> Result<Sample, String> {
    let outcome = loadtest::run::run(plan(server, door, of, round))?;
    let figures = outcome.figures;
    if let Some(error) = figures.errors.first() {
        return Err(format!(
            "{} of {} requests failed: {}: {}",
            figures.errors_count(),
            figures.all.requests + figures.errors_count(),
            error.kind,
            error.example
        ));
    }
    if !outcome.is_complete {
        return Err(format!("not done: {}", outcome.notes.join("; ")));
    }
    Ok(sample(&figures))
}

/// Deletes what rounds have left on a server, where that is not done on its disk.
///
/// # Errors
///
/// As the server has them.
pub(crate) fn delete(server: &Running, door: &Door, of: Transfer, root: &str) -> Result<(), String> {
    let round = Round {
        root,
        is_prepared: true,
        verify: false,
    };
    let plan = plan(server, door, of, round);
    let servers = Servers::find(&plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let deleted = runtime.block_on(async {
        servers.log_in().await?;
        let (content, files) = (Content::new(SEED), plan.files.clone().into());
        match servers.session(0, &content, &files, false) {
            Some(mut session) => session.delete(&plan.files.root).await,
            None => Ok(()),
        }
    });
    deleted.map_err(|failure| failure.to_string())
}

fn plan(server: &Running, door: &Door, of: Transfer, round: Round<'_>) -> Plan {
    let mut access = door.access.clone();
    if let (Access::Sftp(access), Some(cipher)) = (&mut access, of.cipher) {
        access.cipher = <Cipher as clap::ValueEnum>::from_str(cipher, false).ok();
    }
    let profile = match of.operation {
        Operation::Upload => Profile::Upload,
        Operation::Download => Profile::Download,
        Operation::List => Profile::List,
        Operation::Archive => Profile::Archive,
    };
    Plan {
        access,
        targets: vec![door.target.clone()],
        profile,
        mix: Mix::default(),
        files: Files {
            root: format!("{}{}", door.base, round.root),
            sizes: Sizes::Fixed(of.bytes),
            seed: SEED,
            prepared: if profile.is_prepared() { of.files } else { 0 },
            // No name twice: each upload is a new file.
            slots: of.requests,
            connections: of.connections as u64,
        },
        connections: of.connections,
        threads: 1,
        pace: Pace::Closed,
        until: Until::Requests(of.requests),
        warm_up: Duration::ZERO,
        verify: round.verify,
        timeout: TIMEOUT,
        grace: TIMEOUT,
        seed: SEED,
        pids: vec![server.pid],
        settle: true,
        keep: true,
        is_prepared: round.is_prepared,
        json: None,
        html: None,
        quiet: true,
        thresholds: Thresholds::default(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn sample(figures: &Figures) -> Sample {
    let (all, usage) = (&figures.all, &figures.usage);
    let (requests, gib) = (all.requests as f64, all.bytes as f64 / f64::from(1 << 30));
    let mut sample = Sample::from([
        (Metric::RequestsPerSecond, all.per_second),
        (Metric::MibPerSecond, all.mib_per_second),
        (Metric::Seconds, figures.elapsed_s),
        (Metric::P50, all.latency.p50_us),
        (Metric::P99, all.latency.p99_us),
    ]);
    if let Some(cpu) = usage.server_cpu_s {
        sample.insert(Metric::CpuSeconds, cpu);
        sample.insert(Metric::CpuPerGib, cpu / gib);
        sample.insert(Metric::CpuPerRequest, cpu * 1e6 / requests);
    }
    if let Some(cpu) = usage.server_cpu_after_s {
        sample.insert(Metric::CpuAfterPerGib, cpu / gib);
        sample.insert(Metric::CpuAfterPerRequest, cpu * 1e6 / requests);
    }
    if let Some(bytes) = usage.server_memory_peak_bytes {
        sample.insert(Metric::Memory, bytes as f64 / f64::from(1 << 20));
    }
    sample
}
