//! Proposals a second of three members of the metadata cluster, each made durable, beside Debian's etcd if it is
//! installed. `cargo run --release -p filegrid-bench --bin metadata`.
//!
//! Both are three processes on this machine with their data side by side; the client is the same: so many connections
//! to the leader, one write at a time on each. Times are of the client.
//!
//! With `tree`, one member with the tree of a node: how fast it takes changes, and how fast it lists them.

mod etcd;
mod figures;
mod machine;
mod members;
mod tree;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::figures::Row;

/// Measures the metadata cluster.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<RoleOf>,
    /// Directory for the data of all; on the disk that is to be measured.
    #[arg(long, default_value = "target/bench-metadata")]
    data: std::path::PathBuf,
    /// Clients, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    clients: Vec<usize>,
    /// Length of each measurement, after one of a third that is not counted.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Bytes of a value; a key has 16.
    #[arg(long, default_value_t = 100)]
    value: usize,
    /// A line of JSON for each, instead of a table.
    #[arg(long)]
    json: bool,
    /// Leaves etcd out.
    #[arg(long)]
    without_etcd: bool,
}

#[derive(Debug, Subcommand)]
enum RoleOf {
    /// Runs one member; the bench starts three of these.
    Member {
        /// Its number.
        #[arg(long)]
        id: u64,
        /// Addresses of all.
        #[arg(long, value_delimiter = ',')]
        members: Vec<String>,
        /// Its directory.
        #[arg(long)]
        data: std::path::PathBuf,
    },
    /// Ships changes to one member, and lists the tree that they make.
    Tree {
        /// Files.
        #[arg(long, default_value_t = 1_000_000)]
        files: u64,
        /// Listings in each way.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are what was asked for"
)]
fn main() -> Result<(), String> {
    let options = Options::parse();
    if let Some(RoleOf::Member { id, members, data }) = &options.role {
        return members::run(*id, members, data);
    }
    if let Some(RoleOf::Tree { files, rounds }) = options.role {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        return runtime.block_on(tree::measure(&options.data.join("tree"), files, rounds));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let measure = Duration::from_secs(options.seconds);
    if !options.json {
        println!("{}", figures::HEADING);
    }
    let mut rows: Vec<Row> = Vec::new();
    let ours = members::Cluster::start(&options.data.join("members"))?;
    for clients in &options.clients {
        let row = runtime.block_on(members::measure(&ours, *clients, measure, options.value))?;
        println!("{}", if options.json { row.json() } else { row.show() });
        rows.push(row);
    }
    drop(ours);
    if options.without_etcd || !etcd::is_installed() {
        eprintln!("etcd-server is not installed, or was left out");
        return Ok(());
    }
    let theirs = etcd::Cluster::start(&options.data.join("etcd"))?;
    for (clients, ours) in options.clients.iter().zip(rows) {
        let row = runtime.block_on(etcd::measure(&theirs, *clients, measure, options.value))?;
        println!(
            "{}",
            if options.json {
                row.json()
            } else {
                row.beside(&ours)
            }
        );
    }
    Ok(())
}
