//! What a server holds in memory.

use std::time::Duration;

use loadtest::process;
use loadtest::profile::Operation;

use crate::contest::Done;
use crate::metric::{Metric, Sample};
use crate::rows::Transfer;
use crate::servers::{Running, Service};
use crate::transfer::{self, Round};

/// What has been started is given so long to come to rest.
const REST: Duration = Duration::from_secs(1);

/// Memory of a server that nobody has used yet.
///
/// # Errors
///
/// If its process is gone.
#[allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a bench may sleep"
)]
pub(crate) fn idle(server: &Running) -> Done {
    std::thread::sleep(REST);
    let bytes = process::memory_bytes(server.pid)?;
    Ok(Some(Sample::from([(
        Metric::Memory,
        bytes as f64 / f64::from(1 << 20),
    )])))
}

/// The most that a server had while so many connections were open, each of which fetched small files.
///
/// # Errors
///
/// If one of them failed.
pub(crate) fn connections(server: &Running, service: Service, count: usize) -> Done {
    let Some(door) = server.door(service, Operation::Download) else {
        return Ok(None);
    };
    let of = Transfer {
        service,
        operation: Operation::Download,
        bytes: 4096,
        files: 1_000,
        requests: 1_000,
        connections: 1,
        cipher: None,
    };
    let round = Round {
        root: "/connections",
        is_prepared: false,
        verify: false,
    };
    // The files are made by one connection, so that no other has needed memory for that.
    transfer::measure(server, door, of, round)?;
    let crowd = Transfer {
        requests: count as u64 * 4,
        connections: count,
        ..of
    };
    let again = Round {
        is_prepared: true,
        ..round
    };
    let sample = transfer::measure(server, door, crowd, again)?;
    Ok(Some(
        sample
            .into_iter()
            .filter(|(metric, _)| *metric == Metric::Memory)
            .collect(),
    ))
}
