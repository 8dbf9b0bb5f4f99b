//! The storage node: options, configuration, shards, end.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use filegrid::cli::{self, Cli, Command};
use filegrid::node::Node;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FILEGRID_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
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
        None => {}
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| error.to_string())?;
    let node = Node::start(config)?;
    if let Some(first) = &node.first {
        cli::print_first(first);
        if let Some(http) = node.addresses.http {
            cli::print_first_upload(&first.keys, http);
        }
    }
    node.announce();
    loop {
        match signals.pending().next() {
            Some(SIGHUP) => node.reload(),
            Some(_) => break,
            None => {}
        }
        if !node.is_well() {
            return Err("a shard has stopped: see the log above".to_owned());
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    tracing::info!("stopping");
    node.stop()
}
