//! Uploading, downloading, listing, moving, deleting.

use serde_json::json;

use crate::support::{Server, form, noise};

#[test]
fn what_goes_in_comes_out_whatever_its_size() {
    let server = Server::start();
    for size in [
        0,
        1,
        4095,
        4096,
        4097,
        131_071,
        131_072,
        131_073,
        1 << 20,
        (5 << 20) + 17,
    ] {
        let bytes = noise(size, size as u64);
        server.put(&format!("/sizes/{size}"), &bytes);
        let reply = server.get(&format!("/sizes/{size}"));
        assert_eq!(reply.status, 200);
        assert!(reply.body == bytes, "{size}");
        assert_eq!(reply.field("content-length"), Some(size.to_string().as_str()));
    }
}

#[test]
fn an_upload_is_published_whole_or_not_at_all() {
    let server = Server::start();
    let meta = json!({"files": [{"field": "a", "path": "x/y"}, {"field": "b", "path": "/z/"}]});
    let large = noise(300_000, 1);
    let reply = server.upload(&[("a", "one", b"1"), ("b", "two", &large)], Some(meta.clone()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.field("filegrid-event").is_some());
    assert_eq!(server.tree(), ["/", "/x", "/x/y", "/x/y/one", "/z", "/z/two"]);
    assert!(server.get("/z/two").body == large);
    for (files, meta) in [
        (vec![("a", "n1", b"".as_slice())], Some(meta.clone())),
        (
            vec![("a", "n1", b"1".as_slice()), ("c", "n2", b"2")],
            Some(json!({"files": [{"field": "a", "path": "/"}]})),
        ),
        (
            vec![("a", "n1", b"1".as_slice())],
            Some(json!({"files": [{"field": "a", "path": "../x"}]})),
        ),
        (vec![("a", "n1", b"1".as_slice())], Some(json!({"Files": []}))),
    ] {
        server.upload(&files, meta).is_problem(400);
    }
    server
        .upload(&[("f", "x", b"a file over a directory")], None)
        .is_problem(409);
    let below_a_file = json!({"files": [{"field": "f", "path": "/z/two/three"}]});
    server
        .upload(&[("f", "x", b"")], Some(below_a_file))
        .is_problem(409);
    assert_eq!(server.tree().len(), 6);
    let cut_off = &form(&[("f", "late", &noise(200_000, 2))], None)[..150_000];
    let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
    server
        .request(&server.token, "POST", "/api/upload", &kind, cut_off)
        .is_problem(400);
    assert_eq!(server.tree().len(), 6);
}

#[test]
fn the_last_of_two_files_for_one_path_wins_and_replacing_keeps_the_birth() {
    let server = Server::start();
    assert_eq!(
        server
            .upload(&[("f", "n", b"first"), ("f", "n", b"second")], None)
            .status,
        200
    );
    assert_eq!(server.get("/n").text(), "second");
    let entry = |server: &Server| server.call("/api/list/tree", json!({"Params": "/n"}))[0].clone();
    let before = entry(&server);
    assert_eq!(before["updated_at"], json!(null));
    server.put("/n", b"third");
    let after = entry(&server);
    assert_eq!(after["created_at"], before["created_at"]);
    assert!(after["updated_at"].as_i64() >= after["created_at"].as_i64());
    assert_eq!(server.get("/n").text(), "third");
}

#[test]
fn downloads_answer_ranges_and_conditions() {
    let server = Server::start();
    for size in [10_000, 400_000] {
        let bytes = noise(size, 3);
        server.put("/r.bin", &bytes);
        let whole = server.get("/r.bin");
        let etag = whole.field("etag").unwrap().to_owned();
        let modified = whole.field("last-modified").unwrap().to_owned();
        assert_eq!(whole.field("accept-ranges"), Some("bytes"));
        assert_eq!(
            whole.field("content-disposition"),
            Some("inline; filename=\"r.bin\"")
        );
        let part = server.get_with("/r.bin", &[("Range", "bytes=100-199")]);
        assert_eq!(
            (part.status, part.field("content-range").unwrap()),
            (206, format!("bytes 100-199/{size}").as_str())
        );
        assert!(part.body == bytes[100..200]);
        let several = server.get_with("/r.bin", &[("Range", "bytes=0-0,-2")]);
        assert_eq!(several.status, 206);
        assert!(
            several
                .field("content-type")
                .unwrap()
                .starts_with("multipart/byteranges; boundary=")
        );
        assert!(several.body.windows(2).any(|pair| pair == &bytes[size - 2..]));
        let none = server.get_with("/r.bin", &[("Range", "bytes=999999999-")]);
        none.is_problem(416);
        assert_eq!(
            none.field("content-range"),
            Some(format!("bytes */{size}").as_str())
        );
        let with = |fields: &[(&str, &str)]| server.get_with("/r.bin", fields).status;
        assert_eq!(with(&[("If-None-Match", &etag)]), 304);
        assert_eq!(with(&[("If-None-Match", "\"x\"")]), 200);
        assert_eq!(with(&[("If-Modified-Since", &modified)]), 304);
        assert_eq!(with(&[("If-Match", "\"x\"")]), 412);
        assert_eq!(with(&[("If-Match", &etag)]), 200);
        assert_eq!(with(&[("Range", "bytes=0-1"), ("If-Range", &etag)]), 206);
        assert_eq!(with(&[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]), 200);
        let head = server.request(
            &server.token,
            "HEAD",
            "/api/download/single?path=/r.bin",
            &[],
            b"",
        );
        assert_eq!(head.field("content-length"), Some(size.to_string().as_str()));
    }
    server.get("/missing").is_problem(404);
    server.put("/page.html", b"<script>1</script>");
    let page = server.get("/page.html");
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    assert!(
        page.field("content-security-policy")
            .unwrap()
            .starts_with("sandbox")
    );
    server.get("/").is_problem(409);
}

#[test]
fn listings_show_the_tree() {
    let server = Server::start();
    server.put("/a/b/c.txt", b"1");
    server.put("/a/d.txt", b"22");
    assert_eq!(
        server.call("/api/mkdir", json!({"Params": "/a/e/f"})),
        json!({"rslt": "OK"})
    );
    server.call("/api/mkdir", json!({"Params": "/a/e/f"}));
    let files = server.call("/api/list/files", json!({"Params": "/a"}));
    assert_eq!(files[0]["name"], "d.txt");
    assert_eq!(files[0]["size"], 2);
    assert_eq!(files[0]["type"], "file");
    assert!(files[0]["lastModified"].as_i64().is_some() && files.as_array().unwrap().len() == 1);
    let dirs = server.call("/api/list/dirs", json!({}));
    let paths: Vec<_> = dirs
        .as_array()
        .unwrap()
        .iter()
        .map(|dir| dir["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/e", "/a/e/f"]);
    let all = ["/", "/a", "/a/b", "/a/b/c.txt", "/a/d.txt", "/a/e", "/a/e/f"];
    assert_eq!(server.tree(), all);
    let mut paged = vec!["/".to_owned()];
    loop {
        let page = server.call("/api/list/tree", json!({"Limit": 2, "Cursor": paged.last()}));
        let page = page
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["path"].as_str().unwrap().to_owned());
        let before = paged.len();
        paged.extend(page);
        if paged.len() == before {
            break;
        }
    }
    assert_eq!(paged, all);
    let lines = server.request(
        &server.token,
        "POST",
        "/api/list/tree",
        &[("Accept", "application/x-ndjson")],
        b"{}",
    );
    assert_eq!(lines.text().lines().count(), all.len());
    server
        .json(&server.token, "/api/list/files", &json!({"Params": "/nope"}))
        .is_problem(404);
    server
        .json(&server.token, "/api/list/files", &json!({"Params": "/a/d.txt"}))
        .is_problem(409);
    let unknown = server.json(&server.token, "/api/list/files", &json!({"Path": "/a"}));
    unknown.is_problem(400);
    assert!(unknown.text().contains("Path"));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(
        server
            .request(&server.token, "POST", "/api/list/files", &form, b"Params=%2Fa")
            .status,
        200
    );
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn sums_appear_in_time() {
    let server = Server::start();
    server.put("/small", b"abc");
    server.put("/large", &vec![0; 300_000]);
    let expected = [
        (
            "/large",
            "1fb9ee4b77ce9ec2eff91bbb6ee1ccb9d0a7eb9ac7bbdf0ba8ad1bdee2a1fbd1",
        ),
        (
            "/small",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ];
    for _ in 0..200 {
        let tree = server.call("/api/list/tree", json!({}));
        let sums: Vec<_> = tree.as_array().unwrap()[1..]
            .iter()
            .map(|entry| entry["checksum"].clone())
            .collect();
        if sums.iter().all(|sum| sum != "") {
            assert_eq!(sums[1], expected[1].1);
            assert_eq!(sums[0].as_str().unwrap().len(), 64);
            let asked = server.get_with("/small", &[("Want-Repr-Digest", "sha-256=1")]);
            let digest = asked.field("repr-digest").unwrap();
            assert_eq!(digest, "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no sums: {}", server.log());
}

#[test]
fn moves_are_all_or_none_and_never_overwrite() {
    let server = Server::start();
    server.put("/a/1", b"one");
    server.put("/b/2", b"two");
    let moves = |list: serde_json::Value| server.json(&server.token, "/api/move", &json!({"Movelist": list}));
    assert_eq!(moves(json!([{"from": "/a/1", "to": "renamed"}])).status, 200);
    assert_eq!(server.get("/a/renamed").text(), "one");
    moves(json!([{"from": "/a/renamed", "to": "/b/2"}])).is_problem(409);
    moves(json!([{"from": "/nope", "to": "/x"}])).is_problem(404);
    moves(json!([{"from": "/a", "to": "/a/b"}])).is_problem(409);
    moves(json!([{"from": "/a/renamed", "to": "/x"}, {"from": "/nope", "to": "/y"}])).is_problem(404);
    assert_eq!(server.get("/a/renamed").status, 200);
    let swap = json!([{"from": "/a", "to": "/t"}, {"from": "/b", "to": "/a"}, {"from": "/t", "to": "/b"}]);
    assert_eq!(moves(swap).status, 200);
    assert_eq!(server.tree(), ["/", "/a", "/a/2", "/b", "/b/renamed"]);
    assert_eq!(server.get("/b/renamed").text(), "one");
}

#[test]
fn deletes_are_recursive_and_the_root_stays() {
    let server = Server::start();
    server.put("/a/b/c", b"1");
    server.put("/d", &noise(200_000, 4));
    server.call("/api/delete", json!({"Filelist": ["/a", "/nope", "/nope/nope"]}));
    assert_eq!(server.tree(), ["/", "/d"]);
    server.call("/api/delete", json!({"Filelist[]": ["/"]}));
    assert_eq!(server.tree(), ["/"]);
    server.put("/a/b/c", b"2");
    assert_eq!(server.get("/a/b/c").text(), "2");
}

#[test]
fn archives_have_a_length_and_resume() {
    let server = Server::start();
    let large = noise(500_000, 5);
    server.put("/d/large", &large);
    server.put("/d/ü.txt", b"small");
    let prepare = |list: serde_json::Value| {
        let reply = server.call("/api/download/prepare", json!({"Filelist": list}));
        format!("/api/download/multi?id={}", reply["rslt"].as_str().unwrap())
    };
    let single = server.request(&server.token, "POST", &prepare(json!(["/d/large"])), &[], b"");
    assert_eq!(single.field("content-type"), Some("application/octet-stream"));
    assert!(single.body == large);
    let target = prepare(json!(["/d"]));
    let whole = server.request(&server.token, "POST", &target, &[], b"");
    assert_eq!(whole.field("content-type"), Some("application/zip"));
    assert!(
        whole
            .field("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    // What was prepared stays, whatever happens to the files.
    server.call("/api/delete", json!({"Filelist": ["/d"]}));
    let rest = server.request(&server.token, "GET", &target, &[("Range", "bytes=250000-")], b"");
    assert_eq!(rest.status, 206);
    assert!(rest.body == whole.body[250_000..]);
    let etag = whole.field("etag").unwrap();
    assert_eq!(
        server
            .request(&server.token, "GET", &target, &[("If-None-Match", etag)], b"")
            .status,
        304
    );
    let other = server.user("file.read", "/");
    server.request(&other, "GET", &target, &[], b"").is_problem(404);
}

#[test]
fn browsers_of_allowed_origins_may_call() {
    let server = Server::start();
    let asked = |origin| server.request("", "OPTIONS", "/api/upload", &[("Origin", origin)], b"");
    let allowed = asked("https://app.example.com");
    assert_eq!(
        (allowed.status, allowed.field("access-control-allow-origin")),
        (204, Some("https://app.example.com"))
    );
    assert!(
        allowed
            .field("access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    assert_eq!(
        asked("https://evil.example.com").field("access-control-allow-origin"),
        None
    );
}
