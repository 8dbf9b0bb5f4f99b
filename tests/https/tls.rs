//! Versions, resumption, certificates, and those who speak something else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::programs::{run, well};
use crate::support::{Server, noise};
use crate::wire;

/// Runs the Python client; its lines. `None` where there is no Python.
fn python(server: &Server, what: &str) -> Option<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/https/client.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg(server.data().join("tls/self-made.pem"))
        .args([&server.port_of("https").to_string(), what]);
    let text = well(&run(&mut command)?);
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn tls_is_1_2_or_1_3_and_sessions_resume() {
    let server = Server::start();
    if let Some(lines) = python(&server, "versions") {
        assert_eq!(lines, ["TLSv1.2", "TLSv1.3"]);
    }
    if let Some(lines) = python(&server, "resume") {
        let all = [
            "TLSv1.2 tickets True",
            "TLSv1.2 ids True",
            "TLSv1.3 tickets True",
            "TLSv1.3 ids True",
        ];
        assert_eq!(lines, all);
    }
    if let Some(lines) = python(&server, "alpn") {
        assert_eq!(lines, ["http/1.1", "h2 refused"]);
    }
}

#[test]
fn who_speaks_the_wrong_protocol_is_told_or_closed() {
    let server = Server::start();
    let mut plain = TcpStream::connect(("127.0.0.1", server.port_of("https"))).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 400 ") && text.contains("https://"),
        "{text}"
    );
    let mut secure = TcpStream::connect(("127.0.0.1", server.port_of("http"))).unwrap();
    secure.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]).unwrap();
    let mut answer = Vec::new();
    secure.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "{answer:?}");
    let mut garbage = TcpStream::connect(("127.0.0.1", server.port_of("https"))).unwrap();
    garbage.write_all(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]).unwrap();
    garbage.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
}

#[test]
fn connections_end_with_the_last_word_of_tls() {
    let server = Server::start_with(&[("idle_timeout_s", "1")]);
    let pem = std::fs::read(server.data().join("tls/self-made.pem")).unwrap();
    let ask = |says_so: bool, head: &str| {
        let connection = ClientConnection::new(wire::config(&pem), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", server.port_of("https"))).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let request = format!("GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        if says_so {
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        // An end without the last word is an error.
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    };
    ask(false, "");
    ask(true, "");
    ask(false, "Connection: close\r\n");
}

#[test]
fn handshakes_have_a_deadline_and_a_limit() {
    let server = Server::start_with(&[("handshake_timeout_s", "1"), ("handshakes_max", "2")]);
    let silent: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port_of("https"))).unwrap())
        .collect();
    for mut stream in silent {
        // Beyond the limit at once, the others when their time is up.
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    assert_eq!(server.get("/nope").status, 404);
}

#[test]
fn curl_uploads_and_downloads_over_tls() {
    let server = Server::start();
    let bytes = noise(3_000_000, 1);
    let (source, copy) = (
        server.data().with_extension("up"),
        server.data().with_extension("down"),
    );
    std::fs::write(&source, &bytes).unwrap();
    let url = format!("https://localhost:{}", server.port_of("https"));
    let bearer = format!("Authorization: Bearer {}", server.token);
    let curl = |args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sSf", "-H", &bearer, "--cacert"]);
        command.arg(server.data().join("tls/self-made.pem")).args(args);
        run(&mut command)
    };
    let form = format!("f=@{};filename=big", source.display());
    let Some(output) = curl(&["-F", &form, &format!("{url}/api/upload")]) else {
        return;
    };
    well(&output);
    let get = format!("{url}/api/download/single?path=/big");
    well(&curl(&["-o", copy.to_str().unwrap(), &get]).unwrap());
    assert!(std::fs::read(copy).unwrap() == bytes);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn certificates_are_swapped_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (
        directory.path().join("chain.pem"),
        directory.path().join("key.pem"),
    );
    let make = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, der) = (made.cert.pem(), made.cert.der().to_vec());
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&chain, &pem).unwrap();
        (pem.into_bytes(), der)
    };
    let (old_pem, old) = make();
    let server = Server::start_with(&[
        ("tls_certificates", chain.to_str().unwrap()),
        ("tls_keys", key.to_str().unwrap()),
    ]);
    let connect = |pem: &[u8]| {
        let connection = ClientConnection::new(wire::config(pem), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", server.port_of("https"))).unwrap();
        StreamOwned::new(connection, stream)
    };
    let ask = |stream: &mut StreamOwned<ClientConnection, TcpStream>| -> std::io::Result<()> {
        stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = vec![0; 4096];
        let n = stream.read(&mut answer)?;
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"));
        Ok(())
    };
    let (ended, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // One connection lives through everything.
        let kept = scope.spawn(|| {
            let mut kept = connect(&old_pem);
            while !ended.load(Ordering::Acquire) {
                ask(&mut kept).unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
            }
            kept.conn.peer_certificates().unwrap()[0].to_vec()
        });
        while answered.load(Ordering::Relaxed) < 50 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (new_pem, new) = make();
        let hangup = Command::new("kill")
            .args(["-HUP", &server.pid().to_string()])
            .status();
        assert!(hangup.unwrap().success());
        // Those who trust the new one alone get in as soon as it is in use.
        while ask(&mut connect(&new_pem)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_ne!(old, new);
        let (by_watch_pem, _) = make();
        while ask(&mut connect(&by_watch_pem)).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
        ended.store(true, Ordering::Release);
        assert_eq!(kept.join().unwrap(), old);
    });
}
