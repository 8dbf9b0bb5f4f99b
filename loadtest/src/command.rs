//! The program: options in, a report and a status out.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::cli::Cli;
use crate::clock;
use crate::plan::Plan;
use crate::report::{Report, html, json, text};
use crate::run;

/// All went well.
pub const PASSED: u8 = 0;
/// A threshold was missed, a request failed, or something is left on the server.
pub const MISSED: u8 = 1;
/// It could not do what it was asked.
pub const FAILED: u8 = 2;

/// Does what the options say, writes the report to `out`, and says how the process is to end.
///
/// # Errors
///
/// A text that says why it could not.
pub fn execute(cli: Cli, out: &mut dyn Write) -> Result<u8, String> {
    let plan = Plan::new(cli.command)?;
    for path in plan.json.iter().chain(&plan.html) {
        try_to_write(path)?;
    }
    let began = clock::unix_seconds();
    let outcome = run::run(plan.clone())?;
    let report = Report::new(&plan, began, outcome);
    write!(out, "{}", text::write(&report)).map_err(|error| format!("cannot write the report: {error}"))?;
    if let Some(path) = &plan.json {
        write_file(path, &json::write(&report)?)?;
    }
    if let Some(path) = &plan.html {
        write_file(path, &html::write(&report))?;
    }
    Ok(if report.passed { PASSED } else { MISSED })
}

/// Finds out before the run whether a report can be written after it. What is there stays until then.
fn try_to_write(path: &Path) -> Result<(), String> {
    let was_there = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| format!("{}: {error}", path.display()))?;
    if !was_there {
        // An empty file would be taken for a report.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
