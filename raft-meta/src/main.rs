//! A member of the metadata cluster: options, configuration, member, end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use filegrid_meta::LOG_FILTER;
use filegrid_meta::config::{self, Overrides};
use filegrid_meta::host::write_ports;
use filegrid_meta::probes::Probes;
use filegrid_meta::serve::Serving;
use tokio::signal::unix::{SignalKind, signal};

/// A member of the metadata cluster of filegrid.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Configuration file; raft-meta/filegrid-meta.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept [default: filegrid-meta-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Number of this member, the same for ever [default: 1].
    #[arg(long, value_name = "N")]
    id: Option<u64>,
    /// Address for members, nodes and operators [default: 127.0.0.1:8090].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FILEGRID_META_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), String> {
    let options = Overrides {
        data: cli.data,
        id: cli.id,
        listen: cli.listen,
    };
    let config = config::load(cli.config.as_deref(), std::env::vars(), options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(async {
        let no_signals = |error| format!("cannot wait for signals: {error}");
        let mut term = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let probes = match config.metrics {
            Some(address) => Some(Probes::bind(address).await?),
            None => None,
        };
        let serving = Serving::start(&config).await?;
        let member = serving.member().clone();
        if let Some(probes) = &probes {
            let written = write_ports(&config.data, serving.port(), Some(probes.port()));
            written.map_err(|error| format!("cannot write ports.json: {error}"))?;
        }
        let probes = probes.map(|probes| tokio::spawn(probes.serve(serving.nodes().clone())));
        tracing::info!(
            "member {} of cluster {}, port {}",
            config.id,
            config.cluster,
            serving.port().unwrap_or_default()
        );
        tokio::select! {
            why = member.failed() => return Err(format!("the member cannot go on: {why}")),
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        if let Some(probes) = probes {
            probes.abort();
            let _ = probes.await;
        }
        // The log is closed when its last handle is dropped.
        drop(member);
        serving.stop().await;
        Ok(())
    })
}
