//! The load generator.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use loadtest::cli::Cli;
use loadtest::command::{FAILED, execute};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    raise_descriptor_limit();
    match execute(Cli::parse(), &mut std::io::stdout()) {
        Ok(status) => status.into(),
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "loadtest: {error}");
            FAILED.into()
        }
    }
}

/// Every connection needs a descriptor or two, and the usual limit is 1024; a process may raise it up to a harder one.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, connections fail and say so.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
