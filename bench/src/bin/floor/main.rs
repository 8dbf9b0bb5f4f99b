//! A server that does the least that storing and sending files over HTTP can be done with: the floor that the
//! comparison measures all others against. It is no server to be used: it has no users, no time limits, no TLS.

mod connection;
mod get;
mod options;
mod path;
mod put;
mod request;

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use crate::options::{Asked, Options, USAGE};

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "help and errors are for a terminal"
)]
fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Asked::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Asked::Serve(options)) => match serve(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("floor: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("floor: {error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Serves until it is killed, one thread a connection.
fn serve(options: Options) -> std::io::Result<()> {
    let directory = options.directory.canonicalize()?;
    let options = Arc::new(Options { directory, ..options });
    let listener = TcpListener::bind(options.listen)?;
    let mut out = std::io::stdout();
    writeln!(out, "listening {}", listener.local_addr()?)?;
    out.flush()?;
    loop {
        let (stream, _) = listener.accept()?;
        let options = options.clone();
        // A client that goes away ends its thread and nothing else.
        std::thread::Builder::new().spawn(move || connection::serve(&stream, &options))?;
    }
}
