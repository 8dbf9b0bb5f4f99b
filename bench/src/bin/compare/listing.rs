//! A tree with many files, listed whole.

use std::path::Path;
use std::process::{Command, Stdio};

use loadtest::profile::Operation;
use loadtest::{clock, process};
use serde_json::json;

use crate::contest::Done;
use crate::http::{Request, ask, authorization};
use crate::metric::{Metric, Sample};
use crate::rows::Transfer;
use crate::servers::{Door, Kind, Role, Running, Service};
use crate::transfer::{self, Round};

const ROOT: &str = "/listing";
/// Connections that upload to ours, each into a directory of its own; a plain tree has as many.
const DIRECTORIES: usize = 64;

/// Lists all files. Over HTTP: ours by `list/tree`, others by a `PROPFIND` without a limit of depth, if they allow it; the
/// floor is `find -printf`.
///
/// # Errors
///
/// If the list does not hold as many files as there are.
pub(crate) fn measure(server: &Running, kind: &Kind, files: u64, round: usize) -> Done {
    match (kind.role, &server.files) {
        (Role::Floor, Some(directory)) => {
            if round == 0 {
                make(directory, files)?;
            }
            find(directory, files).map(Some)
        }
        (Role::Ours, _) => ours(server, files, round),
        (Role::Peer, Some(directory)) if kind.lists_trees => {
            if round == 0 {
                make(directory, files)?;
            }
            let door = server.door(Service::Http, Operation::Download).ok_or("no door")?;
            let request = Request {
                method: "PROPFIND",
                route: ROOT,
                fields: "Depth: infinity\r\nContent-Type: text/xml\r\n",
                body: b"<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><getcontentlength/><getlastmodified/></prop></propfind>",
            };
            list(server, door, &request, b"getcontentlength>0</", files, 207).map(Some)
        }
        _ => Ok(None),
    }
}

fn ours(server: &Running, files: u64, round: usize) -> Done {
    let Some(door) = server.door(Service::Http, Operation::Upload) else {
        return Ok(None);
    };
    if round == 0 {
        let of = Transfer {
            service: Service::Http,
            operation: Operation::Upload,
            bytes: 1,
            files,
            requests: files,
            connections: DIRECTORIES,
            cipher: None,
        };
        let uploads = Round {
            root: ROOT,
            is_prepared: false,
            verify: false,
        };
        transfer::measure(server, door, of, uploads)?;
    }
    let body = json!({"Params": ROOT}).to_string();
    let fields = format!(
        "{}Content-Type: application/json\r\nAccept: application/x-ndjson\r\n",
        authorization(door)?
    );
    let request = Request {
        method: "POST",
        route: "/api/list/tree",
        fields: &fields,
        body: body.as_bytes(),
    };
    list(server, door, &request, b"\"is_dir\":false", files, 200).map(Some)
}

/// Reads a list, counts what marks a file in it, and says what it took.
#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn list(
    server: &Running,
    door: &Door,
    request: &Request<'_>,
    mark: &[u8],
    files: u64,
    status: u16,
) -> Result<Sample, String> {
    let before = process::cpu_seconds(server.pid)?;
    let begun = clock::now();
    let mut counter = Counter::new(mark);
    let mut bytes = 0;
    let head = ask(door, request, &mut |piece| {
        bytes += piece.len();
        counter.feed(piece);
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(server.pid)? - before;
    let memory = process::memory_bytes(server.pid)?;
    if head.status != status || counter.count != files {
        return Err(format!(
            "HTTP {} with {} files instead of {files}",
            head.status, counter.count
        ));
    }
    Ok(Sample::from([
        (Metric::Seconds, seconds),
        (Metric::CpuSeconds, cpu),
        (Metric::MibPerSecond, bytes as f64 / f64::from(1 << 20) / seconds),
        (Metric::Memory, memory as f64 / f64::from(1 << 20)),
    ]))
}

/// Makes the tree below a directory.
fn make(directory: &Path, files: u64) -> Result<(), String> {
    let root = directory.join(ROOT.trim_start_matches('/'));
    let failed = |error: std::io::Error| format!("{}: {error}", root.display());
    for number in (0..files).take(DIRECTORIES) {
        let directory = root.join(format!("c{number}"));
        std::fs::create_dir_all(&directory).map_err(failed)?;
        for file in (number..files).step_by(DIRECTORIES) {
            std::fs::File::create(directory.join(format!("u{file}"))).map_err(failed)?;
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn find(directory: &Path, files: u64) -> Result<Sample, String> {
    let begun = clock::now();
    let output = Command::new("find")
        .arg(directory.join(ROOT.trim_start_matches('/')))
        .args(["-type", "f", "-printf", "%p %s %T@\\n"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("find: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    if lines as u64 != files {
        return Err(format!("find has found {lines} files instead of {files}"));
    }
    let mib = output.stdout.len() as f64 / f64::from(1 << 20);
    Ok(Sample::from([
        (Metric::Seconds, seconds),
        (Metric::MibPerSecond, mib / seconds),
    ]))
}

/// Counts how often something stands in what comes in pieces.
struct Counter<'a> {
    mark: &'a [u8],
    /// The end of what came, which may be the beginning of a mark.
    rest: Vec<u8>,
    count: u64,
}

impl<'a> Counter<'a> {
    fn new(mark: &'a [u8]) -> Self {
        Self {
            mark,
            rest: Vec::new(),
            count: 0,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let keep = self.mark.len() - 1;
        let head = piece.get(..keep.min(piece.len())).unwrap_or_default();
        let across = [self.rest.as_slice(), head].concat();
        self.count += count(&across, self.mark) + count(piece, self.mark);
        let seen = if piece.len() >= keep {
            piece
        } else {
            across.as_slice()
        };
        self.rest = seen
            .get(seen.len().saturating_sub(keep)..)
            .unwrap_or_default()
            .to_vec();
    }
}

fn count(text: &[u8], mark: &[u8]) -> u64 {
    memchr::memmem::find_iter(text, mark).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_wherever_pieces_end() {
        let text = b"<a>0</a><a>0</a>x<a>0</a>";
        for length in 1..text.len() {
            let mut counter = Counter::new(b"<a>0</");
            text.chunks(length).for_each(|piece| counter.feed(piece));
            assert_eq!(counter.count, 3, "pieces of {length}");
        }
    }
}
