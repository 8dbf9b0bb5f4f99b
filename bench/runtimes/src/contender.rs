//! The contenders by name, and a server of each as a process of its own.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::ingest;
use crate::on_compio::Compio;
use crate::on_glommio::Glommio;
use crate::on_monoio::Monoio;
use crate::on_tokio::Tokio;

/// Core of the server; the client has the other.
const SERVER_CORE: usize = 0;
/// Core of the client.
pub(crate) const CLIENT_CORE: usize = 1;
/// Memory that may be registered with a ring, in bytes.
const LOCKED_BYTES: u64 = 256 << 20;

/// A runtime that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// io_uring, as a node uses it.
    Monoio,
    /// io_uring, with registered memory for files.
    Glommio,
    /// io_uring.
    Compio,
    /// epoll, and a pool of threads for files.
    Tokio,
}

impl Contender {
    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monoio => "monoio 0.2.4",
            Self::Glommio => "glommio 0.9",
            Self::Compio => "compio 0.19",
            Self::Tokio => "tokio 1.54, blocking pool",
        }
    }

    /// Is its server, on one core, until it is killed.
    pub(crate) fn serve(self, directory: PathBuf, run: u64) -> Result<()> {
        let limit = Some(LOCKED_BYTES);
        // What may not be raised is enough on many systems; if not, the runtime says so.
        let _ = setrlimit(
            Resource::Memlock,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        );
        pin(SERVER_CORE)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut out = std::io::stdout();
        writeln!(out, "listening {}", listener.local_addr()?)?;
        out.flush()?;
        match self {
            Self::Monoio => ingest::serve::<Monoio>(listener, directory, run),
            Self::Glommio => ingest::serve::<Glommio>(listener, directory, run),
            Self::Compio => ingest::serve::<Compio>(listener, directory, run),
            Self::Tokio => ingest::serve::<Tokio>(listener, directory, run),
        }
    }
}

/// Keeps this thread, and those it starts, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one in `directory`, which has a file `log`.
    pub(crate) fn start(contender: Contender, directory: &Path, run: u64) -> Result<Self> {
        let contender = contender
            .to_possible_value()
            .ok_or(Error::other("a contender without a name"))?;
        let mut process = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--runtime",
                contender.get_name(),
                "--run",
                &run.to_string(),
                "--directory",
            ])
            .arg(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line
            .trim()
            .strip_prefix("listening ")
            .and_then(|text| text.parse().ok());
        match address {
            Some(address) => Ok(Self { process, address }),
            None => Err(Error::other(ended(process))),
        }
    }

    /// Ends it; returns what it has said.
    pub(crate) fn stop(self) -> String {
        ended(self.process)
    }
}

/// Kills and reaps; returns the last line of its standard error.
fn ended(mut process: Child) -> String {
    let mut said = String::new();
    // A process that has ended cannot be killed, and one without output has said nothing.
    let _ = process.kill();
    if let Some(error) = &mut process.stderr {
        let _ = error.read_to_string(&mut said);
    }
    let _ = process.wait();
    said.trim().lines().last().unwrap_or_default().to_owned()
}
