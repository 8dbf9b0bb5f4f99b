//! The program `filegrid-meta`, as an operator starts it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use filegrid_meta::raft::Client;
use filegrid_meta::store;
use filegrid_meta::wire::{Destination, Dialer, Identity, Security};

struct Program {
    child: Child,
    metrics: u16,
    client: Client,
}

impl Program {
    /// Starts a member and waits until it listens.
    async fn start(data: &Path) -> Self {
        let _ = std::fs::remove_file(data.join("ports.json"));
        let mut child = command(data)
            .env("FILEGRID_META_PLAIN_TEXT", "true")
            .spawn()
            .unwrap();
        let (port, metrics) = loop {
            let ports = std::fs::read(data.join("ports.json")).unwrap_or_default();
            if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports)
                && let Some(metrics) = ports["metrics"].as_u64()
            {
                break (ports["wire"].as_u64().unwrap(), u16::try_from(metrics).unwrap());
            }
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let dialer = Dialer::new("filegrid", Identity::node("7"), Security::Plain);
        let address = format!("127.0.0.1:{port}");
        let client = Client::new(dialer, vec![Destination { member: 1, address }]);
        Self {
            child,
            metrics,
            client,
        }
    }

    /// Lets a node in: the number of its start.
    async fn enter(&self) -> u64 {
        let command = store::Command::Enter {
            node: 7,
            logs: 1,
            start: store::Start::default(),
        };
        let answered = self.client.propose(&command.encode().unwrap()).await.unwrap();
        match store::Reply::decode(&answered.answer).unwrap() {
            store::Reply::Entered { epoch, .. } => epoch,
            other => panic!("{other:?}"),
        }
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.unwrap().success());
        self.child.wait().unwrap()
    }
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filegrid-meta"));
    command.arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]);
    command.env("FILEGRID_META_METRICS", "127.0.0.1:0");
    command.env("FILEGRID_META_MEMBERS", "1@127.0.0.1:1");
    command
}

#[tokio::test]
async fn a_member_remembers_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let member = Program::start(&data).await;
    assert_eq!(member.enter().await, 1);
    assert!(member.terminate().success());
    let member = Program::start(&data).await;
    assert_eq!(member.enter().await, 2);
    assert!(member.terminate().success());
}

/// What the member answers on the listener of its metrics.
fn probe(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_member_tells_how_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let member = Program::start(&directory.path().join("data")).await;
    // Whoever is let in has found a leader.
    member.enter().await;
    for path in ["/livez", "/readyz", "/readyz/"] {
        let answer = probe(member.metrics, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
    let answer = probe(member.metrics, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    for line in [
        "filegrid_ready 1\n",
        "filegrid_raft_leads 1\n",
        "filegrid_raft_member_votes{member=\"1\"} 1\n",
        "filegrid_build_info{version=\"",
        "# EOF\n",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
    assert!(member.terminate().success());
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&directory.path().join("data")).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("tls_authority"), "{said}");
}
