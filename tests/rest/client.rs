//! Real clients, where they are installed.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::support::Server;

/// Says that a test is skipped for want of something, or fails where `FILEGRID_REQUIRE_CLIENTS` is set.
#[track_caller]
pub(crate) fn lacks(what: &str) {
    assert!(
        std::env::var_os("FILEGRID_REQUIRE_CLIENTS").is_none(),
        "not installed: {what}"
    );
    println!("skipped: {what} not installed");
}

/// Whether all of these programs can be run. A test that needs one that is missing is skipped, or fails.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        // Some know the one, some the other.
        !["--version", "-v"].iter().any(|option| {
            let mut command = Command::new(program);
            command.arg(option).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        })
    };
    let missing: Vec<_> = programs.iter().filter(missing).collect();
    if !missing.is_empty() {
        lacks(&format!("{missing:?}"));
    }
    missing.is_empty()
}

/// Runs a client; `None` where it is missing and may be.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            lacks(&format!("{} ({error})", command.get_program().to_string_lossy()));
            None
        }
    }
}

/// What a client that succeeded has printed.
#[track_caller]
pub(crate) fn well(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A directory beside the server's data.
pub(crate) fn directory(server: &Server, name: &str) -> PathBuf {
    let path = server.data().with_extension(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}
