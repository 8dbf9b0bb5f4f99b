//! The storage node: options, configuration, shards, end.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use filegrid::cli::{self, Cli, Command};
use filegrid::node::Node;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FILEGRID_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filegrid_meta::LOG_FILTER));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let config = cli.config()?;
    match &cli.command {
        Some(Command::AddUser(user)) => return cli::add_user(&config, user),
        Some(Command::OperatorToken) => return cli::new_operator_token(&config),
        Some(Command::SftpStdio(session)) => return cli::sftp_stdio(&config, session),
        None => {}
    }
    let stop = stop_on_signals().map_err(no_signals)?;
    let mut hangups = Signals::new([SIGHUP]).map_err(no_signals)?;
    raise_descriptor_limit();
    let node = Node::start(config, cli::print_first)?;
    if let (Some(first), Some(http)) = (&node.first, node.addresses.http) {
        cli::print_first_upload(&first.keys, http);
    }
    node.announce();
    while !stop.load(Ordering::Acquire) {
        if hangups.pending().next().is_some() {
            node.reload();
        }
        node.check()?;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    tracing::info!("stopping");
    node.stop()
}

fn no_signals(error: std::io::Error) -> String {
    format!("cannot wait for signals: {error}")
}

/// Set by the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // Actions are taken in the order in which they were registered.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Every connection needs a descriptor, and the usual limit is 1024; a process may raise it up to a harder one.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
