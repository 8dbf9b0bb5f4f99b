//! A node compares its rows with the cluster's: what the cluster lacks comes there, what the node has lost is named.

use std::path::Path;

use filegrid_meta::nodes::Event;
use filegrid_meta::store::{Batch, Command, Reply, Shipped, Start};
use filegrid_tree::{Change, DirRow, FileRow, Id, Op, Protocol, Row, lookup};
use serde_json::{Value, json};

use crate::member::{Member, event_of, tree_with};
use crate::operator::PATIENCE;
use crate::support::{Server, poll};

const EVERY_SECOND: &[(&str, &str)] = &[("metadata_compare_s", "1")];

/// Rows of an association, put into the cluster behind the node's back.
struct Meddler<'m> {
    member: &'m Member,
    event: Event,
    association: [u8; 16],
}

impl Meddler<'_> {
    fn does(&self, ops: Vec<Op>) {
        let change = Change {
            association: self.association,
            time: 0,
            protocol: Protocol::Api,
            ops,
        };
        let Event { node, log, .. } = self.event;
        let mut batch = Batch {
            node,
            log,
            epoch: 1,
            first: 0,
            as_of_ms: 0,
            changes: vec![Shipped {
                generation: 1,
                change: change.encode(),
            }],
        };
        // The node may ship something of its own meanwhile.
        while let Reply::Gap(next) = self.member.propose(&Command::Copy(batch.clone())) {
            batch.first = next;
        }
    }

    fn directory(&self, path: &str) -> Id {
        directory_at(self.member, self.association, path)
    }
}

/// The id of a directory in the cluster's tree.
fn directory_at(member: &Member, association: [u8; 16], path: &str) -> Id {
    let path = filegrid_tree::TreePath::parse(path).unwrap();
    match lookup(&member.store().view(), association, &path) {
        Ok(Some(Row::Dir(row))) => row.id,
        other => panic!("{other:?}"),
    }
}

fn association(server: &Server) -> [u8; 16] {
    let key: uuid::Uuid = server.association().parse().unwrap();
    *key.as_bytes()
}

fn file(size: u64) -> Row {
    Row::File(FileRow {
        version: 1,
        size,
        crc32: 0,
        sha256: None,
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
        extents: Vec::new(),
    })
}

fn directory(id: u8) -> Row {
    Row::Dir(DirRow {
        id: Id([id; 16]),
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
    })
}

