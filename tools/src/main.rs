//! `filegridctl`: arguments, the command, what it says.

use std::process::ExitCode;

use clap::Parser;
use filegridctl::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(report) => {
            if cli.json {
                println!("{}", report.json);
            } else {
                print!("{}", report.text);
            }
            if report.failed {
                return ExitCode::FAILURE;
            }
        }
        Err(why) => {
            if cli.json {
                eprintln!("{}", serde_json::json!({ "error": why }));
            } else {
                eprintln!("filegridctl: {why}");
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
