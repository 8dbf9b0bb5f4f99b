//! What a command has to say.

use serde_json::Value;

/// The same thing, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Lines, each with its end.
    pub text: String,
    /// What `--json` prints instead, on one line.
    pub json: Value,
}
