//! Every status of the contract that one node answers with, and what comes with it.
//!
//! 401, 403 and 405 are in `routes.rs`, those of framing in `framing.rs`, of ranges and conditions in `files.rs`.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Connection, Reply, Server, blobs, form, noise, request, until};

const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b0");

/// Sends a head as it stands, with a token.
fn send_head(server: &Server, head: &str) -> Connection {
    let mut connection = server.connect();
    let token = &server.token;
    connection.send(format!("{head}\r\nHost: a\r\nAuthorization: Bearer {token}\r\n").as_bytes());
    connection
}

/// Seconds that an answer says to wait.
fn retry_after_s(reply: &Reply) -> u64 {
    reply.field("retry-after").unwrap().parse().unwrap()
}

#[test]
fn a_body_needs_a_length_a_bound_and_a_kind() {
    let server = Server::start();
    let mut connection = send_head(&server, "POST /api/upload HTTP/1.1");
    connection.send(format!("{}: {}\r\n\r\n", MULTIPART.0, MULTIPART.1).as_bytes());
    connection.reply("POST").is_problem(411);
    // A body that is too long is refused before it comes, and is not asked for.
    for (fields, body) in [
        ("Content-Length: 4194305\r\nExpect: 100-continue\r\n", ""),
        ("Content-Length: 4194305\r\n", ""),
    ] {
        let mut connection = send_head(&server, "POST /api/delete HTTP/1.1");
        connection.send(format!("{fields}\r\n{body}").as_bytes());
        connection.reply("POST").is_problem(413);
    }
    // One whose length is not told is refused when it is too long.
    let mut connection = send_head(&server, "POST /api/delete HTTP/1.1");
    connection.send(b"Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..65 {
        connection.send(b"10000\r\n");
        connection.send(&[b' '; 0x10000]);
        connection.send(b"\r\n");
    }
    connection.reply("POST").is_problem(413);
    for (target, kind) in [
        ("/api/delete", "text/plain"),
        ("/api/delete", "multipart/form-data; boundary=b0"),
        ("/apiaccess/auth", "text/xml"),
        ("/api/upload", "application/json"),
        ("/api/upload", "multipart/mixed; boundary=b0"),
    ] {
        let reply = server.request(&server.token, "POST", target, &[("Content-Type", kind)], b"{}");
        reply.is_problem(415);
    }
    server
        .request(&server.token, "POST", "/api/upload", &[], b"--b0--")
        .is_problem(415);
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a\u{e9}\"",
    ] {
        let reply = server.request(
            &server.token,
            "POST",
            "/api/upload",
            &[("Content-Type", kind)],
            b"--b0--",
        );
        reply.is_problem(400);
    }
}

#[test]
fn bounds_of_an_upload_are_413_and_leave_nothing() {
    let server = Server::start();
    let part = b"--b0\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n\r\n";
    let many = [part.repeat(10_001), b"--b0--\r\n".to_vec()].concat();
    let long_head = form(&[("f", &"n".repeat(17_000), b"1")], None);
    let long_meta = form(&[("f", "n", b"1")], Some(json!("x".repeat(4 << 20))));
    for body in [many, long_head, long_meta] {
        server
            .request(&server.token, "POST", "/api/upload", &[MULTIPART], &body)
            .is_problem(413);
    }
    assert_eq!(server.tree(), ["/"]);
    let as_many_as_may_be = [part.repeat(10_000), b"--b0--\r\n".to_vec()].concat();
    let reply = server.request(
        &server.token,
        "POST",
        "/api/upload",
        &[MULTIPART],
        &as_many_as_may_be,
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.tree(), ["/", "/n"]);
}

#[test]
fn slow_clients_are_told_408() {
    let server = Server::start_with(&[("head_timeout_s", "1"), ("stall_timeout_s", "1")]);
    let mut head = send_head(&server, "POST /api/upload HTTP/1.1");
    let mut small = send_head(&server, "POST /api/mkdir HTTP/1.1");
    small.send(b"Content-Length: 20\r\n\r\n{\"Params\":");
    let mut upload = send_head(&server, "POST /api/upload HTTP/1.1");
    let body = form(&[("f", "slow", &noise(300_000, 1))], None);
    upload.send(
        format!(
            "{}: {}\r\nContent-Length: {}\r\n\r\n",
            MULTIPART.0,
            MULTIPART.1,
            body.len()
        )
        .as_bytes(),
    );
    upload.send(&body[..200_000]);
    for connection in [&mut head, &mut small, &mut upload] {
        connection.reply("POST").is_problem(408);
        assert!(connection.is_closed());
    }
    assert_eq!(server.tree(), ["/"]);
}

#[test]
fn guessing_is_answered_with_429() {
    let server = Server::start();
    let [association, access, secret] = server.keys() else {
        panic!()
    };
    let login = |access: &str, secret: &str| {
        let body = json!({"AssociationKey": association, "AccessKey": access, "SecretKey": secret});
        server.json("", "/apiaccess/auth", &body)
    };
    let mut failures = 0;
    let refused = until(429, || {
        failures += 1;
        login(access, "sk_guess")
    });
    refused.is_problem(429);
    assert!((1..=300).contains(&retry_after_s(&refused)));
    assert!((6..=8).contains(&failures), "{failures}");
    // The right secret does not help before the time is over; another key is not concerned.
    login(access, secret).is_problem(429);
    login("AK_other", secret).is_problem(401);
    assert_eq!(until(200, || login(access, secret)).status, 200);
}

