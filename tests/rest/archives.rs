//! Archives: any part of one is that part of the whole, and other programs read it.

use serde_json::{Value, json};

use crate::client;
use crate::support::{Connection, Server, noise, request};
use crate::trees::fill;

fn prepare(server: &Server, list: &Value) -> String {
    let reply = server.call("/api/download/prepare", json!({"Filelist": list}));
    format!("/api/download/multi?id={}", reply["rslt"].as_str().unwrap())
}

fn part(server: &Server, connection: &mut Connection, target: &str, range: &str) -> Vec<u8> {
    connection.send(&request(&server.token, "GET", target, &[("Range", range)], b""));
    let reply = connection.reply("GET");
    assert_eq!(reply.status, 206, "{range}: {}", reply.text());
    reply.body
}

#[test]
fn a_download_resumes_at_any_byte() {
    let server = Server::start();
    for (name, size) in [
        ("0", 0),
        ("1", 1),
        ("ü", 100),
        ("inline", 5000),
        ("file", 140_000),
    ] {
        server.put(&format!("/d/{name}"), &noise(size, size as u64));
    }
    let target = prepare(&server, &json!(["/d", "/d/file", "/d/file"]));
    let whole = server.request(&server.token, "GET", &target, &[], b"").body;
    let size = whole.len();
    // Every byte near what structures it: all signatures of the format begin with these two.
    let marks: Vec<_> = whole
        .windows(4)
        .enumerate()
        .filter(|(_, four)| four.starts_with(b"PK") && four[2] < 8 && four[3] < 9)
        .map(|(at, _)| at)
        .collect();
    assert!(marks.len() > 2 * 6, "{marks:?}");
    let near = marks
        .iter()
        .flat_map(|mark| mark.saturating_sub(3)..(mark + 100).min(size));
    let offsets: std::collections::BTreeSet<_> =
        near.chain((0..size).step_by(20_011)).chain([size - 1]).collect();
    let mut connection = server.connect();
    for from in offsets {
        let rest = part(
            &server,
            &mut connection,
            &target,
            &format!("bytes={from}-{}", from + 199),
        );
        assert!(rest == whole[from..(from + 200).min(size)], "{from}");
    }
    // In pieces, as a client does that loses its connection again and again.
    let mut pieces = Vec::new();
    while pieces.len() < size {
        let from = pieces.len();
        pieces.extend(part(
            &server,
            &mut connection,
            &target,
            &format!("bytes={from}-{}", from + 1009 + from / 3),
        ));
    }
    assert!(pieces == whole);
    assert!(part(&server, &mut connection, &target, "bytes=-1000") == whole[size - 1000..]);
}

#[test]
fn other_programs_read_more_files_than_a_plain_archive_holds() {
    let server = Server::start();
    fill(&server, "/many", 14);
    server.put("/a/one", b"1");
    server.put("/b/one", &noise(200_000, 1));
    let target = prepare(&server, &json!(["/many", "/a/one", "/b/one", "/a"]));
    let archive = server.request(&server.token, "GET", &target, &[], b"");
    assert_eq!(archive.field("content-type"), Some("application/zip"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("files.zip");
    std::fs::write(&file, &archive.body).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        client::well(&command.args(arguments).arg(&file).output().unwrap())
    };
    if client::installed(&["python3"]) {
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
                      n = z.namelist()\nprint(len(n), len(set(n)), n[0], n[-3:])";
        let shown = run("python3", &["-c", script]);
        assert_eq!(
            shown.trim(),
            "70003 70003 many/000000 ['one', 'one (2)', 'a/one']"
        );
    }
    if client::installed(&["unzip"]) {
        let shown = run("unzip", &["-tq"]);
        assert!(shown.contains("No errors detected"), "{shown}");
    }
}

#[test]
fn a_download_belongs_to_the_user_that_prepared_it() {
    let server = Server::start();
    server.put("/box/a", b"1");
    server.put("/box/b", &noise(200_000, 1));
    let get = |token: &str, target: &str| server.request(token, "GET", target, &[], b"");
    let boxed = server.user("file.read", "/box");
    let listed = server.json(&boxed, "/api/download/prepare", &json!({"Filelist": ["/"]}));
    let target = format!(
        "/api/download/multi?id={}",
        listed.json()["rslt"].as_str().unwrap()
    );
    let whole = get(&boxed, &target);
    assert_eq!(whole.status, 200);
    for other in [
        server.token.clone(),
        server.user("file.read", "/box"),
        server.user("file.read", "/"),
    ] {
        get(&other, &target).is_problem(404);
    }
    get("", &target).is_problem(401);
    get(&server.user("file.list", "/box"), &target).is_problem(403);
    // What is deleted, replaced or moved afterwards is still sent, from its file and from the log.
    server.put("/box/a", b"replaced");
    server.call("/api/delete", json!({"Filelist": ["/box/b"]}));
    server.call(
        "/api/move",
        json!({"Movelist": [{"from": "/box", "to": "/other"}]}),
    );
    assert!(get(&boxed, &target).body == whole.body);
    assert!(get(&boxed, &target).body == whole.body, "as often as one likes");
}
