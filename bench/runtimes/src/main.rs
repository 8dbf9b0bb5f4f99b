//! The ingest loop of a node, reduced to what matters, on four runtimes: the same loop, the same sizes, one thread.

#![allow(clippy::disallowed_methods, reason = "the clock is what measures")]

mod aligned;
mod client;
mod contender;
mod content;
mod ingest;
mod limits;
mod log;
mod on_compio;
mod on_glommio;
mod on_monoio;
mod on_tokio;
mod report;
mod row;
mod runtime;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::contender::{CLIENT_CORE, Contender, pin};
use crate::content::Content;
use crate::report::Report;
use crate::row::Row;

/// Compares runtimes at taking in files.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    /// Directory for what is stored; on the disk that is to be measured.
    #[arg(long, default_value = "target/runtimes-data")]
    directory: PathBuf,
    /// Rounds that count, after one that does not; all contenders take their turn in each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// MiB of the large body; eight bodies have an eighth each.
    #[arg(long, default_value_t = 1024)]
    large_mib: u64,
    /// Bodies of 4 KiB a run.
    #[arg(long, default_value_t = 20_000)]
    small: u64,
    /// Writes the table into this page too, between `<!-- runtimes -->` and `<!-- /runtimes -->`.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Is the server of one contender; the bench starts these.
    Serve {
        /// The contender.
        #[arg(long)]
        runtime: Contender,
        /// Where to store.
        #[arg(long)]
        directory: PathBuf,
        /// Number of the run, which marks the records of the log.
        #[arg(long)]
        run: u64,
    },
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(Role::Serve {
        runtime,
        directory,
        run,
    }) = options.role
    {
        return Ok(runtime.serve(directory, run)?);
    }
    std::fs::create_dir_all(&options.directory)?;
    let directory = options.directory.join(format!("run-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let measured = measure(&options, &directory);
    std::fs::remove_dir_all(&directory)?;
    let report = measured?;
    println!("{report}");
    if let Some(page) = &options.write {
        report.write(page)?;
    }
    Ok(())
}

/// Every row with every contender in every round.
fn measure(options: &Options, directory: &Path) -> Result<Report, Failure> {
    let rows = rows(options);
    // Twice the bodies: a batch of one takes two blocks.
    fill_log(&directory.join("log"), options.small * 2 * 4096 + (1 << 20))?;
    pin(CLIENT_CORE)?;
    let content = Content::new();
    let mut report = Report::default();
    let mut run = 0;
    for round in 0..=options.rounds {
        for row in &rows {
            for contender in [
                Contender::Monoio,
                Contender::Glommio,
                Contender::Compio,
                Contender::Tokio,
            ] {
                if report.skipped(contender) {
                    continue;
                }
                run += 1;
                match row.measure(contender, &content, directory, run) {
                    // The first round warms up.
                    Ok(_) if round == 0 => {}
                    Ok(sample) => report.add(row, contender, sample),
                    Err(reason) => report.skip(contender, reason),
                }
                eprintln!(
                    "round {round} of {}: {}, {}",
                    options.rounds,
                    row.name,
                    contender.name()
                );
            }
        }
    }
    Ok(report)
}

fn rows(options: &Options) -> Vec<Row> {
    let large = options.large_mib << 20;
    let row = |name: String, bodies, bytes, connections| Row {
        name,
        bodies,
        bytes,
        connections,
    };
    let eighth = options.large_mib / 8;
    vec![
        row(format!("{} MiB", options.large_mib), 1, large, 1),
        row(format!("8 of {eighth} MiB"), 8, eighth << 20, 8),
        row("4 KiB".to_owned(), options.small, 4096, 16),
        row("4 KiB".to_owned(), options.small, 4096, 64),
    ]
}

/// Writes the whole log once, as a segment that is used again has been.
fn fill_log(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut log = std::fs::File::create_new(path)?;
    let zeroes = vec![0; 1 << 20];
    for _ in 0..bytes.div_ceil(zeroes.len() as u64) {
        log.write_all(&zeroes)?;
    }
    log.sync_all()
}
