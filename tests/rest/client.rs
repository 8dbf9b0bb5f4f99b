//! Real clients, where they are installed.

use std::process::{Command, Stdio};

/// Whether all of these programs can be run. A test that needs one that is missing says so and is skipped, or fails
/// where `FILEGRID_REQUIRE_CLIENTS` is set.
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
    assert!(
        missing.is_empty() || std::env::var_os("FILEGRID_REQUIRE_CLIENTS").is_none(),
        "not installed: {missing:?}"
    );
    if !missing.is_empty() {
        println!("skipped: {missing:?} not installed");
    }
    missing.is_empty()
}