/// Path, kind and size of what is lost.
fn lost(server: &Server) -> Vec<(String, bool, u64)> {
    let answer = server.ask_admin(server.operator_token(), "GET", "/admin/lost", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    assert_eq!(page["cursor"], Value::Null);
    let entries = page["entries"].as_array().unwrap().iter();
    let mut found: Vec<_> = entries
        .map(|entry| {
            assert_eq!(entry["associationKey"], server.association());
            let path = entry["path"].as_str().unwrap().to_owned();
            (path, entry["isDir"] == true, entry["size"].as_u64().unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_the_cluster_lacks_is_sent_and_what_only_it_has_is_marked() {
    let member = Member::started();
    let mut server = member.node(EVERY_SECOND);
    server.announce("the metadata cluster had other rows than this node");
    server.announce("the metadata cluster knows files or directories that this node has lost");
    for path in ["/d/e/deep", "/d/right", "/d/wrong", "/gone"] {
        server.put(path, b"1234");
    }
    let last = event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/empty"})));
    let before = tree_with(&server, last);
    let meddler = Meddler {
        member: &member,
        event: last,
        association: association(&server),
    };
    let (root, d, e) = (
        meddler.directory("/"),
        meddler.directory("/d"),
        meddler.directory("/d/e"),
    );
    let remove = |directory, name: &str| Op::Remove {
        directory,
        name: name.to_owned(),
        released: Vec::new(),
    };
    meddler.does(vec![
        // Missing, in two places; one is a directory.
        remove(e, "deep"),
        remove(root, "empty"),
        Op::put(d, "wrong", file(99)),
        // Nowhere else.
        Op::put(d, "ghost", file(7)),
        Op::put(root, "haunted", directory(77)),
        Op::put(Id([77; 16]), "below", file(3)),
    ]);
    let lost_ones = vec![
        ("/d/ghost".to_owned(), false, 7),
        ("/haunted".to_owned(), true, 0),
    ];
    poll(|| lost(&server) == lost_ones);
    let mut expected = before;
    for path in ["/d/ghost", "/haunted", "/haunted/below"] {
        expected.push(path.to_owned());
    }
    expected.sort();
    poll(|| {
        let mut tree = server.tree();
        tree.sort();
        tree == expected
    });
    let listed = server.call("/api/list/tree", json!({"Params": "/d/wrong"}));
    assert_eq!(listed[0]["size"], 4);
    // What is put in its place ends a mark, also when it is deleted again.
    server.put("/d/ghost", b"new");
    server.call("/api/mkdir", json!({"Params": "/haunted"}));
    let deleted = event_of(&server.json(&server.token, "/api/delete", &json!({"Filelist": ["/haunted"]})));
    tree_with(&server, deleted);
    poll(|| lost(&server).is_empty());
}

#[test]
fn a_node_from_an_older_backup_says_what_it_has_lost() {
    let member = Member::started();
    let mut server = member.node(&[]);
    server.announce("the cluster knows more changes than this node");
    server.announce("the metadata cluster knows files or directories that this node has lost");
    server.announce("another start has had this number");
    server.put("/d/kept", b"1");
    server.put("/d/deleted-later", b"1");
    let backup = backup_of(&mut server);
    server.start_again();
    server.put("/d/new", b"12345");
    server.put("/new/a", b"1");
    let last = server.json(
        &server.token,
        "/api/delete",
        &json!({"Filelist": ["/d/deleted-later"]}),
    );
    tree_with(&server, event_of(&last));
    restore(&mut server, &backup);
    server.start_again();
    poll(|| lost(&server) == [("/d/new".to_owned(), false, 5), ("/new".to_owned(), true, 0)]);
    // What the cluster lacked is there again, and so is what the node lacks.
    let tree = server.tree();
    assert_eq!(
        tree,
        [
            "/",
            "/d",
            "/d/deleted-later",
            "/d/kept",
            "/d/new",
            "/new",
            "/new/a"
        ]
    );
    assert_eq!(server.get("/d/kept").status, 200);
    server.get("/d/new").is_problem(404);
    // The start that is lost had the number that this one would have had.
    server.put("/again/a", b"1");
    poll(|| server.tree().contains(&"/again/a".to_owned()));
    let made = ["/new", "/again"].map(|path| directory_at(&member, association(&server), path));
    assert_eq!(made[0].starts() + Start::LEFT_OUT, made[1].starts(), "{made:?}");
}

/// One that cannot know that it is a copy makes ids that no other start makes, until it knows.
#[test]
fn a_node_from_an_older_backup_that_starts_without_the_cluster_starts_once_more() {
    let mut member = Member::started();
    let mut server = member.node(&[]);
    for said in [
        "the metadata cluster knows files or directories that this node has lost",
        "this node's data is an older copy",
        "a shard has stopped",
    ] {
        server.announce(said);
    }
    server.tolerate("the metadata cluster is away");
    server.put("/kept/a", b"1");
    let backup = backup_of(&mut server);
    server.start_again();
    server.put("/new/a", b"1");
    poll(|| server.tree().contains(&"/new/a".to_owned()));
    restore(&mut server, &backup);
    member.stop();
    server.start_again();
    server.put("/alone/a", b"1");
    member.start();
    assert!(!server.wait_for_end().success());
    server.start_again();
    server.put("/again/a", b"1");
    let all = ["/kept", "/new", "/alone", "/again"];
    poll(|| {
        let tree = server.tree();
        all.iter().all(|path| tree.contains(&format!("{path}/a")))
    });
    let [_, new, alone, again] = all.map(|path| directory_at(&member, association(&server), path));
    assert_eq!(new.starts(), alone.starts());
    // Theirs begin at 1, and in the upper half.
    assert_eq!(
        (new.0[12] & 0x80, alone.0[12] & 0x80),
        (0, 0x80),
        "{new:?} {alone:?}"
    );
    assert!(again.starts() > new.starts() + Start::LEFT_OUT, "{again:?}");
}

/// Ends a node, and copies what it has.
fn backup_of(server: &mut Server) -> tempfile::TempDir {
    server.terminate();
    assert!(server.wait_for_end().success());
    let backup = tempfile::tempdir().unwrap();
    copy(server.data(), backup.path());
    backup
}

/// Ends a node, and has it begin with what it had.
fn restore(server: &mut Server, backup: &tempfile::TempDir) {
    server.terminate();
    assert!(server.wait_for_end().success());
    std::fs::remove_dir_all(server.data()).unwrap();
    std::fs::create_dir(server.data()).unwrap();
    copy(backup.path(), server.data());
}

#[test]
fn nothing_differs_while_files_are_made_moved_and_deleted() {
    let member = Member::started();
    let server = member.node(EVERY_SECOND);
    // A round begins every second and looks at 2,000 rows at most before it pauses: a warning would fail the test.
    for round in 0..60 {
        for number in 0..20 {
            server.put(&format!("/r{round}/f{number}"), b"x");
        }
        let moved = json!({"Movelist": [{"from": format!("/r{round}/f1"), "to": format!("/r{round}/g")},
            {"from": format!("/r{round}"), "to": format!("/s{round}")}]});
        server.call("/api/move", moved);
        if round % 3 == 0 {
            server.call("/api/delete", json!({"Filelist": [format!("/s{}", round / 2)]}));
        }
    }
    assert!(lost(&server).is_empty());
}

/// Copies a directory with all that is below, but sockets.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn an_operator_has_a_node_compare_now() {
    let member = Member::started();
    let operator = member.operator();
    // By itself it compares every ten minutes.
    let mut server = member.node(&[]);
    server.announce("the metadata cluster had other rows than this node");
    server.announce("the metadata cluster knows files or directories that this node has lost");
    server.put("/a", b"1");
    let last = event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/b"})));
    let before = tree_with(&server, last);
    let meddler = Meddler {
        member: &member,
        event: last,
        association: association(&server),
    };
    let root = meddler.directory("/");
    meddler.does(vec![
        Op::Remove {
            directory: root,
            name: "b".to_owned(),
            released: Vec::new(),
        },
        Op::put(root, "ghost", file(7)),
    ]);
    let fsck = |nodes: &[u64]| member.wait(operator.fsck(nodes, PATIENCE));
    let found = fsck(&[last.node]);
    let sum = |found: &Value, what: &str| {
        let logs = found["logs"].as_array().unwrap().iter();
        logs.map(|log| log[what].as_u64().unwrap()).sum::<u64>()
    };
    assert!(found.failed);
    assert_eq!((sum(&found.json, "sent"), sum(&found.json, "lost")), (1, 1));
    let lost = member.wait(operator.lost()).json;
    assert_eq!(
        (&lost[0]["path"], lost.as_array().unwrap().len()),
        (&json!("/ghost"), 1)
    );
    // What is lost stays so until something else is there.
    let found = fsck(&[]);
    assert!(found.failed);
    assert_eq!((sum(&found.json, "sent"), sum(&found.json, "lost")), (0, 1));
    server.put("/ghost", b"new");
    let found = fsck(&[]);
    assert!(!found.failed, "{}", found.text);
    // What is there now, and what was the ghost.
    assert_eq!(sum(&found.json, "rows"), before.len() as u64 + 1);
    assert_eq!(member.wait(operator.lost()).json, json!([]));
    member.refuses(operator.fsck(&[9], std::time::Duration::ZERO), "0000000000000009");
}
