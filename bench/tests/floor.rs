//! The floor of the comparison stores what it is sent and stays in its directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A floor that ends with the test.
struct Floor {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Floor {
    fn start(directory: &Path, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_floor"))
            .args(["--listen", "127.0.0.1:0", "--directory"])
            .arg(directory)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.strip_prefix("listening ").unwrap().trim();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let stream = BufReader::new(stream);
        Self { process, stream }
    }

    /// Sends a request on the one connection; returns the status and the body.
    fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: floor\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        self.stream.get_mut().write_all(body).unwrap();
        let (mut status, mut length) = (0, 0);
        for number in 0.. {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if number == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        (status, answer)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn exercise(durable: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let inside = place.path().join("served");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(place.path().join("secret"), "secret").unwrap();
    let mut floor = Floor::start(&inside, durable);
    assert_eq!(floor.ask("MKCOL", "/d", b"").0, 201);
    // Nothing, what goes with the head, what goes by sendfile, and more than the buffer.
    for bytes in [0, 1, 4096, 65_537, 3_000_001] {
        let (sent, target) = (noise(bytes), format!("/d/f{bytes}"));
        assert_eq!(floor.ask("PUT", &target, &sent).0, 201);
        assert!(std::fs::read(inside.join(&target[1..])).unwrap() == sent);
        assert!(floor.ask("GET", &target, b"") == (200, sent));
    }
    assert_eq!(floor.ask("PUT", "/d/f4096", b"shorter").0, 201);
    assert_eq!(floor.ask("GET", "/d/f4096", b""), (200, b"shorter".to_vec()));

    for target in ["/../secret", "/d/../../secret", "/..", "//etc/passwd", "/", "/."] {
        assert_eq!(floor.ask("GET", target, b""), (403, vec![]), "{target}");
        assert_eq!(floor.ask("PUT", target, b"mine"), (403, vec![]), "{target}");
        assert_eq!(floor.ask("MKCOL", target, b""), (403, vec![]), "{target}");
    }
    assert_eq!(
        std::fs::read_to_string(place.path().join("secret")).unwrap(),
        "secret"
    );
    assert_eq!(floor.ask("PUT", "/none/f", b"mine").0, 409);
    assert_eq!(floor.ask("GET", "/none", b"").0, 404);
    assert_eq!(floor.ask("DELETE", "/d/f1", b"").0, 405);
    // No temporary name is left.
    assert_eq!(std::fs::read_dir(inside.join("d")).unwrap().count(), 5);
}

#[test]
fn what_is_put_is_got_back_and_nothing_outside_is_reached() {
    exercise(&[]);
}

#[test]
fn so_it_is_when_durable() {
    exercise(&["--durable"]);
}
