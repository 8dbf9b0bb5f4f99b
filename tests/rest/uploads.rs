//! Uploads as browsers send them, and as nobody should: whole or not at all.

#![allow(unsafe_code, reason = "a limit is set between fork and exec")]

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use crate::support::{Server, blobs, noise, request};

const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b0");

fn part(disposition: &str, payload: &[u8]) -> Vec<u8> {
    [
        format!("--b0\r\nContent-Disposition: form-data; {disposition}\r\n\r\n").as_bytes(),
        payload,
        b"\r\n",
    ]
    .concat()
}

/// Uploads parts as they stand: status and text of the answer.
fn upload(server: &Server, parts: &[Vec<u8>]) -> (u16, String) {
    let body = [parts.concat(), b"--b0--\r\n".to_vec()].concat();
    let reply = server.request(&server.token, "POST", "/api/upload", &[MULTIPART], &body);
    (reply.status, reply.text())
}

/// Waits until no file of a large blob is left but so many.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn blobs_come_to(server: &Server, count: usize) {
    for _ in 0..400 {
        if blobs(server.data()).len() == count {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("{count} blobs were expected: {:?}", blobs(server.data()));
}

#[test]
fn meta_may_stand_anywhere_and_maps_all_parts_of_a_field() {
    let server = Server::start();
    let file =
        |field: &str, name: &str| part(&format!("name=\"{field}\"; filename=\"{name}\""), name.as_bytes());
    for (at, place) in ["before", "between", "after"].into_iter().enumerate() {
        let meta =
            json!({"files": [{"field": "a", "path": format!("/{place}/a")}, {"field": "b", "path": place}]});
        let mut parts = vec![file("a", "1"), file("b", "2"), file("a", "3")];
        parts.insert([0, 1, 3][at], part("name=\"meta\"", meta.to_string().as_bytes()));
        assert_eq!(upload(&server, &parts), (200, r#"{"rslt":"OK"}"#.to_owned()));
        for (path, text) in [("a/1", "1"), ("a/3", "3"), ("2", "2")] {
            assert_eq!(server.get(&format!("/{place}/{path}")).text(), text);
        }
    }
    // The last of two for one target wins, whatever their fields are.
    let meta = json!({"files": [{"field": "a", "path": "/t"}, {"field": "b", "path": "/t/"}]});
    let same = |field: &str, text: &[u8]| part(&format!("name={field}; filename=n"), text);
    let large = noise(200_000, 1);
    let parts = [
        same("b", &large),
        same("a", b"second"),
        part("name=meta", meta.to_string().as_bytes()),
    ];
    assert_eq!(upload(&server, &parts).0, 200);
    assert_eq!(server.get("/t/n").text(), "second");
    blobs_come_to(&server, 0);
}

#[test]
fn a_form_that_does_not_fit_its_meta_stores_nothing() {
    let server = Server::start();
    server.put("/file", b"1");
    server.put("/directory/f", b"1");
    let large = part("name=a; filename=large", &noise(200_000, 1));
    let meta = |text: &str| part("name=meta", text.as_bytes());
    let to_root = r#"{"files":[{"field":"a","path":"/"}]}"#;
    for (parts, status, named) in [
        (
            vec![meta(
                r#"{"files":[{"field":"a","path":"/"},{"field":"c","path":"/"}]}"#,
            )],
            400,
            "c",
        ),
        (vec![meta(r#"{"files":[{"field":"c","path":"/"}]}"#)], 400, "c"),
        (vec![meta(r#"{"files":[]}"#)], 400, "a"),
        (
            vec![meta(
                r#"{"files":[{"field":"a","path":"/"},{"field":"a","path":"/x"}]}"#,
            )],
            400,
            "a",
        ),
        (vec![meta(r#"{"files":[{"field":"a"}]}"#)], 400, "path"),
        (vec![meta("[]")], 400, "meta"),
        (vec![meta("")], 400, "meta"),
        (vec![meta("\u{0}")], 400, "meta"),
        (vec![meta(to_root), meta(to_root)], 400, "twice"),
        (vec![part("name=comment", b"hello")], 400, "comment"),
        (vec![part("name=b; filename=\"\"", b"not empty")], 400, "b"),
        (vec![part("name=b; filename=..", b"1")], 400, "b"),
        (vec![part("name=b; filename=\"/\"", b"1")], 400, "b"),
        (vec![part("name=b; filename=\"a\0b\"", b"1")], 400, ""),
        (
            vec![part(&format!("name=b; filename={}", "n".repeat(256)), b"1")],
            400,
            "255",
        ),
        (
            vec![part(&format!("name={}; filename=n", "f".repeat(256)), b"1")],
            400,
            "255",
        ),
        (vec![part("filename=n", b"1")], 400, "name"),
        (
            vec![b"--b0\r\nContent-Type: text/plain\r\n\r\nx\r\n".to_vec()],
            400,
            "name",
        ),
        (vec![b"--b0\r\n\r\nx\r\n".to_vec()], 400, "name"),
        (vec![b"--b0 x\r\n\r\n".to_vec()], 400, "malformed"),
        (
            vec![meta(r#"{"files":[{"field":"a","path":"/file"}]}"#)],
            409,
            "file",
        ),
        (
            vec![meta(r#"{"files":[{"field":"a","path":"/file/x"}]}"#)],
            409,
            "file",
        ),
        (vec![part("name=b; filename=directory", b"1")], 409, "directory"),
        (vec![b"x".repeat(70_000)], 400, "boundary"),
    ] {
        let parts = [
            if status == 409 || parts[0][0] != b'x' {
                vec![large.clone()]
            } else {
                Vec::new()
            },
            parts,
        ]
        .concat();
        let (got, text) = upload(&server, &parts);
        assert_eq!(got, status, "{text}");
        assert!(text.contains(named), "{named}: {text}");
        assert_eq!(
            server.tree(),
            ["/", "/directory", "/directory/f", "/file"],
            "{named}"
        );
    }
    blobs_come_to(&server, 0);
    // An empty file input is no file, a form without files no change.
    assert_eq!(upload(&server, &[part("name=f; filename=\"\"", b"")]).0, 200);
    assert_eq!(upload(&server, &[]).0, 200);
    assert_eq!(server.tree().len(), 4);
}

#[test]
fn an_upload_that_breaks_off_at_any_byte_leaves_nothing() {
    let server = Server::start();
    let meta = part(
        "name=meta",
        br#"{"files":[{"field":"a","path":"/x"},{"field":"b","path":"/x"}]}"#,
    );
    let body = [
        part("name=a; filename=small", b"small"),
        part("name=b; filename=large", &noise(300_000, 1)),
        meta,
        b"--b0--\r\n".to_vec(),
    ]
    .concat();
    let whole = request(&server.token, "POST", "/api/upload", &[MULTIPART], &body);
    let head = whole.len() - body.len();
    let chunked = {
        let kind = format!(
            "Transfer-Encoding: chunked\r\n{}: {}\r\n",
            MULTIPART.0, MULTIPART.1
        );
        let auth = format!("Authorization: Bearer {}\r\n", server.token);
        let mut bytes = format!("POST /api/upload HTTP/1.1\r\nHost: a\r\n{auth}{kind}\r\n").into_bytes();
        for chunk in body.chunks(40_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    };
    // Every byte of what structures it, some of the payload.
    let ends = (head..head + 160)
        .step_by(3)
        .chain((head + 160..whole.len() - 200).step_by(17_001))
        .chain(whole.len() - 200..whole.len());
    let cut = ends.map(|end| &whole[..end]).chain(
        (head + 100..chunked.len())
            .step_by(11_003)
            .map(|end| &chunked[..end]),
    );
    let last = [&chunked[..chunked.len() - 1], &chunked[..chunked.len() - 5]];
    for (number, bytes) in cut.chain(last).enumerate() {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(bytes).unwrap();
        if number % 2 == 0 {
            // The end of what it sends, while it still listens.
            stream.shutdown(Shutdown::Write).unwrap();
        }
    }
    assert_eq!(server.tree(), ["/"]);
    blobs_come_to(&server, 0);
    // Uncut, both are uploads.
    for bytes in [&whole, &chunked] {
        let mut connection = server.connect();
        connection.send(bytes);
        assert_eq!(connection.reply("POST").status, 200);
    }
    assert_eq!(server.tree(), ["/", "/x", "/x/large", "/x/small"]);
    blobs_come_to(&server, 1);
}

#[test]
fn thousands_of_parts_of_all_sizes_come_through() {
    let server = Server::start();
    // More than the segments of the log that are ready hold at once.
    let sizes = [0, 1, 100, 4096, 20_000, 65_536, 131_072, 131_073, 140_000];
    let size = |number: usize| sizes[number % sizes.len()];
    let names: Vec<_> = (0..700).map(|number| format!("{number:04}")).collect();
    let files: Vec<_> = (0..700)
        .map(|number| noise(size(number), number as u64))
        .collect();
    let parts: Vec<_> = names
        .iter()
        .zip(&files)
        .map(|(name, bytes)| ("f", name.as_str(), bytes.as_slice()))
        .collect();
    let reply = server.upload(&parts, None);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.tree().len(), 701);
    let mut connection = server.connect();
    for (name, bytes) in names.iter().zip(&files) {
        connection.send(&request(
            &server.token,
            "GET",
            &format!("/api/download/single?path=/{name}"),
            &[],
            b"",
        ));
        assert!(connection.reply("GET").body == *bytes, "{name}");
    }
}

#[test]
fn an_upload_that_the_disk_has_no_room_for_is_refused_before_it_comes() {
    let server = Server::start();
    let head = |fields: &str| {
        format!(
            "POST /api/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{}: {}\r\n{fields}\r\n",
            server.token, MULTIPART.0, MULTIPART.1
        )
    };
    let begun = [part("name=f; filename=n", &noise(300_000, 1))].concat();
    for fields in [
        "Content-Length: 1125899906842624\r\nExpect: 100-continue\r\n",
        "Content-Length: 18446744073709551615\r\n",
    ] {
        let mut connection = server.connect();
        connection.send(&[head(fields).as_bytes(), &begun].concat());
        connection.reply("POST").is_problem(507);
        assert!(connection.is_closed());
    }
    assert_eq!(server.tree(), ["/"]);
    blobs_come_to(&server, 0);
}

#[test]
fn names_are_the_last_component_of_what_clients_send() {
    let server = Server::start();
    for (sent, path) in [
        ("filename=\"C:\\dir\\plain.txt\"", "/plain.txt"),
        ("filename=\"../../etc/passwd\"", "/passwd"),
        ("filename=\"q%22uote\"", "/q%22uote"),
        ("filename=\"100%.txt\"", "/100%25.txt"),
        ("filename=\"a+b&c=d?e#f\"", "/a%2Bb%26c%3Dd%3Fe%23f"),
        ("filename=\"line%0D%0Abreak\"", "/line%0D%0Abreak"),
        ("filename=\"\u{fc}\"", "/%C3%BC"),
        ("filename=\"x\"; filename*=UTF-8''%e2%82%ac", "/%E2%82%AC"),
        ("filename=\" \"", "/%20"),
        ("filename=\"...\"", "/..."),
    ] {
        let (status, text) = upload(&server, &[part(&format!("name=f; {sent}"), sent.as_bytes())]);
        assert_eq!(status, 200, "{sent}: {text}");
        assert_eq!(server.get(path).text(), sent, "{path}");
    }
    // What is not UTF-8 is no name.
    for bad in [
        &b"name=f; filename=\"\xff\""[..],
        b"name=f; filename*=UTF-8''%ff",
        b"name=f; filename*=UTF-8''%c0%af",
    ] {
        let head = [b"--b0\r\nContent-Disposition: form-data; ", bad, b"\r\n\r\nx\r\n"].concat();
        assert_eq!(upload(&server, &[head]).0, 400);
    }
    for bad in ["%FF", "%C0%AF", "%ED%A0%80", "a%00"] {
        server.get(&format!("/{bad}")).is_problem(400);
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("Params=/{bad}");
        let reply = server.request(&server.token, "POST", "/api/mkdir", &form, body.as_bytes());
        reply.is_problem(400);
    }
}

#[test]
fn every_change_names_its_event() {
    let server = Server::start();
    let mut events = Vec::new();
    let mut event = |reply: crate::support::Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        events.push(reply.field("filegrid-event").unwrap().to_owned());
    };
    event(server.upload(&[("f", "n", b"1")], None));
    for (target, body) in [
        ("/api/mkdir", json!({"Params": "/a/b"})),
        ("/api/mkdir", json!({"Params": "/a/b"})),
        ("/api/move", json!({"Movelist": [{"from": "/n", "to": "/a/n"}]})),
        ("/api/delete", json!({"Filelist": ["/a"]})),
        ("/api/delete", json!({"Filelist": ["/a"]})),
    ] {
        event(server.json(&server.token, target, &body));
    }
    for event in &events {
        let reply = server.json(&server.token, "/api/list/tree", &json!({"After": event}));
        assert_eq!((reply.status, reply.field("filegrid-event")), (200, None));
    }
    events.sort();
    events.dedup();
    assert_eq!(events.len(), 6);
}

#[test]
fn a_disk_that_fails_fails_that_upload_alone() {
    // SAFETY: only plain system calls are made between fork and exec.
    let limited = |command: &mut Command| unsafe {
        command.pre_exec(limit_files);
    };
    let mut server = Server::start_by(&[], limited);
    server.announce("a request failed");
    server.put("/kept", &noise(200_000, 1));
    let large = noise(84 << 20, 2);
    let reply = server.upload(
        &[("f", "first", &noise(200_000, 3)), ("f", "second", &large)],
        None,
    );
    reply.is_problem(500);
    assert!(!reply.text().contains("blob"), "{}", reply.text());
    assert_eq!(server.tree(), ["/", "/kept"]);
    blobs_come_to(&server, 1);
    server.put("/next", &large[..40 << 20]);
    assert_eq!(server.tree(), ["/", "/kept", "/next"]);
    assert_eq!(blobs(server.data()).len(), 2);
}

/// As a disk that refuses: no file may grow beyond 80 MiB. The journal of the rows takes 64 at once.
fn limit_files() -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: 80 << 20,
        rlim_max: 80 << 20,
    };
    // SAFETY: the limit outlives the call, and the signal's action is set to one that needs no code.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN) != libc::SIG_ERR
            && libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) == 0
    };
    if done {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
