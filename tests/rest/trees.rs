//! Trees as nobody would make them: deep, wide, oddly named, and changing while they are listed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Connection, Server, form, request};

/// So many times 5,000 empty files in a directory, by as many uploads.
pub(crate) fn fill(server: &Server, directory: &str, uploads: usize) {
    let mut connection = server.connect();
    for upload in 0..uploads {
        let names: Vec<_> = (0..5000)
            .map(|number| format!("{:06}", upload * 5000 + number))
            .collect();
        let files: Vec<_> = names
            .iter()
            .map(|name| ("f", name.as_str(), b"".as_slice()))
            .collect();
        let body = form(
            &files,
            Some(json!({"files": [{"field": "f", "path": directory}]})),
        );
        let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
        connection.send(&request(&server.token, "POST", "/api/upload", &kind, &body));
        assert_eq!(connection.reply("POST").status, 200);
    }
}

fn paths(listing: &Value) -> Vec<String> {
    let entries = listing.as_array().unwrap().iter();
    entries
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

/// All pages of a listing, on one connection.
fn paged(server: &Server, connection: &mut Connection, path: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let body = match all.last() {
            None => json!({"Params": path, "Limit": limit}),
            Some(last) => json!({"Params": path, "Limit": limit, "Cursor": last}),
        };
        let body = body.to_string();
        connection.send(&request(
            &server.token,
            "POST",
            "/api/list/tree",
            &[],
            body.as_bytes(),
        ));
        let page = connection.reply("POST").json();
        let page = paths(&page);
        let full = page.len() == limit;
        all.extend(page);
        if !full {
            return all;
        }
    }
}

#[test]
fn a_directory_as_deep_as_paths_go_is_a_directory() {
    let server = Server::start();
    let deep = "/d".repeat(2000);
    server.call("/api/mkdir", json!({"Params": deep}));
    server.put(&format!("{deep}/f"), b"bottom");
    server.put(&format!("{}/g", "/d".repeat(1000)), b"middle");
    let tree = server.tree();
    assert_eq!(tree.len(), 2003);
    assert_eq!(tree.last().unwrap(), &format!("{}/g", "/d".repeat(1000)));
    let dirs = server.call("/api/list/dirs", json!({}));
    assert_eq!(dirs.as_array().unwrap().len(), 2000);
    assert_eq!(
        dirs[1999],
        json!({"name": "d", "path": deep, "type": "directory"})
    );
    assert_eq!(
        server.call("/api/list/files", json!({"Params": deep}))[0]["name"],
        "f"
    );
    assert_eq!(paged(&server, &mut server.connect(), "/", 7), tree);
    let id = server.call("/api/download/prepare", json!({"Filelist": ["/d"]}))["rslt"].clone();
    let target = format!("/api/download/multi?id={}", id.as_str().unwrap());
    let archive = server.request(&server.token, "GET", &target, &[], b"");
    assert_eq!(archive.status, 200);
    assert_eq!(archive.text().matches("bottom").count(), 1);
    server.call("/api/move", json!({"Movelist": [{"from": deep, "to": "/up"}]}));
    assert_eq!(server.get("/up/f").text(), "bottom");
    server.call("/api/delete", json!({"Filelist": ["/d"]}));
    assert_eq!(server.tree(), ["/", "/up", "/up/f"]);
}

#[test]
fn pages_pass_what_moves_have_made_longer_than_a_path_may_be() {
    let server = Server::start();
    let chain = |letter: &str| format!("/{}", letter.repeat(200)).repeat(20);
    let (above, below) = (chain("a"), chain("b"));
    server.call("/api/mkdir", json!({"Params": above}));
    server.call("/api/mkdir", json!({"Params": below}));
    let moved = json!({"Movelist": [{"from": &below[..201], "to": format!("{above}/b")}]});
    server.call("/api/move", moved);
    let tree = server.tree();
    assert_eq!(tree.len(), 41);
    assert!(
        tree.last().unwrap().len() > 7800,
        "{}",
        tree.last().unwrap().len()
    );
    for limit in [1, 7] {
        assert_eq!(paged(&server, &mut server.connect(), "/", limit), tree);
    }
}

