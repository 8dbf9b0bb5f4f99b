//! Ends of all kinds: what was acknowledged is there afterwards.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{Server, form, noise, request};

/// Short form; the nightly one sets more.
fn rounds() -> u64 {
    std::env::var("FILEGRID_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(4)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn what_was_acknowledged_survives_a_kill() {
    let mut server = Server::start();
    let acknowledged = Mutex::new(Vec::<(String, usize)>::new());
    for round in 0..rounds() {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (server, acknowledged, ended) = (&server, &acknowledged, &ended);
                scope.spawn(move || {
                    let Ok(stream) = std::net::TcpStream::connect(("127.0.0.1", server.port)) else {
                        return;
                    };
                    let mut stream = stream;
                    for number in 0.. {
                        if ended.load(Ordering::Acquire) {
                            return;
                        }
                        let name = format!("r{round}-w{worker}-{number}");
                        let size = if number % 16 == 15 { 200_000 } else { 3000 + number };
                        let body = form(&[("f", &name, &noise(size, size as u64))], None);
                        let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
                        let bytes = request(&server.token, "POST", "/api/upload", &kind, &body);
                        if std::io::Write::write_all(&mut stream, &bytes).is_err() {
                            return;
                        }
                        let mut reply = [0; 4096];
                        match std::io::Read::read(&mut stream, &mut reply) {
                            Ok(read) if reply[..read].starts_with(b"HTTP/1.1 200") => {
                                acknowledged.lock().unwrap().push((name, size));
                            }
                            _ => return,
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(200 + 70 * round));
            let killed = std::process::Command::new("kill")
                .args(["-KILL", &server.pid().to_string()])
                .status();
            assert!(killed.unwrap().success());
            ended.store(true, Ordering::Release);
        });
        server.kill_and_restart();
        let tree = server.tree();
        for (name, size) in acknowledged.lock().unwrap().iter() {
            assert!(tree.contains(&format!("/{name}")), "{name} is lost");
            let reply = server.get(&format!("/{name}"));
            assert!(reply.body == noise(*size, *size as u64), "{name} has other bytes");
        }
        for path in tree.iter().filter(|path| *path != "/") {
            assert_eq!(server.get(path).status, 200, "{path} is half there");
        }
    }
    assert!(!acknowledged.lock().unwrap().is_empty());
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
