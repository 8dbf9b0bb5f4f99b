//! Changes come to the cluster once each and in order, whatever happens on the way.

use filegrid_meta::store::{Command, Reply, Start};
use serde_json::json;

use crate::member::{Member, event_of, tree_with};
use crate::support::{noise, poll};

#[test]
fn a_backlog_of_several_segments_is_read_from_the_log() {
    let mut member = Member::started();
    let mut server = member.node(&[]);
    server.tolerate("the metadata cluster is away");
    server.put("/first", b"1");
    member.stop();
    // Three segments of 8 MiB, more changes than are kept in memory; most of what they made is deleted again, so that
    // nothing but the cluster needs the segments.
    let payload = noise(120 << 10, 1);
    for number in 0..240 {
        server.put(&format!("/many/f{number}"), &payload);
        if number == 120 {
            server.kill_and_restart();
        }
    }
    let kept: Vec<_> = (0..240).filter(|number| number % 40 != 0).collect();
    let paths: Vec<_> = kept.iter().map(|number| format!("/many/f{number}")).collect();
    let deleted = server.json(&server.token, "/api/delete", &json!({"Filelist": paths}));
    let last = event_of(&deleted);
    server.stop_and_restart();
    member.start();
    let left = ["/", "/first", "/many", "/many/f0", "/many/f120", "/many/f160"];
    let tree = tree_with(&server, last);
    assert_eq!(tree[..6], left);
    assert_eq!(tree[6..], ["/many/f200", "/many/f40", "/many/f80"]);
    let producer = member.store().producer(last.node, last.log).unwrap();
    assert_eq!((producer.applied >= last.sequence, producer.rejected), (true, 0));
}

#[test]
fn associations_come_and_go_with_their_trees() {
    let member = Member::started();
    let server = member.node(&[]);
    let admin = "/admin/associations";
    let made = server.ask_admin(server.operator_token(), "POST", admin, &json!({"Name": "second"}));
    assert_eq!(made.status, 200, "{}", made.text());
    let key = made.json()["associationKey"].as_str().unwrap().to_owned();
    let users = format!("{admin}/{key}/users");
    let scopes = json!({"Scopes": "file.create file.list"});
    let user = server
        .ask_admin(server.operator_token(), "POST", &users, &scopes)
        .json();
    let login = server.json(
        "",
        "/apiaccess/auth",
        &json!({
            "AssociationKey": key, "AccessKey": user["accessKey"], "SecretKey": user["secretKey"],
        }),
    );
    let token = login.json()["token"].as_str().unwrap().to_owned();
    let uploaded = server.upload_as(&token, &[("f", "a", b"1")], None);
    let event = event_of(&uploaded);
    let listed = server.json(&token, "/api/list/tree", &json!({"After": event.to_string()}));
    assert_eq!(listed.json().as_array().unwrap().len(), 2, "{}", listed.text());
    assert_eq!(
        listed.field("filegrid-lag-ms").unwrap().parse::<u64>().unwrap() / 60_000,
        0
    );
    let target = format!("{admin}/{key}");
    for (method, body) in [("PATCH", json!({"Enabled": false})), ("DELETE", json!(null))] {
        let done = server.ask_admin(server.operator_token(), method, &target, &body);
        assert_eq!(done.status, 200, "{}", done.text());
    }
    let key = key.parse().unwrap();
    poll(|| member.store().registry().tenant(key).is_none());
    // What hung below it is purged: of the first association one row is left, its root.
    poll(|| rows(&member) == 1);
    let producer = member.store().producer(event.node, event.log).unwrap();
    assert_eq!(producer.rejected, 0);
}

/// Rows of the cluster's tree.
fn rows(member: &Member) -> usize {
    use filegrid_tree::View as _;
    let (from, to) = filegrid_tree::keys::all(b't');
    let mut count = 0;
    let counted = member.store().view().scan(&from, &to, &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    });
    counted.unwrap();
    count
}

#[test]
fn a_copy_of_a_node_ends_the_first() {
    let member = Member::started();
    let mut server = member.node(&[]);
    let event = event_of(&server.upload(&[("f", "a", b"1")], None));
    assert_eq!(tree_with(&server, event), ["/", "/a"]);
    let logs = 2;
    let entered = member.propose(&Command::Enter {
        node: event.node,
        logs,
        start: Start::default(),
    });
    assert!(matches!(entered, Reply::Entered { epoch: 2, .. }), "{entered:?}");
    server.announce("the log is fenced");
    server.announce("a shard has stopped");
    let _ = server.upload(&[("f", "b", b"2")], None);
    assert!(!server.wait_for_end().success());
    assert!(
        server.log().contains("another process runs on a copy"),
        "{}",
        server.log()
    );
}