#[test]
fn a_directory_of_a_hundred_thousand_files_is_listed_and_its_pages_add_up() {
    let server = Server::start();
    let mut connection = server.connect();
    fill(&server, "/wide", 20);
    let files = server.call("/api/list/files", json!({"Params": "/wide"}));
    let files = files.as_array().unwrap();
    assert_eq!(files.len(), 100_000);
    assert!(
        files
            .iter()
            .enumerate()
            .all(|(at, file)| file["name"] == format!("{at:06}"))
    );
    // None of the files is a directory: all are looked at, and one is shown.
    assert_eq!(paths(&server.call("/api/list/dirs", json!({}))), ["/wide"]);
    let tree = server.tree();
    assert_eq!(tree.len(), 100_002);
    assert!(paged(&server, &mut connection, "/", 9973) == tree);
    let kind = [
        ("Accept", "application/x-ndjson"),
        ("Content-Type", "application/json"),
    ];
    let lines = server.request(&server.token, "POST", "/api/list/tree", &kind, b"{}");
    assert_eq!(lines.field("content-type"), Some("application/x-ndjson"));
    let lines = lines.text();
    assert!(lines.ends_with('\n'));
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(
        lines
            .map(|entry| entry["path"].as_str().unwrap().to_owned())
            .eq(tree)
    );
}

#[test]
fn pages_show_all_that_stays_while_others_write() {
    let server = Server::start();
    let stays: BTreeSet<String> = (0..400)
        .map(|number| format!("/{:02}/stays{number:03}", number % 20))
        .collect();
    for directory in 0..20 {
        let names: Vec<_> = (0..20)
            .map(|number| format!("stays{:03}", number * 20 + directory))
            .collect();
        let files: Vec<_> = names
            .iter()
            .map(|name| ("f", name.as_str(), b"1".as_slice()))
            .collect();
        let meta = json!({"files": [{"field": "f", "path": format!("/{directory:02}")}]});
        assert_eq!(server.upload(&files, Some(meta)).status, 200);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, done) = (&server, &done);
        scope.spawn(move || {
            // Files come and go, between those that stay and around them.
            for turn in 0.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                let directory = format!("/{:02}", turn % 20);
                let passing = format!("{directory}/{}", ["a", "stays1", "z"][turn % 3]);
                server.put(&passing, b"2");
                server.call("/api/mkdir", json!({"Params": format!("{directory}/m/n")}));
                server.call(
                    "/api/delete",
                    json!({"Filelist": [passing, format!("{directory}/m")]}),
                );
            }
        });
        let mut connection = server.connect();
        for round in 0..12 {
            let shown = paged(server, &mut connection, "/", 3 + round * 5);
            let split = |path: &String| path.split('/').map(str::to_owned).collect::<Vec<_>>();
            assert!(shown.is_sorted_by_key(split), "in order, each once");
            assert!(shown.windows(2).all(|pair| pair[0] != pair[1]));
            let shown: BTreeSet<_> = shown.into_iter().collect();
            assert!(stays.is_subset(&shown), "{:?}", stays.difference(&shown));
        }
        done.store(true, Ordering::Release);
    });
    let tree: BTreeSet<_> = server.tree().into_iter().collect();
    assert_eq!(tree.len(), 1 + 20 + 400);
}

#[test]
fn names_of_any_bytes_are_kept_as_they_are() {
    let server = Server::start();
    let mut names: Vec<String> = (1..0x180_u32)
        .filter_map(char::from_u32)
        .filter(|symbol| *symbol != '/')
        .map(|symbol| format!("{symbol}"))
        .filter(|name| name != "." && name != "\\")
        .collect();
    names.extend(
        [
            "…",
            "a b",
            " ",
            "%2e%2e",
            "%",
            "+",
            "con",
            "\u{feff}",
            "\u{202e}x",
            "\u{10ffff}",
            "\u{1f469}\u{200d}\u{1f4bb}",
        ]
        .map(str::to_owned),
    );
    names.push("\u{20ac}".repeat(85));
    names.sort();
    names.dedup();
    let encode = |name: &str| {
        name.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    let mut body = Vec::new();
    for name in &names {
        let disposition = format!("form-data; name=f; filename*=UTF-8''{}", encode(name));
        body.extend(format!("--b0\r\nContent-Disposition: {disposition}\r\n\r\n{name}\r\n").bytes());
    }
    body.extend(b"--b0--\r\n");
    let kind = [("Content-Type", "multipart/form-data; boundary=b0")];
    let reply = server.request(&server.token, "POST", "/api/upload", &kind, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let listed = server.call("/api/list/files", json!({}));
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, names, "in the order of their bytes");
    let tree: Vec<_> = names.iter().map(|name| format!("/{name}")).collect();
    assert_eq!(server.tree()[1..], tree);
    assert_eq!(paged(&server, &mut server.connect(), "/", 1)[1..], tree);
    let mut connection = server.connect();
    for name in &names {
        let target = format!("/api/download/single?path=/{}", encode(name));
        connection.send(&request(&server.token, "GET", &target, &[], b""));
        let reply = connection.reply("GET");
        assert_eq!((reply.status, reply.text()), (200, name.clone()));
        let disposition = reply.field("content-disposition").unwrap();
        assert!(
            disposition.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
            "{disposition:?}"
        );
    }
    let all = json!({"Filelist": tree});
    server.call("/api/delete", all);
    assert_eq!(server.tree(), ["/"]);
}
