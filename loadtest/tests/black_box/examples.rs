//! The examples of `docs/loadtest.md`, run as they stand but for places and times.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::node::Node;

/// The blocks of a page that are for a shell.
fn script(page: &str) -> String {
    let blocks = page.split("```").skip(1).step_by(2);
    let scripts = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    scripts.collect::<Vec<_>>().join("\n")
}

#[test]
fn examples_run_as_they_stand() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let node = Node::start();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/loadtest.md");
    let (script, printed) = node.at_home(&script(&std::fs::read_to_string(page).unwrap()));
    assert!(script.matches("target/release/loadtest").count() >= 7);
    let script = script
        .replace("cargo build --release -p loadtest", "true")
        .replace("target/release/loadtest", env!("CARGO_BIN_EXE_loadtest"))
        .replace("--duration 10s", "--duration 300ms --warm-up 0");
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.ends_with("fast enough\n"), "{told}");
    assert!(directory.path().join("report.html").exists() && directory.path().join("report.json").exists());
    node.is_empty();
}
