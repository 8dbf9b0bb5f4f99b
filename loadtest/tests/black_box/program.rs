//! Calls the program and reads its report.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// The report; null if there is none.
    pub(crate) report: Value,
}

/// A run that is going on.
pub(crate) struct Running {
    child: Child,
    json: PathBuf,
    _directory: tempfile::TempDir,
}

/// Calls it with options, separated by spaces.
pub(crate) fn loadtest(options: &str) -> Ended {
    start(options).wait()
}

pub(crate) fn start(options: &str) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(options.split_whitespace()).arg("--json").arg(&json);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Running {
        child,
        json,
        _directory: directory,
    }
}

impl Running {
    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn wait(self) -> Ended {
        let output = self.child.wait_with_output().unwrap();
        let report = std::fs::read(&self.json).unwrap_or_default();
        Ended {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            report: serde_json::from_slice(&report).unwrap_or_default(),
        }
    }
}

impl Ended {
    /// That all went well, for so many requests at least.
    #[track_caller]
    pub(crate) fn passed(&self, requests: u64) -> &Self {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        assert_eq!(self.report["passed"], true);
        assert_eq!(
            self.report["figures"]["errors"],
            Value::Array(Vec::new()),
            "{}",
            self.out
        );
        assert!(self.requests() >= requests, "{}", self.out);
        self
    }

    /// That it ended with 1, and said so.
    #[track_caller]
    pub(crate) fn missed(&self, text: &str) -> &Self {
        assert_eq!(self.status, Some(1), "{}{}", self.out, self.err);
        assert_eq!(self.report["passed"], false);
        assert!(self.out.contains(text), "{}{}", self.out, self.err);
        self
    }

    /// That it ended with 2, and said why.
    #[track_caller]
    pub(crate) fn failed(&self, text: &str) -> &Self {
        assert_eq!(self.status, Some(2), "{}{}", self.out, self.err);
        assert!(self.err.contains(text), "{}{}", self.out, self.err);
        self
    }

    /// Requests that succeeded.
    pub(crate) fn requests(&self) -> u64 {
        self.report["figures"]["all"]["requests"].as_u64().unwrap()
    }

    /// Errors of a kind.
    pub(crate) fn errors(&self, kind: &str) -> u64 {
        let errors = self.report["figures"]["errors"].as_array().unwrap().iter();
        let of_kind = errors.filter(|error| error["kind"] == kind);
        of_kind.map(|error| error["count"].as_u64().unwrap()).sum()
    }

    /// A number of all requests: `latency`, `p99_us`.
    pub(crate) fn number(&self, group: &str, name: &str) -> f64 {
        self.report["figures"]["all"][group][name].as_f64().unwrap()
    }
}
