//! Uploads to and downloads from a running node, and says how fast it was and what CPU the server spent.
//!
//! Started by `bench/rest.sh`, which starts the node. One thread and one epoll serve all connections, so that the
//! client takes little of a machine that it shares with the server. Every request is prepared before the clock runs.

mod connection;
mod report;

use std::net::SocketAddr;

use clap::Parser;
use loadtest::process::{cpu_seconds, settled};

use crate::connection::{Job, run};
use crate::report::Figures;

/// Measures a running node.
#[derive(Debug, Parser)]
struct Options {
    /// Address of the REST API.
    #[arg(long)]
    target: SocketAddr,
    /// Process id of the server.
    #[arg(long)]
    pid: u32,
    /// Token.
    #[arg(long)]
    token: String,
    /// Runs of each row, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of the large file.
    #[arg(long, default_value_t = 1 << 30)]
    large: usize,
    /// Files of each small row.
    #[arg(long, default_value_t = 2000)]
    files: usize,
    /// Only the rows whose name holds this: `upload 4 KiB on 16`.
    #[arg(long, default_value = "")]
    only: String,
}

/// One row: what is sent, on how many connections.
struct Row {
    name: &'static str,
    upload: bool,
    bytes: usize,
    files: usize,
    connections: usize,
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
fn main() -> Result<(), String> {
    let options = Options::parse();
    println!("{}", report::HEADING);
    for row in rows(&options) {
        let mut figures = Figures::default();
        for round in 0..=options.rounds {
            let jobs = (0..row.files)
                .map(|number| job(&options, &row, round, number))
                .collect();
            let before = cpu_seconds(options.pid)?;
            let seconds = run(options.target, row.connections, jobs).map_err(|error| error.to_string())?;
            let cpu = cpu_seconds(options.pid)? - before;
            // What the server does after its answers (sums, tables) is measured, but not beside the next round.
            let after = settled(options.pid)? - before - cpu;
            // The first round warms up.
            if round > 0 {
                figures.add(seconds, cpu, after, row.files, row.bytes * row.files);
            }
        }
        println!("{}", figures.row(row.name, row.connections));
    }
    Ok(())
}

/// All rows, or those asked for. Downloads need the uploads of their size before them.
fn rows(options: &Options) -> Vec<Row> {
    let many = options.files * 10;
    let middle = options.files * 2;
    let table = [
        ("upload large", options.large, 1, 1),
        ("download large", options.large, 1, 1),
        ("upload 4 KiB", 4096, many, 16),
        ("upload 4 KiB", 4096, many, 64),
        ("download 4 KiB", 4096, many, 16),
        ("upload 64 KiB", 65_536, middle, 16),
        ("download 64 KiB", 65_536, middle, 16),
    ];
    let row = |(name, bytes, files, connections): (&'static str, _, _, _)| Row {
        name,
        upload: name.starts_with("upload"),
        bytes,
        files,
        connections,
    };
    let wanted = |row: &Row| format!("{} on {}", row.name, row.connections).contains(&options.only);
    table.into_iter().map(row).filter(wanted).collect()
}

/// Uploads make new files every round; downloads fetch those of the last round of uploads.
fn job(options: &Options, row: &Row, round: usize, number: usize) -> Job {
    let round = if row.upload { round } else { options.rounds };
    let name = format!("b{}-{round}-{number}", row.bytes);
    let token = &options.token;
    if !row.upload {
        let head = format!(
            "GET /api/download/single?path=/{name} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        return Job {
            head: head.into_bytes(),
            body_bytes: 0,
            tail: Vec::new(),
            answer_bytes: Some(row.bytes),
        };
    }
    let front = format!("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
    let tail = b"\r\n--b--\r\n".to_vec();
    let length = front.len() + row.bytes + tail.len();
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: \
         multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n{front}"
    );
    Job {
        head: head.into_bytes(),
        body_bytes: row.bytes,
        tail,
        answer_bytes: None,
    }
}
