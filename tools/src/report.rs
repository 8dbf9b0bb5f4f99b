//! What a command has to say.

use serde_json::Value;

/// The same thing, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Lines, each with its end.
    pub text: String,
    /// What `--json` prints instead, on one line.
    pub json: Value,
    /// Whether it tells of something that is wrong: the program ends with 1 then.
    pub failed: bool,
}

impl Report {
    /// What is as it should be.
    #[must_use]
    pub fn new(text: String, json: Value) -> Self {
        let failed = false;
        Self { text, json, failed }
    }
}
