//! Ends of all kinds: what was acknowledged is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Server, form, noise, request};

/// Short form; the nightly one sets more.
fn rounds() -> u64 {
    std::env::var("FILEGRID_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(4)
}

/// Paths of a worker's files, and what their bytes are made from.
type Files = BTreeMap<String, u64>;

fn content(seed: u64) -> Vec<u8> {
    let size = if seed.is_multiple_of(16) {
        200_000
    } else {
        3000 + seed % 5000
    };
    noise(usize::try_from(size).unwrap(), seed)
}

/// A client that uploads, replaces, moves and deletes in a directory of its own.
struct Worker {
    directory: String,
    files: Files,
    /// What they are if the request that got no answer was carried out.
    instead: Option<Files>,
    random: u64,
    acknowledged: usize,
}

impl Worker {
    fn dice(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % below as u64).unwrap()
    }

    fn some_path(&mut self) -> String {
        let number = self.dice(40);
        format!("{}/{number}", self.directory)
    }

    /// A request, and what the files are once it is carried out.
    fn next(&mut self, token: &str) -> (Vec<u8>, Files) {
        let mut after = self.files.clone();
        let json = [("Content-Type", "application/json")];
        let mut chosen = BTreeSet::new();
        for _ in 0..2 {
            let at = self.dice(self.files.len().max(1));
            chosen.extend(self.files.keys().nth(at).cloned());
        }
        match self.dice(6) {
            0 if !chosen.is_empty() => {
                after.retain(|path, _| !chosen.contains(path));
                let body = json!({"Filelist": chosen}).to_string();
                (
                    request(token, "POST", "/api/delete", &json, body.as_bytes()),
                    after,
                )
            }
            1 if !chosen.is_empty() => {
                let moves: Vec<_> = chosen
                    .iter()
                    .map(|from| {
                        let to = format!("{}/moved-{}", self.directory, self.random ^ after[from]);
                        let seed = after.remove(from).unwrap();
                        after.insert(to.clone(), seed);
                        json!({"from": from, "to": to})
                    })
                    .collect();
                let body = json!({"Movelist": moves}).to_string();
                (request(token, "POST", "/api/move", &json, body.as_bytes()), after)
            }
            _ => {
                let count = 1 + self.dice(3);
                let mut files = BTreeMap::new();
                for _ in 0..count {
                    let path = self.some_path();
                    self.dice(2);
                    files.insert(path, self.random);
                }
                let parts: Vec<_> = files
                    .iter()
                    .enumerate()
                    .map(|(at, (path, seed))| {
                        (format!("f{at}"), path.rsplit('/').next().unwrap(), content(*seed))
                    })
                    .collect();
                let places = parts
                    .iter()
                    .map(|(field, ..)| json!({"field": field, "path": self.directory}));
                let meta = json!({"files": places.collect::<Vec<_>>()});
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(field, name, bytes)| (field.as_str(), *name, bytes.as_slice()))
                    .collect();
                let body = form(&parts, Some(meta));
                let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
                after.extend(files);
                (request(token, "POST", "/api/upload", &kind, &body), after)
            }
        }
    }

    /// Works until the server is gone.
    fn work(&mut self, server: &Server) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", server.port)) else {
            return;
        };
        loop {
            let (bytes, after) = self.next(&server.token);
            let written = stream.write_all(&bytes);
            match written.ok().and_then(|()| status(&mut stream)) {
                Some(200) => {
                    self.files = after;
                    self.acknowledged += 1;
                }
                Some(other) => panic!(
                    "{other}: {}",
                    String::from_utf8_lossy(&bytes[..bytes.len().min(500)])
                ),
                None => {
                    self.instead = Some(after);
                    return;
                }
            }
        }
    }

    /// Holds what is there against what was acknowledged: all of it, and the last request whole or not at all.
    fn check(&mut self, server: &Server, tree: &[String]) {
        let prefix = format!("{}/", self.directory);
        let found: Vec<_> = tree.iter().filter(|path| path.starts_with(&prefix)).collect();
        let fits = |files: &Files| {
            found.len() == files.len()
                && files
                    .iter()
                    .all(|(path, seed)| found.contains(&path) && server.get(path).body == content(*seed))
        };
        if !fits(&self.files) {
            let instead = self.instead.take().filter(fits);
            self.files = instead.unwrap_or_else(|| panic!("{found:?} is there, not {:?}", self.files));
        }
        self.instead = None;
    }
}

/// The status of the next reply; `None` if none comes whole.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let (mut reply, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&reply).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map(|length| length.parse::<usize>().unwrap());
            if body.len() >= length? {
                return head.get(9..12)?.parse().ok();
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => reply.extend_from_slice(&piece[..read]),
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn what_was_acknowledged_survives_a_kill() {
    let mut server = Server::start();
    let mut workers: Vec<_> = (1..=4)
        .map(|number| Worker {
            directory: format!("/worker-{number}"),
            files: Files::new(),
            instead: None,
            random: 0x9e37_79b9_7f4a_7c15 ^ number,
            acknowledged: 0,
        })
        .collect();
    for round in 0..rounds() {
        std::thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| worker.work(&server));
            }
            std::thread::sleep(Duration::from_millis(200 + 70 * (round % 8)));
            let killed = std::process::Command::new("kill")
                .args(["-KILL", &server.pid().to_string()])
                .status();
            assert!(killed.unwrap().success());
        });
        server.kill_and_restart();
        let tree = server.tree();
        for worker in &mut workers {
            worker.check(&server, &tree);
        }
    }
    let acknowledged: usize = workers.iter().map(|worker| worker.acknowledged).sum();
    println!("{acknowledged} requests were acknowledged");
    assert!(workers.iter().all(|worker| worker.acknowledged > 0));
}

#[test]
fn a_stop_keeps_everything_and_ends_well() {
    let mut server = Server::start();
    server.put("/kept", b"1");
    server.call(
        "/api/move",
        json!({"Movelist": [{"from": "/kept", "to": "moved"}]}),
    );
    server.stop_and_restart();
    assert_eq!(server.get("/moved").text(), "1");
    server.put("/more", b"2");
    server.stop_and_restart();
    assert_eq!(server.tree(), ["/", "/more", "/moved"]);
}

#[test]
fn a_transfer_in_flight_finishes_before_the_stop() {
    let mut server = Server::start();
    let body = form(&[("f", "slow", &noise(100_000, 9))], None);
    let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
    let bytes = request(&server.token, "POST", "/api/upload", &kind, &body);
    let mut connection = server.connect();
    connection.send(&bytes[..50_000]);
    // The server has the head once it has answered another request behind it.
    assert_eq!(server.get("/nope").status, 404);
    server.terminate();
    connection.send(&bytes[50_000..]);
    let reply = connection.reply("POST");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(connection.is_closed());
    assert!(server.wait_for_end().success());
}
