//! Paths that clients send, and what they get to see of them.

use serde_json::json;

use crate::support::Server;

#[test]
fn paths_are_folded_and_bad_ones_refused_wherever_they_stand() {
    let server = Server::start();
    server.put("/a/with space/ü.txt", b"1");
    for path in [
        "a//with%20space/./%C3%BC.txt",
        "/a/with+space/%C3%BC.txt",
        "%2Fa%2Fwith%20space%2F%C3%BC.txt/",
    ] {
        assert_eq!(server.get(path).text(), "1", "{path}");
    }
    let name_too_long = "x".repeat(256);
    let path_too_long = "/x".repeat(2049);
    for path in [
        "..",
        "/a/..",
        "a/../../b",
        "/a\0b",
        &name_too_long,
        &path_too_long,
    ] {
        for (target, body) in [
            ("/api/list/files", json!({"Params": path})),
            ("/api/list/dirs", json!({"Params": path})),
            ("/api/list/tree", json!({"Params": path})),
            ("/api/mkdir", json!({"Params": path})),
            ("/api/move", json!({"Movelist": [{"from": path, "to": "/y"}]})),
            ("/api/move", json!({"Movelist": [{"from": "/a", "to": path}]})),
            (
                "/api/move",
                json!({"Movelist": [{"from": "/a", "to": format!("/{path}")}]}),
            ),
            ("/api/delete", json!({"Filelist": ["/a", path]})),
            ("/api/download/prepare", json!({"Filelist": ["/a", path]})),
        ] {
            let refused = server.json(&server.token, target, &body);
            assert_eq!(refused.status, 400, "{target} {body}: {}", refused.text());
        }
        // Moves make paths that no client may name, and lists go on behind them.
        let behind = server.json(&server.token, "/api/list/tree", &json!({"Cursor": path}));
        assert_eq!(
            behind.status,
            if *path == path_too_long { 200 } else { 400 },
            "{path}"
        );
        let meta = json!({"files": [{"field": "f", "path": path}]});
        server.upload(&[("f", "n", b"1")], Some(meta)).is_problem(400);
        let encoded = path.replace('\0', "%00");
        server.get(&encoded).is_problem(400);
    }
    assert_eq!(server.tree(), ["/", "/a", "/a/with space", "/a/with space/ü.txt"]);
    server
        .request(&server.token, "GET", "/api/download/single", &[], b"")
        .is_problem(400);
    server
        .request(&server.token, "GET", "/api/download/multi", &[], b"")
        .is_problem(400);
}

#[test]
fn every_path_of_the_tree_can_be_named() {
    let server = Server::start();
    // 16 names of 254 bytes make a path of 4080.
    let deep = format!("/{}", "d".repeat(254)).repeat(16);
    server.put(&format!("{deep}/fifteen bytes!"), b"1");
    let upload = |name: &str| {
        let meta = json!({"files": [{"field": "f", "path": deep}]});
        server.upload(&[("f", name, b"1")], Some(meta))
    };
    upload("sixteen bytes !!").is_problem(400);
    server.put("/f", b"2");
    let moved = |from: String, to: &str| {
        server.json(
            &server.token,
            "/api/move",
            &json!({"Movelist": [{"from": from, "to": to}]}),
        )
    };
    moved(format!("{deep}/fifteen bytes!"), "sixteen bytes !!").is_problem(400);
    assert_eq!(server.get(&format!("{deep}/fifteen%20bytes!")).text(), "1");
}

#[test]
fn what_moves_have_taken_too_deep_is_listed_and_not_left_out() {
    let server = Server::start();
    let below = format!("/{}", "d".repeat(254)).repeat(14);
    server.call("/api/mkdir", json!({"Params": format!("/a{below}")}));
    server.put(&format!("/b{below}/f"), b"1");
    let moves = |from: &str, to: &str| {
        server.call("/api/move", json!({"Movelist": [{"from": from, "to": to}]}));
    };
    moves("/b", &format!("/a{below}/b"));
    let mut expected: Vec<_> = (0..15)
        .map(|depth| format!("/a{}", &below[..depth * 255]))
        .collect();
    let top = expected[14].clone();
    expected.extend((0..15).map(|depth| format!("{top}/b{}", &below[..depth * 255])));
    let listed = server.call("/api/list/dirs", json!({}));
    let listed = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    expected.insert(0, "/".to_owned());
    expected.push(format!("{top}/b{below}/f"));
    assert_eq!(server.tree(), expected);
    let prepare = || {
        server.json(
            &server.token,
            "/api/download/prepare",
            &json!({"Filelist": ["/"]}),
        )
    };
    prepare().is_problem(413);
    moves(&format!("{top}/b"), "/b");
    assert_eq!(prepare().status, 200);
}

#[test]
fn errors_show_paths_as_the_user_sees_them() {
    let server = Server::start();
    server.put("/box/hidden/f", b"1");
    server.put("/box/hidden/d/g", b"2");
    server.put("/blocked", b"3");
    let scopes = "file.create file.read file.list file.rename file.delete";
    let token = server.user(scopes, "/box/hidden");
    let detail = |target: &str, body: serde_json::Value, status: u16| {
        let refused = server.json(&token, target, &body);
        refused.is_problem(status);
        refused.json()["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        detail("/api/list/files", json!({"Params": "/no"}), 404),
        "/no does not exist"
    );
    assert_eq!(
        detail("/api/list/files", json!({"Params": "/f"}), 409),
        "/f is not a directory"
    );
    assert_eq!(
        detail("/api/mkdir", json!({"Params": "/f/x"}), 409),
        "/f is not a directory"
    );
    assert_eq!(
        detail("/api/download/single?path=/", json!({}), 409),
        "/ is a directory"
    );
    assert_eq!(
        detail("/api/download/prepare", json!({"Filelist": ["/no"]}), 404),
        "/no does not exist"
    );
    let moves = |from: &str, to: &str| json!({"Movelist": [{"from": from, "to": to}]});
    assert_eq!(detail("/api/move", moves("/no", "/x"), 404), "/no does not exist");
    assert_eq!(detail("/api/move", moves("/f", "/d"), 409), "/d exists already");
    assert_eq!(detail("/api/move", moves("/f", "/"), 409), "/ exists already");
    assert_eq!(
        detail("/api/move", moves("/d", "/d/e"), 409),
        "/d cannot be moved into itself"
    );
    assert_eq!(
        detail("/api/move", moves("/f/x", "/y"), 404),
        "/f/x does not exist"
    );
    assert_eq!(
        detail("/api/move", moves("/d", "/f/x"), 409),
        "/f is not a directory"
    );
    assert_eq!(
        detail("/api/move", moves("/d", "/no/x"), 404),
        "/no does not exist"
    );
    // A root that nobody has made.
    let token = server.user(scopes, "/to/come");
    for target in ["/api/list/files", "/api/list/dirs", "/api/list/tree"] {
        assert_eq!(
            server.json(&token, target, &json!({})).json(),
            json!([]),
            "{target}"
        );
    }
    // A root that a file stands in the way of.
    let token = server.user(scopes, "/blocked/box");
    let refused = server.json(&token, "/api/mkdir", &json!({"Params": "/x"}));
    refused.is_problem(409);
    assert!(!refused.text().contains("blocked"), "{}", refused.text());
}
