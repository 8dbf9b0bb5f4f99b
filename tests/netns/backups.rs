//! Disks that come back older than they were, and a node that runs twice.

use serde_json::{Value, json};

use crate::cluster::{Cluster, copy};
use crate::load::Load;
use crate::member::Member;
use crate::support::{Server, poll};

/// Stops a node in order, as one does before copying its data.
fn stop(server: &mut Server) {
    server.terminate();
    assert!(server.wait_for_end().success());
}

/// Puts one directory in the place of another.
fn replace(old: &std::path::Path, by: &std::path::Path) {
    std::fs::remove_dir_all(old).unwrap();
    copy(by, old);
}

/// Paths of what a node's association has lost, as the operator is told by any node.
fn lost(server: &Server, token: &str) -> Vec<String> {
    let answer = server.ask_admin(token, "GET", "/admin/lost", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    let entries = page["entries"].as_array().unwrap().iter();
    let mut paths: Vec<_> = entries
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths
}

/// Paths of the whole tree with a change.
fn paths(server: &Server, event: &str) -> Vec<String> {
    let mut paths = Vec::new();
    poll(|| {
        let answer = server.json(&server.token, "/api/list/tree", &json!({"After": event}));
        if answer.status == 200 {
            let entries = answer.json();
            let entries = entries.as_array().unwrap().iter();
            paths = entries
                .map(|entry| entry["path"].as_str().unwrap().to_owned())
                .collect();
        }
        answer.status == 200
    });
    paths
}

fn upload(server: &Server, name: &str) -> String {
    let answer = server.upload(&[("f", name, name.as_bytes())], None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.field("filegrid-event").unwrap().to_owned()
}

#[test]
fn a_node_comes_back_older() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::beside_the_first(&mut cluster);
    load.descriptions(5);
    let backup = cluster.scratch("backup");
    let token = cluster.nodes[0].server.operator_token().to_owned();
    let node = &mut cluster.nodes[0];
    node.server
        .announce("the cluster knows more changes than this node");
    node.server
        .announce("the metadata cluster knows files or directories that this node has lost");
    node.server.announce("another start has had this number");
    node.at(|server| {
        upload(server, "kept");
        stop(server);
        copy(server.data(), &backup);
        server.start_again();
        upload(server, "lost");
        let last = upload(server, "lost-too");
        paths(server, &last);
        stop(server);
        replace(server.data(), &backup);
        server.start_again();
        poll(|| lost(server, &token) == ["/lost", "/lost-too"]);
        // It goes on, and what it has lost stays where it was.
        let last = upload(server, "new");
        let all = ["/", "/in", "/kept", "/lost", "/lost-too", "/new", "/up"];
        assert_eq!(paths(server, &last), all);
        // What is put in the place of what was lost ends that.
        upload(server, "lost");
        poll(|| lost(server, &token) == ["/lost-too"]);
    });
    load.uploads(1, 20);
    load.verify(&mut cluster);
}

#[test]
fn the_cluster_comes_back_older() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::of_uploads(&cluster);
    load.uploads(0, 10);
    let backup = cluster.scratch("backup");
    // The cluster has let both nodes in, and has something of each.
    for node in &mut cluster.nodes {
        node.at(|server| {
            let made = server.json(&server.token, "/api/mkdir", &json!({"Params": "/begun"}));
            paths(server, made.field("filegrid-event").unwrap());
        });
    }
    // Copies of all members, of one moment: none runs.
    cluster.members.iter_mut().for_each(Member::kill);
    for member in &cluster.members {
        copy(&member.data(), &backup.join(member.id.to_string()));
    }
    cluster.members.iter_mut().for_each(Member::start);
    // Of the second node's next start the copies will know nothing.
    cluster.nodes[1].at(Server::stop_and_restart);
    load.uploads(0, 20);
    load.uploads(1, 20);
    // The cluster has what was uploaded, and then has not.
    for node in &mut cluster.nodes {
        node.at(|server| {
            let made = server.json(&server.token, "/api/mkdir", &json!({"Params": "/shipped"}));
            let event = made.field("filegrid-event").unwrap().to_owned();
            assert!(paths(server, &event).contains(&"/shipped".to_owned()));
        });
    }
    cluster.members.iter_mut().for_each(Member::kill);
    for member in &cluster.members {
        replace(&member.data(), &backup.join(member.id.to_string()));
    }
    cluster.members.iter_mut().for_each(Member::start);
    for node in &mut cluster.nodes {
        for text in [
            "the cluster lacks changes that the log does not have any more",
            "the metadata cluster had other rows than this node",
        ] {
            node.server.tolerate(text);
        }
    }
    load.uploads(0, 10);
    // Where members' files are put back by hand, a start that they do not know ends, and the next one is let in.
    cluster.nodes[1].server.announce("the log is fenced");
    cluster.nodes[1].server.announce("a shard has stopped");
    cluster.nodes[1].at(|server| {
        assert!(!server.wait_for_end().success());
        server.start_again();
    });
    load.uploads(1, 10);
    load.verify(&mut cluster);
}

#[test]
fn a_node_runs_twice() {
    let Some(mut cluster) = Cluster::start(&[]) else {
        return;
    };
    let load = Load::beside_the_first(&mut cluster);
    load.descriptions(5);
    let second = cluster.scratch("second");
    let node = &mut cluster.nodes[0];
    node.server.announce("the log is fenced");
    node.server.announce("a shard has stopped");
    node.server
        .announce("another process runs on a copy of this node's data");
    node.at(|server| {
        upload(server, "before");
        stop(server);
        copy(server.data(), &second);
        server.start_again();
        let last = upload(server, "first");
        paths(server, &last);
        // The second ends the first: who is let in later counts.
        let mut twin = server.twin(&second);
        twin.announce("another start has had this number");
        twin.announce("the cluster knows more changes than this node");
        twin.announce("the metadata cluster knows files or directories that this node has lost");
        twin.tolerate("the metadata cluster is away");
        assert!(!server.wait_for_end().success());
        let last = upload(&twin, "second");
        let all = ["/", "/before", "/first", "/in", "/second", "/up"];
        assert_eq!(paths(&twin, &last), all);
        let token = server.operator_token();
        poll(|| lost(&twin, token) == ["/first"]);
        drop(twin);
        // The first is let in again, and nothing is gone.
        server.announce("another start has had this number");
        server.announce("the metadata cluster knows files or directories that this node has lost");
        server.tolerate("the cluster knows more changes than this node");
        server.tolerate("the metadata cluster had other rows than this node");
        server.start_again();
        let last = upload(server, "third");
        let paths = paths(server, &last);
        for path in ["/before", "/first", "/second", "/third"] {
            assert!(paths.contains(&path.to_owned()), "{path} in {paths:?}");
        }
        // It finds out by itself that the cluster has heard of another since, though sequences are as it left them.
        poll(|| lost(server, server.operator_token()).contains(&"/second".to_owned()));
    });
    load.uploads(1, 20);
    load.verify(&mut cluster);
}
