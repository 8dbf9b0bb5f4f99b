//! An archive, fetched from its middle on.

use loadtest::profile::Operation;
use loadtest::{clock, process};
use serde_json::{Value, json};

use crate::contest::Done;
use crate::http::{Request, ask, ask_json, authorization};
use crate::metric::{Metric, Sample};
use crate::rows::Transfer;
use crate::servers::{Door, Role, Running, Service};
use crate::transfer::{self, Round};

/// The files, as those of the row of whole archives.
const FILES: Transfer = Transfer {
    service: Service::Http,
    operation: Operation::Archive,
    bytes: 1 << 20,
    files: 1_000,
    requests: 1,
    connections: 1,
    cipher: None,
};
const ROOT: &str = "/resume";

/// The archive, as the first round has seen it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Its second half.
    half: Vec<u8>,
    /// Its length.
    length: usize,
    route: String,
}

/// Fetches the second half of an archive, and compares it with that of the whole one. Only ours is known to be able to.
///
/// # Errors
///
/// Whatever goes wrong, other bytes included.
#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
pub(crate) fn measure(server: &Running, role: Role, round: usize, seen: &mut Seen) -> Done {
    let Some(door) = server
        .door(Service::Http, Operation::Archive)
        .filter(|_| role == Role::Ours)
    else {
        return Ok(None);
    };
    if round == 0 {
        *seen = prepare(server, door)?;
    }
    let authorization = authorization(door)?;
    let from = seen.length - seen.half.len();
    let fields = format!("{authorization}Range: bytes={from}-\r\n");
    let before = process::cpu_seconds(server.pid)?;
    let begun = clock::now();
    let (mut at, mut same) = (0, true);
    let head = ask(door, &get(&seen.route, &fields), &mut |piece| {
        // Compared in the round that does not count.
        same &= round > 0 || seen.half.get(at..at + piece.len()) == Some(piece);
        at += piece.len();
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(server.pid)? - before;
    if head.status != 206 || at != seen.half.len() || !same {
        return Err(format!(
            "HTTP {} with {at} bytes, which are not those of the whole archive",
            head.status
        ));
    }
    let gib = at as f64 / f64::from(1 << 30);
    Ok(Some(Sample::from([
        (Metric::CpuPerGib, cpu / gib),
        (Metric::MibPerSecond, gib * 1024.0 / seconds),
    ])))
}

fn prepare(server: &Running, door: &Door) -> Result<Seen, String> {
    let round = Round {
        root: ROOT,
        is_prepared: false,
        verify: true,
    };
    transfer::measure(server, door, FILES, round)?;
    let authorization = authorization(door)?;
    let list = json!({"Filelist": [format!("{ROOT}/files")]});
    let answer = ask_json(door, "/api/download/prepare", &authorization, &list)?;
    let id = answer
        .get("rslt")
        .and_then(Value::as_str)
        .ok_or("no id of the archive")?;
    let route = format!("/api/download/multi?id={id}");
    let mut half = Vec::new();
    let head = ask(door, &get(&route, &authorization), &mut |piece| {
        half.extend_from_slice(piece)
    })?;
    if head.status != 200 {
        return Err(format!("{route}: HTTP {}", head.status));
    }
    let length = half.len();
    half.drain(..length / 2);
    Ok(Seen { half, length, route })
}

fn get<'a>(route: &'a str, fields: &'a str) -> Request<'a> {
    Request {
        method: "GET",
        route,
        fields,
        body: &[],
    }
}
