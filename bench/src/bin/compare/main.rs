//! filegrid beside its peers: starts each server, does the same work with each of them in turn, round after round, and writes
//! tables and a plot. `cargo run --release -p filegrid-bench --bin compare`; as root for the figures that are published.
//!
//! Every server has an empty directory on the same disk, and the same client: the load generator, as a library, on one thread
//! of this process. Rounds are interleaved, so that whatever else the machine does meets all alike. In the first round, which
//! does not count, all bytes are compared with what was sent. What a server leaves to be written later is written before the
//! next one's turn.

mod contest;
mod http;
mod listing;
mod machine;
mod memory;
mod metric;
mod network;
mod page;
mod plot;
mod proposals;
mod report;
mod resume;
mod rows;
mod servers;
mod transfer;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use loadtest::tls::Trust;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::contest::{Contest, Measured, say};
use crate::servers::{Install, Kind, Place};

/// The page of the figures.
const PERFORMANCE: &str = "docs/performance.md";

/// Measures filegrid and its peers, each row on all of them in turn.
#[derive(Debug, Parser)]
struct Options {
    /// Only rows whose names begin with one of these: http-upload,ftp
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only servers whose names begin with one of these: filegrid,nginx
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Rounds that count, after one that does not
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// On the disk that is to be measured: servers keep what they get below it, which is deleted at the end
    #[arg(long, default_value = "target/compare")]
    directory: PathBuf,
    /// Builds ours, and gets the peers that are missing: by apt (as root), pip or cargo, as far as possible below target/
    #[arg(long)]
    install: bool,
    /// Only starts each server, and stores, fetches and compares a few files through each of its doors
    #[arg(long)]
    check: bool,
    /// Measures a cluster of ours instead, by way of the node that has the files and of another; --write writes that part
    #[arg(long)]
    relay: bool,
    /// Only names rows and servers
    #[arg(long)]
    list: bool,
    /// Writes docs/performance.md, docs/performance.svg and README.md
    #[arg(long)]
    write: bool,
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
fn main() -> Result<(), String> {
    let options = Options::parse();
    if options.list {
        println!("{}", list());
        return Ok(());
    }
    let (kinds, rows) = if options.relay {
        (servers::clusters(), rows::relayed())
    } else {
        (servers::all(), rows::all())
    };
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .filter(|kind| named(kind.name, &options.servers))
        .collect();
    // Where there is a network to get them from.
    if options.install && !network::is_inside() {
        let wanted = |kind: &&Kind| kind.install == Install::Ours || (kind.version)().is_none();
        for kind in kinds.iter().filter(wanted) {
            say(&format!("getting {}", kind.name));
            if let Err(why) = servers::install(kind) {
                say(&format!("{}: {why}", kind.name));
            }
        }
    }
    if !network::enter()? {
        say(
            "not as root: this network's settings are in the figures, and servers that need root are left out",
        );
    }
    let temporary = Temporary::new(&options.directory)?;
    let directory = &temporary.0;
    let place = place(directory)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| error.to_string())?;
    }
    if options.check {
        return servers::check(&kinds, &place, &interrupted);
    }
    let (there, missing): (Vec<_>, Vec<_>) = kinds.iter().partition(|kind| kind.missing().is_none());
    let about = about(directory, options.rounds, &there, &missing);
    println!("{about}");
    let mut contest = Contest::new(there, place, options.rounds, &interrupted);
    let mut all = Vec::new();
    for row in rows.into_iter().filter(|row| named(row.id, &options.rows)) {
        say(&format!("{}: {}", row.id, row.title));
        let measured = contest.measure(row);
        if interrupted.load(Ordering::Relaxed) {
            return Err("interrupted: nothing is written".to_owned());
        }
        println!("{}", report::tables(std::slice::from_ref(&measured)));
        all.push(measured);
    }
    contest.end();
    if options.relay {
        let text = format!("{about}\n{}", report::ways(&all));
        println!("{text}");
        return if options.write {
            page::write(Path::new(PERFORMANCE), "relay", &text)
        } else {
            Ok(())
        };
    }
    println!("{}", report::summary(&all));
    if options.write {
        write(&about, &all)?;
    }
    Ok(())
}

/// Whether a name begins with one of those that were asked for; all do if none were.
fn named(name: &str, asked: &[String]) -> bool {
    asked.is_empty() || asked.iter().any(|asked| name.starts_with(asked.as_str()))
}

fn list() -> String {
    let mut text = "rows\n".to_owned();
    for row in rows::all() {
        let _ = writeln!(text, "  {:<20} {}", row.id, row.title);
    }
    text.push_str("servers\n");
    for kind in servers::all() {
        let version = (kind.version)().unwrap_or_else(|| "not installed".to_owned());
        let _ = writeln!(text, "  {:<20} {version}", kind.name);
    }
    text
}

/// What stands above the tables.
fn about(directory: &Path, rounds: usize, there: &[&Kind], missing: &[&Kind]) -> String {
    let versions = there
        .iter()
        .filter_map(|kind| Some(format!("{} {}", kind.name, (kind.version)()?)));
    let mut text = format!(
        "{}. The median of {rounds} rounds, with the least and the most of them.\n\nServers: {}.\n",
        machine::describe(directory),
        versions.collect::<Vec<_>>().join(", ")
    );
    if !missing.is_empty() {
        let names = missing
            .iter()
            .filter_map(|kind| Some(format!("{} ({})", kind.name, kind.missing()?)));
        let _ = writeln!(text, "\nLeft out: {}.", names.collect::<Vec<_>>().join(", "));
    }
    text
}

fn write(about: &str, all: &[Measured]) -> Result<(), String> {
    let summary = format!("{about}\n{}", report::summary(all));
    let performance = Path::new(PERFORMANCE);
    page::write(performance, "summary", &summary)?;
    page::write(performance, "tables", &report::tables(all))?;
    std::fs::write("docs/performance.svg", plot::svg(all))
        .map_err(|error| format!("docs/performance.svg: {error}"))?;
    page::write(Path::new("README.md"), "figures", &report::front(all))
}

/// A place with a certificate for this machine.
fn place(directory: &Path) -> Result<Place, String> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).map_err(|error| error.to_string())?;
    std::fs::write(&key, made.signing_key.serialize_pem()).map_err(|error| error.to_string())?;
    Ok(Place {
        directory: directory.to_owned(),
        certificate,
        key,
        // What it costs to trust a server is the client's, and some servers make their certificates themselves.
        trust: Trust::Anybody,
    })
}

/// A directory of this run, deleted at the end: what else is beside it is somebody else's, or of a run that was ended by force.
struct Temporary(PathBuf);

impl Temporary {
    fn new(parent: &Path) -> Result<Self, String> {
        let path = parent.join(format!("run-{}", std::process::id()));
        let made = std::fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        made.map(Self)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            say(&format!("{}: {error}", self.0.display()));
        }
    }
}
