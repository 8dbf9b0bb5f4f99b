//! What the downloads say of what they send.

use serde_json::{Value, json};

use crate::support::{Reply, Server, noise};

fn prepare(server: &Server, list: Value) -> String {
    let reply = server.call("/api/download/prepare", json!({"Filelist": list}));
    format!("/api/download/multi?id={}", reply["rslt"].as_str().unwrap())
}

fn get(server: &Server, target: &str, fields: &[(&str, &str)]) -> Reply {
    server.request(&server.token, "GET", target, fields, b"")
}

#[test]
fn a_prepared_download_answers_conditions_and_ranges() {
    let server = Server::start();
    server.put("/d/a", &noise(1000, 1));
    server.put("/d/b", &noise(200_000, 2));
    for list in [json!(["/d"]), json!(["/d/b"])] {
        let target = prepare(&server, list);
        let whole = get(&server, &target, &[]);
        let (etag, size) = (whole.field("etag").unwrap().to_owned(), whole.body.len());
        assert!(etag.starts_with('"'), "strong");
        assert_eq!(whole.field("accept-ranges"), Some("bytes"));
        assert_eq!(whole.field("content-length"), Some(size.to_string().as_str()));
        let head = server.request(&server.token, "HEAD", &target, &[], b"");
        let ranged = server.request(&server.token, "HEAD", &target, &[("Range", "bytes=0-1")], b"");
        assert_eq!((head.status, ranged.status), (200, 200));
        for name in ["content-length", "content-type", "content-disposition", "etag"] {
            assert_eq!(head.field(name), whole.field(name), "{name}");
            assert_eq!(ranged.field(name), whole.field(name), "{name}");
        }
        let with = |fields: &[(&str, &str)]| get(&server, &target, fields);
        assert_eq!(with(&[("If-None-Match", &etag)]).status, 304);
        assert_eq!(with(&[("If-Match", &etag)]).status, 200);
        with(&[("If-Match", "\"other\"")]).is_problem(412);
        // It has no date, so nothing can be said about one.
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            assert_eq!(
                with(&[(name, "Sat, 01 Jan 2050 00:00:00 GMT")]).status,
                200,
                "{name}"
            );
            assert_eq!(
                with(&[(name, "Thu, 01 Jan 1970 00:00:00 GMT")]).status,
                200,
                "{name}"
            );
        }
        let beyond = with(&[("Range", "bytes=99999999-")]);
        beyond.is_problem(416);
        assert_eq!(
            beyond.field("content-range"),
            Some(format!("bytes */{size}").as_str())
        );
        let part = with(&[("Range", "bytes=900-1299"), ("If-Range", &etag)]);
        assert_eq!(
            (part.status, part.field("content-range").unwrap()),
            (206, format!("bytes 900-1299/{size}").as_str())
        );
        assert!(part.body == whole.body[900..1300]);
        assert_eq!(
            with(&[("Range", "bytes=0-9"), ("If-Range", "\"other\"")]).status,
            200
        );
        let several = with(&[("Range", "bytes=0-9,-10")]);
        assert_eq!(several.status, 206);
        assert!(
            several
                .field("content-type")
                .unwrap()
                .starts_with("multipart/byteranges; boundary=")
        );
        assert!(
            several
                .body
                .windows(10)
                .any(|bytes| bytes == &whole.body[size - 10..])
        );
        let again = server.request(&server.token, "POST", &target, &[], b"");
        assert!(again.body == whole.body, "the same bytes each time");
    }
}

#[test]
fn a_prepared_download_is_named_by_what_was_asked_for() {
    let server = Server::start();
    server.put("/d/one", b"1");
    server.put("/e/one", b"2");
    server.call("/api/mkdir", json!({"Params": "/empty"}));
    let sent = |list: Value| get(&server, &prepare(&server, list), &[]);
    let alone = sent(json!(["/d"]));
    assert_eq!(alone.text(), "1", "a directory with one file stands for it");
    assert_eq!(
        alone.field("content-disposition"),
        Some("attachment; filename=\"one\"")
    );
    assert_eq!(alone.field("content-type"), Some("application/octet-stream"));
    let two = sent(json!(["/d/one", "/e/one"]));
    assert_eq!(two.field("content-type"), Some("application/zip"));
    assert_eq!(
        two.field("content-disposition"),
        Some("attachment; filename=\"files.zip\"")
    );
    let names: Vec<_> = ["one", "one (2)"]
        .iter()
        .filter(|name| two.text().contains(**name))
        .collect();
    assert_eq!(names.len(), 2, "no file hides another");
    let none = sent(json!(["/empty"]));
    assert_eq!(
        (none.field("content-type"), none.body.len()),
        (Some("application/zip"), 22)
    );
    server
        .json(
            &server.token,
            "/api/download/prepare",
            &json!({"Filelist": ["/d", "/no"]}),
        )
        .is_problem(404);
    get(&server, "/api/download/multi?id=no", &[]).is_problem(404);
}

#[test]
fn types_and_names_are_told_safely() {
    let server = Server::start();
    for (name, bytes, kind, active) in [
        ("a.txt", b"x".as_slice(), "text/plain; charset=utf-8", false),
        ("a.html", b"<p>", "text/html", true),
        ("a.svg", b"<svg/>", "image/svg+xml", true),
        ("a.xhtml", b"<html/>", "application/xhtml+xml", true),
        ("a.png", b"", "image/png", false),
        ("picture", b"\x89PNG\r\n\x1a\n....", "image/png", false),
        ("nothing", b"", "application/octet-stream", false),
    ] {
        server.put(&format!("/{name}"), bytes);
        let sent = server.get(&format!("/{name}"));
        assert_eq!(sent.field("content-type"), Some(kind), "{name}");
        assert_eq!(sent.field("x-content-type-options"), Some("nosniff"), "{name}");
        let policy = sent.field("content-security-policy");
        assert_eq!(
            policy.is_some_and(|policy| policy.starts_with("sandbox")),
            active,
            "{name}"
        );
    }
    server.put("/Grüße €.txt", b"x");
    assert_eq!(
        server
            .get("/Gr%C3%BC%C3%9Fe%20%E2%82%AC.txt")
            .field("content-disposition"),
        Some("inline; filename=\"Gr__e _.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%E2%82%AC.txt")
    );
}