#[test]
fn logins_beyond_those_that_may_wait_are_answered_with_503() {
    let server = Server::start_with(&[("login_threads", "1"), ("logins_waiting_max", "1")]);
    let [association, access, secret] = server.keys() else {
        panic!()
    };
    let body = json!({"AssociationKey": association, "AccessKey": access, "SecretKey": secret}).to_string();
    let login = request(
        "",
        "POST",
        "/apiaccess/auth",
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    );
    let mut statuses = Vec::new();
    while !(statuses.contains(&200) && statuses.contains(&503)) {
        let mut connections: Vec<_> = (0..16).map(|_| server.connect()).collect();
        connections
            .iter_mut()
            .for_each(|connection| connection.send(&login));
        for connection in &mut connections {
            let reply = connection.reply("POST");
            if reply.status == 503 {
                reply.is_problem(503);
                assert!(retry_after_s(&reply) >= 1);
            }
            statuses.push(reply.status);
        }
    }
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 503)),
        "{statuses:?}"
    );
}

#[test]
fn connections_beyond_the_limit_are_answered_with_503() {
    let server = Server::start_with(&[("connections_per_address_max", "2")]);
    let listed = request(&server.token, "POST", "/api/list/files", &[], b"{}");
    // The server sees in its own time that earlier connections are gone. One that is refused while it sends may not
    // even get to read so.
    let admitted = || loop {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let mut answer = [0; 12];
        let answered = stream
            .write_all(&listed)
            .and_then(|()| stream.read_exact(&mut answer));
        if answered.is_ok() && answer == *b"HTTP/1.1 200" {
            return stream;
        }
    };
    let held = [admitted(), admitted()];
    let mut beyond = server.connect();
    let refused = beyond.reply("GET");
    refused.is_problem(503);
    assert!(retry_after_s(&refused) >= 1);
    assert!(beyond.is_closed());
    drop(held);
    admitted();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn a_request_that_begins_while_the_node_stops_is_answered_with_503() {
    let mut server = Server::start();
    let mut connection = server.connect();
    let mut two = request(
        &server.token,
        "POST",
        "/api/mkdir",
        &[],
        br#"{"Params":"/before"}"#,
    );
    let late = request(&server.token, "POST", "/api/mkdir", &[], br#"{"Params":"/late"}"#);
    two.extend_from_slice(&late[..40]);
    connection.send(&two);
    // Then the server has the beginning of the second request as well.
    assert_eq!(connection.reply("POST").status, 200);
    server.terminate();
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    connection.send(&late[40..]);
    let refused = connection.reply("POST");
    refused.is_problem(503);
    assert!(retry_after_s(&refused) >= 1);
    assert_eq!(refused.field("connection"), Some("close"));
    assert!(connection.is_closed());
    drop(connection);
    assert!(server.wait_for_end().success());
    server.start_again();
    assert_eq!(server.tree(), ["/", "/before"]);
}

#[test]
fn a_full_disk_is_507_and_can_be_cured() {
    let mut server = Server::start();
    server.put("/d/small", b"1");
    server.put("/d/large", &noise(300_000, 1));
    // As if the disk had less than is to be kept free.
    server.set("low_water_mib", "1000000000");
    server.stop_and_restart();
    // It has looked at the disk before the first request comes.
    server.upload(&[("f", "early", b"1")], None).is_problem(507);
    server
        .upload(&[("f", "new", &noise(300_000, 2))], None)
        .is_problem(507);
    server
        .json(&server.token, "/api/mkdir", &json!({"Params": "/new"}))
        .is_problem(507);
    // What reads, and what makes room, goes on.
    assert_eq!(server.get("/d/small").text(), "1");
    server.call(
        "/api/move",
        json!({"Movelist": [{"from": "/d/small", "to": "moved"}]}),
    );
    server.call("/api/delete", json!({"Filelist": ["/d/large"]}));
    assert_eq!(server.tree(), ["/", "/d", "/d/moved"]);
}

#[test]
fn damage_is_500_and_says_nothing_of_the_inside() {
    let mut server = Server::start();
    server.put("/large", &noise(300_000, 1));
    let data = server.data().to_owned();
    let blobs = blobs(&data);
    let [blob] = blobs.as_slice() else {
        panic!("{blobs:?}")
    };
    server.announce("a request failed");
    std::fs::remove_file(blob).unwrap();
    let refused = server.get("/large");
    refused.is_problem(500);
    let inside = [
        blob.file_name().unwrap().to_str().unwrap(),
        "blob",
        "No such file",
        data.to_str().unwrap(),
        ".rs",
    ];
    for text in inside {
        assert!(!refused.text().contains(text), "{}", refused.text());
    }
    assert!(
        server.log().contains("is not there"),
        "the log says what the answer does not"
    );
    assert_eq!(server.tree(), ["/", "/large"], "the rest goes on");
}
