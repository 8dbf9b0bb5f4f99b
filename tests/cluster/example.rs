//! The example: three members and two nodes, all as programs of their own, by one command.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::poll;

/// The example as it runs. It stops all that it has started.
struct Example {
    child: Child,
    lines: Vec<String>,
}

impl Example {
    fn start(home: &Path, port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/example/run");
        let mut child = Command::new(script)
            .arg(home)
            .env("FILEGRID_BIN", programs())
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines: Vec<String> = Vec::new();
        for line in told {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line.contains("Ctrl-C stops")) {
                break;
            }
        }
        let example = Self { child, lines };
        // Programs that were built before this test may speak another version of the protocol.
        let told = example.all("SecretKey").len();
        assert_eq!(
            told, 2,
            "it did not start: see above, and cargo build --workspace"
        );
        example
    }

    /// The values of a name, a node each.
    fn all(&self, name: &str) -> Vec<&str> {
        let head = format!("  {name}: ");
        let values = self.lines.iter().filter_map(|line| line.strip_prefix(&head));
        values.collect()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

/// Where the three programs are: two of them are other packages', which are built with the tests of all.
fn programs() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_filegrid")).parent().unwrap();
    let missing = ["filegrid-meta", "filegridctl"].map(|name| !programs.join(name).exists());
    if missing.contains(&true) {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "filegrid-meta", "-p", "filegridctl"]);
        assert!(build.status().unwrap().success());
    }
    programs.to_owned()
}

/// The first of some ports that are free now.
fn free_ports() -> u16 {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let all: Option<Vec<_>> = (first..=first.saturating_add(28))
            .map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .collect();
        if all.is_some() {
            return first;
        }
    }
    panic!("there are no free ports");
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS"])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn tokens(example: &Example, port: u16) -> Vec<String> {
    let names = ["AssociationKey", "AccessKey", "SecretKey"];
    let keys = names.map(|name| example.all(name));
    let login = |number: usize| {
        let at = format!(
            "http://127.0.0.1:{}/apiaccess/auth",
            port + 10 * (number as u16 + 1) + 1
        );
        let body: serde_json::Map<_, _> = names
            .iter()
            .zip(&keys)
            .map(|(name, values)| ((*name).to_owned(), values[number].into()))
            .collect();
        let body = serde_json::Value::Object(body).to_string();
        let answer: serde_json::Value = serde_json::from_str(&curl(&[&at, "--json", &body])).unwrap();
        format!("Authorization: Bearer {}", answer["token"].as_str().unwrap())
    };
    (0..2).map(login).collect()
}

#[test]
fn the_example_runs_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_ports();
    let at = |number: u16, path: &str| format!("http://127.0.0.1:{}{path}", port + 10 * number + 1);
    let example = Example::start(directory.path(), port);
    let all = tokens(&example, port);
    for (token, number) in all.iter().zip(1..) {
        let file = format!("f=@{};filename=a", env!("CARGO_MANIFEST_PATH"));
        let done = curl(&[&at(number, "/api/upload"), "-H", token, "-F", &file]);
        assert!(done.contains("\"OK\""), "{done}");
    }
    // The tree of either is the cluster's, whichever node is asked.
    for token in &all {
        for number in 1..3 {
            poll(|| curl(&[&at(number, "/api/list/tree"), "-H", token, "--json", "{}"]).contains("\"/a\""));
        }
    }
    let before: Vec<_> = example.all("AccessKey").iter().map(ToString::to_string).collect();
    drop(example);
    // All that it started has ended: the ports are free again, and the data is not in use.
    let example = Example::start(directory.path(), port);
    assert_eq!(example.all("AccessKey"), before);
    let token = &tokens(&example, port)[1];
    poll(|| curl(&[&at(2, "/api/list/tree"), "-H", token, "--json", "{}"]).contains("\"/a\""));
}
