//! What goes on, and what does not, while the cluster is away.

use std::io::Write as _;

use serde_json::json;

use crate::ftp::Ftp;
use crate::member::{Member, event_of, old_registry, tree_with};
use crate::programs::{directory, well};
use crate::relay_sftp::{self, sftp};
use crate::support::{Server, noise, until};

#[test]
fn a_node_takes_nothing_before_it_is_let_in_and_goes_on_afterwards() {
    let mut member = Member::new();
    let mut before = Server::start();
    before.terminate();
    assert!(before.wait_for_end().success());
    let mut server = member.second_node(&before, &[], Some(&old_registry(&before)));
    server.tolerate("the metadata cluster is away");
    let refused = server.upload(&[("f", "early", b"1")], None);
    refused.is_problem(503);
    assert!(refused.field("retry-after").is_some());
    let listing = server.json(&server.token, "/api/list/tree", &json!({}));
    listing.is_problem(503);
    member.start();
    until(200, || server.upload(&[("f", "first", b"1")], None));
    let second = event_of(&server.upload(&[("f", "second", b"2")], None));
    assert_eq!(tree_with(&server, second), ["/", "/first", "/second"]);
    member.stop();
    let third = event_of(&server.upload(&[("f", "third", b"3")], None));
    let files = server.call("/api/list/files", json!({"Params": "/"}));
    assert_eq!(files.as_array().unwrap().len(), 3, "its own tree has it");
    // A node that the cluster knows starts and takes changes without it.
    server.stop_and_restart();
    let fourth = event_of(&server.upload(&[("f", "fourth", b"4")], None));
    assert_eq!(fourth.sequence, third.sequence + 1);
    server
        .json(&server.token, "/api/list/tree", &json!({}))
        .is_problem(503);
    member.start();
    let all = ["/", "/first", "/fourth", "/second", "/third"];
    assert_eq!(tree_with(&server, fourth), all);
    server.kill_and_restart();
    assert_eq!(tree_with(&server, fourth), all);
    let producer = member.store().producer(fourth.node, fourth.log).unwrap();
    assert_eq!(producer.rejected, 0);
}

#[test]
fn what_waits_for_the_cluster_is_bounded() {
    let mut member = Member::started();
    let mut server = member.node(&[("unshipped_max_mib", "20")]);
    server.tolerate("the metadata cluster is away");
    server.put("/kept", b"before");
    server.add_account(relay_sftp::NAME, relay_sftp::PASSWORD, "/", "RW");
    member.stop();
    let payload = noise(100 << 10, 1);
    let mut last = None;
    let mut taken = 0;
    let refused = until(503, || {
        let answer = server.upload(&[("f", &format!("f{taken}"), &payload)], None);
        if answer.status == 200 {
            taken += 1;
            last = Some(event_of(&answer));
        }
        answer
    });
    assert!(refused.field("retry-after").is_some());
    refused.is_problem(503);
    assert!(taken * payload.len() >= 12 << 20, "{taken}");
    let unready = server.probe("/readyz");
    assert_eq!(unready.status, 503);
    assert!(
        unready.text().contains("wait for the metadata cluster"),
        "{}",
        unready.text()
    );
    server
        .json(&server.token, "/api/mkdir", &json!({"Params": "/d"}))
        .is_problem(503);
    assert_eq!(server.get("/kept").text(), "before");
    server
        .json(&server.token, "/api/delete", &json!({"Filelist": ["/kept"]}))
        .is_problem(503);
    // On the other protocols as well; what is there is served.
    let mut client = Ftp::connect(&server);
    client.expect(&format!("USER {}", relay_sftp::NAME), 331);
    client.expect(&format!("PASS {}", relay_sftp::PASSWORD), 230);
    client.expect("MKD /d", 450);
    client.expect("DELE /kept", 450);
    assert_eq!(client.download("RETR /kept"), b"before");
    let mut data = client.begin("STOR /up");
    data.write_all(b"1").unwrap();
    data.end();
    drop(data);
    client.expect_reply(450);
    let at = directory(&server, "files");
    std::fs::write(at.join("up"), b"1").unwrap();
    if let Some(put) = sftp(&server, &at, "put up /up\n") {
        assert!(!put.status.success(), "{put:?}");
        well(&sftp(&server, &at, "get /kept kept\n").unwrap());
        assert_eq!(std::fs::read(at.join("kept")).unwrap(), b"before");
    }
    server.get("/up").is_problem(404);
    member.start();
    until(200, || {
        server.json(&server.token, "/api/mkdir", &json!({"Params": "/d"}))
    });
    until(200, || server.probe("/readyz"));
    let tree = tree_with(&server, last.unwrap());
    assert_eq!(tree.len(), taken + 3, "{tree:?}");
    assert!(tree.contains(&"/kept".to_owned()));
}

#[test]
fn what_was_never_done_is_not_waited_for_for_ever() {
    let member = Member::started();
    let server = member.node(&[]);
    let mut never = event_of(&server.upload(&[("f", "a", b"1")], None));
    never.sequence += 1000;
    let late = server.json(
        &server.token,
        "/api/list/tree",
        &json!({"After": never.to_string()}),
    );
    late.is_problem(503);
    assert!(late.field("retry-after").is_some());
    for wrong in ["", "soon", "1-2-3", "0000000000000007-0-0"] {
        let refused = server.json(&server.token, "/api/list/tree", &json!({"After": wrong}));
        refused.is_problem(400);
        assert!(refused.text().contains("After"), "{}", refused.text());
    }
}