#[test]
fn a_cluster_that_has_lost_everything_is_told_all_again() {
    let mut member = Member::started();
    let mut server = member.node(&[]);
    server.tolerate("the metadata cluster is away");
    server.announce("the cluster lacks changes that the log does not have any more");
    server.announce("the metadata cluster has lost its registry");
    let payload = noise(120 << 10, 1);
    for number in 0..160 {
        server.put(&format!("/gone/f{number}"), &payload);
    }
    server.call("/api/mkdir", json!({"Params": "/a/b/c"}));
    for path in ["/a/b/c/deep", "/a/large", "/z"] {
        server.put(path, &noise(200_000, 7));
    }
    let deleted = event_of(&server.json(&server.token, "/api/delete", &json!({"Filelist": ["/gone"]})));
    let before = tree_with(&server, deleted);
    assert_eq!(
        before,
        ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/deep", "/a/large", "/z"]
    );
    // Nothing but the cluster needed the segments of what is gone, and that has it.
    server.terminate();
    assert!(server.wait_for_end().success());
    member.stop();
    member.forget_all();
    member.start();
    server.start_again();
    let after = event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/new"})));
    let mut expected = before;
    expected.insert(6, "/new".to_owned());
    assert_eq!(tree_with(&server, after), expected, "{}", server.log());
    let listed = server.call("/api/list/tree", json!({"Params": "/a/large"}));
    assert_eq!(listed[0]["size"], 200_000);
    let producer = member.store().producer(after.node, after.log).unwrap();
    assert_eq!((producer.applied >= after.sequence, producer.rejected), (true, 0));
}

#[test]
fn a_node_that_knows_less_than_the_cluster_goes_on() {
    let member = Member::started();
    let mut server = member.node(&[]);
    server.announce("the cluster knows more changes than this node");
    let first = event_of(&server.upload(&[("f", "a", b"1")], None));
    assert_eq!(tree_with(&server, first), ["/", "/a"]);
    let jumped = member.propose(&Command::Jump {
        node: first.node,
        log: first.log,
        epoch: 1,
        from: first.sequence,
        to: first.sequence + 1000,
    });
    assert_eq!(jumped, Reply::Applied(first.sequence + 1000));
    server.put("/b", b"2");
    poll(|| server.tree() == ["/", "/a", "/b"]);
    server.put("/c", b"3");
    poll(|| server.tree() == ["/", "/a", "/b", "/c"]);
    server.kill_and_restart();
    assert_eq!(server.tree(), ["/", "/a", "/b", "/c"]);
}

/// A listing comes from a member elsewhere by pages of its own, whatever pages the client wants.
#[test]
fn a_tree_is_listed_in_pages_and_lines_through_a_node() {
    let member = Member::started();
    let server = member.node(&[]);
    for directory in 0..6 {
        let names: Vec<_> = (0..500)
            .map(|number| format!("{number:03}{}", "x".repeat(60)))
            .collect();
        let files: Vec<_> = names.iter().map(|name| ("f", name.as_str(), &b"1"[..])).collect();
        let meta = json!({"files": [{"field": "f", "path": format!("/d{directory}")}]});
        let answer = server.upload(&files, Some(meta));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let last = event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/last"})));
    let tree = tree_with(&server, last);
    assert_eq!(tree.len(), 1 + 6 + 6 * 500 + 1);
    for limit in [7, 1000, 3008] {
        let mut paged: Vec<String> = Vec::new();
        loop {
            let asked = match paged.last() {
                None => json!({"Limit": limit}),
                Some(last) => json!({"Limit": limit, "Cursor": last}),
            };
            let page = server.call("/api/list/tree", asked);
            let page = page.as_array().unwrap();
            paged.extend(
                page.iter()
                    .map(|entry| entry["path"].as_str().unwrap().to_owned()),
            );
            if page.len() < limit || limit == 7 && paged.len() > 100 {
                break;
            }
        }
        assert_eq!(paged, tree[..paged.len()]);
        assert!(limit == 7 || paged.len() == tree.len());
    }
    let lines = server.request(
        &server.token,
        "POST",
        "/api/list/tree",
        &[("Accept", "application/x-ndjson")],
        b"",
    );
    assert_eq!(lines.field("content-type"), Some("application/x-ndjson"));
    assert!(lines.field("filegrid-lag-ms").is_some());
    let lines = lines.text();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect();
    assert!(lines == tree);
}
