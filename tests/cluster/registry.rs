//! Accounts come from the cluster: what is changed through one node is in force on all, and a node knows them while the
//! cluster is away.

use std::time::Duration;

use filegrid_meta::registry::Registry;
use serde_json::{Value, json};

use crate::ftp::{self, Ftp};
use crate::member::{Member, event_of, old_registry};
use crate::support::{Reply, Server, poll, until};

/// Two nodes of a cluster with an account that logs in over FTP.
fn two() -> (Member, Server, Server, u64) {
    two_with(&[("relay", "127.0.0.1:0")])
}

fn two_with(settings: &[(&str, &str)]) -> (Member, Server, Server, u64) {
    let member = Member::started();
    let first = member.node(settings);
    let second = member.second_node(&first, settings, None);
    let id = ftp::account(&first, ftp::NAME, "/", "RW");
    (member, first, second, id)
}

/// Logs in as soon as the account is known.
fn session(server: &Server) -> Ftp {
    let mut session = None;
    poll(|| {
        let mut client = Ftp::connect(server);
        let is_in = client.try_login(ftp::NAME);
        session = is_in.then_some(client);
        is_in
    });
    session.unwrap()
}

fn change(server: &Server, change: Value) {
    let done = server.request(
        &server.token,
        "PATCH",
        "/ftpaccounts",
        &[("Content-Type", "application/json")],
        change.to_string().as_bytes(),
    );
    assert_eq!(done.status, 200, "{}", done.text());
}

/// Waits until a session is ended from the other side.
fn ends(mut session: Ftp) {
    poll(|| matches!(session.ask("NOOP").0, 0 | 421));
}

fn accounts(server: &Server) -> Value {
    let answer = server.request(&server.token, "GET", "/ftpaccounts", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn list(server: &Server, token: &str) -> Reply {
    server.json(token, "/api/list/files", &json!({}))
}

fn node_of(server: &Server) -> u64 {
    event_of(&server.json(&server.token, "/api/mkdir", &json!({"Params": "/here"}))).node
}

#[test]
fn an_account_made_on_one_node_logs_in_on_another_and_ends_there() {
    let (_member, first, second, id) = two();
    let live = session(&second);
    change(&first, json!({"Id": id, "Password": "another one"}));
    ends(live);
    let mut refused = Ftp::connect(&second);
    assert!(!refused.try_login(ftp::NAME));
    change(&first, json!({"Id": id, "Password": ftp::PASSWORD}));
    let live = session(&second);
    change(&second, json!({"Id": id, "Enabled": false}));
    ends(live);
    // In force here when it was answered.
    assert!(!Ftp::connect(&second).try_login(ftp::NAME));
    poll(|| !Ftp::connect(&first).try_login(ftp::NAME));
    // So are API users and the operator.
    let user = second.user("file.list", "/");
    poll(|| list(&first, &user).status == 200);
    let token = second.new_operator_token();
    poll(|| {
        first
            .ask_admin(&token, "GET", "/admin/associations", &Value::Null)
            .status
            == 200
    });
    let refused = first.ask_admin(first.operator_token(), "GET", "/admin/associations", &Value::Null);
    assert_eq!(refused.status, 401);
    let disable = json!({"Enabled": false});
    let target = format!("/admin/associations/{}", first.association());
    let done = second.ask_admin(&token, "PATCH", &target, &disable);
    assert_eq!(done.status, 200, "{}", done.text());
    poll(|| list(&first, &first.token).status == 401);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn guesses_at_one_node_count_at_the_others() {
    let (_member, first, second, _) = two();
    drop(session(&second));
    let guess = |server: &Server| {
        let mut client = Ftp::connect(server);
        client.expect(&format!("USER {}", ftp::NAME), 331);
        client.ask("PASS a guess").1
    };
    for _ in 0..5 {
        let text = guess(&first);
        assert!(text.contains("not valid"), "{text}");
    }
    // The second node lets five of them pass too, unless it is told of the others.
    let told = (0..5).any(|_| {
        std::thread::sleep(Duration::from_secs(1));
        guess(&second).contains("too many failed")
    });
    assert!(told, "guesses are counted by each node alone");
    poll(|| Ftp::connect(&second).try_login(ftp::NAME));
}

#[test]
fn files_are_on_the_node_that_the_association_was_made_on() {
    // Without a relay between them.
    let (member, first, second, _) = two_with(&[]);
    let node = node_of(&first);
    first.put("/a", b"1");
    for (route, body) in [
        ("/api/list/files", json!({})),
        ("/api/list/dirs", json!({})),
        ("/api/mkdir", json!({"Params": "/b"})),
        ("/api/delete", json!({"Filelist": ["/a"]})),
        ("/api/move", json!({"Movelist": [{"from": "/a", "to": "/b"}]})),
        ("/api/download/single?path=/a", json!({})),
        ("/api/download/prepare", json!({"Filelist": ["/a"]})),
    ] {
        let refused = second.json(&second.token, route, &body);
        refused.is_problem(503);
        assert!(
            refused.text().contains(&format!("{node:016x}")),
            "{route}: {}",
            refused.text()
        );
    }
    second.upload(&[("f", "c", b"1")], None).is_problem(503);
    let mut text = String::new();
    poll(|| {
        let mut ftp = Ftp::connect(&second);
        ftp.expect(&format!("USER {}", ftp::NAME), 331);
        let (code, told) = ftp.ask(&format!("PASS {}", ftp::PASSWORD));
        text = told;
        code == 450
    });
    assert!(text.contains(&format!("{node:016x}")), "{text}");
    let operator = first.operator_token();
    let disabled = json!({"Enabled": false});
    // The tree of all is the cluster's, whoever is asked.
    poll(|| second.tree() == ["/", "/a", "/here"]);
    // One that is made on the second is at home there.
    let made = second.ask_admin(
        operator,
        "POST",
        "/admin/associations",
        &json!({"Name": "second"}),
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let key = made.json()["associationKey"].as_str().unwrap().to_owned();
    let users = format!("/admin/associations/{key}/users");
    let scopes = json!({"Scopes": "file.create file.list"});
    let user = first.ask_admin(operator, "POST", &users, &scopes);
    assert_eq!(user.status, 200, "{}", user.text());
    let user = user.json();
    let keys = json!({"AssociationKey": key, "AccessKey": user["accessKey"], "SecretKey": user["secretKey"]});
    let token = until(200, || second.json("", "/apiaccess/auth", &keys)).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    event_of(&second.upload_as(&token, &[("f", "a", b"1")], None));
    list(&first, &token).is_problem(503);
    // It is deleted where its files are.
    let target = format!("/admin/associations/{key}");
    assert_eq!(first.ask_admin(operator, "PATCH", &target, &disabled).status, 200);
    assert_eq!(
        first.ask_admin(operator, "DELETE", &target, &Value::Null).status,
        409
    );
    poll(|| second.ask_admin(operator, "DELETE", &target, &Value::Null).status == 200);
    poll(|| member.store().registry().tenants().len() == 1);
}

#[test]
fn changes_of_accounts_wait_for_a_leader_and_nothing_else_does() {
    let mut member = Member::started();
    let mut server = member.node(&[]);
    server.tolerate("the metadata cluster is away");
    ftp::account(&server, ftp::NAME, "/", "RW");
    member.stop();
    let account = json!({"Username": "late", "Password": "secret", "Chroot": "/", "AccessRights": "RO"});
    let refused = server.json(&server.token, "/ftpaccounts/create", &account);
    refused.is_problem(503);
    assert!(refused.field("retry-after").is_some());
    let refused = server.ask_admin(
        server.operator_token(),
        "POST",
        "/admin/associations",
        &json!({"Name": "late"}),
    );
    refused.is_problem(503);
    assert!(refused.field("retry-after").is_some());
    server.put("/a", b"1");
    session(&server).expect("SIZE /a", 213);
    // What the command line asks for comes about later.
    let left = server.run(&["add-user", "--scopes", "file.list"]);
    let left: Vec<_> = left
        .lines()
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    let left = json!({"AssociationKey": left[0], "AccessKey": left[1], "SecretKey": left[2]});
    // Started from what it knew last.
    server.kill_and_restart();
    server.put("/b", b"1");
    session(&server).expect("SIZE /b", 213);
    assert_ne!(server.json("", "/apiaccess/auth", &left).status, 200);
    member.start();
    until(200, || server.json("", "/apiaccess/auth", &left));
    until(200, || {
        server.json(&server.token, "/ftpaccounts/create", &account)
    });
}

#[test]
fn a_node_that_is_cut_off_changes_nothing_and_lets_nobody_in() {
    let mut member = Member::started();
    let mut server = member.node(&[("metadata_cut_off_s", "1")]);
    server.tolerate("the metadata cluster is away");
    server.put("/a", b"1");
    ftp::account(&server, ftp::NAME, "/", "RW");
    let mut live = session(&server);
    member.stop();
    let keys = server.keys();
    let keys = json!({"AssociationKey": keys[0], "AccessKey": keys[1], "SecretKey": keys[2]});
    let refused = until(503, || server.json("", "/apiaccess/auth", &keys));
    assert!(refused.field("retry-after").is_some());
    assert!(!Ftp::connect(&server).try_login(ftp::NAME));
    until(503, || server.upload(&[("f", "b", b"1")], None));
    let delete = json!({"Filelist": ["/a"]});
    until(503, || server.json(&server.token, "/api/delete", &delete)).is_problem(503);
    assert_eq!(live.ask("MKD /d").0, 450);
    // What is there can be had.
    assert_eq!(server.get("/a").text(), "1");
    live.expect("SIZE /a", 213);
    member.start();
    until(200, || server.json("", "/apiaccess/auth", &keys));
    until(200, || server.upload(&[("f", "b", b"1")], None));
}

#[test]
fn what_a_node_had_of_its_own_is_taken_over_once() {
    let mut server = Server::start();
    server.tolerate("the metadata cluster is away");
    let id = ftp::account(&server, ftp::NAME, "/", "RW");
    server.put("/a", b"1");
    server.terminate();
    assert!(server.wait_for_end().success());
    // As it was before there was a cluster.
    let own = old_registry(&server);
    std::fs::write(server.data().join("registry.json"), own.to_string()).unwrap();
    std::fs::remove_dir_all(server.data().join("meta")).unwrap();
    let member = Member::started();
    server.set("metadata_members", &member.name());
    server.set("metadata_plain_text", "true");
    server.start_again();
    let event = event_of(&server.upload(&[("f", "b", b"1")], None));
    poll(|| member.store().registry().is_taken_over(event.node));
    let rows = own["rows"].as_array().unwrap().iter();
    let own: Registry = rows
        .map(|row| serde_json::from_value::<filegrid_meta::registry::Row>(row.clone()).unwrap())
        .collect();
    let association = server.association().parse().unwrap();
    let known = member.store().registry();
    assert!(known.is_at_home(association, event.node));
    assert_eq!(known.account(association, id), own.account(association, id));
    assert_eq!(
        known.user(association, &server.keys()[1]),
        own.user(association, &server.keys()[1])
    );
    assert_eq!((known.keys(), known.operator()), (own.keys(), own.operator()));
    session(&server).expect("SIZE /a", 213);
    // What is deleted since does not come back, not even from the copy of a node that did not hear of it.
    let copy = std::fs::read(server.data().join("registry.json")).unwrap();
    server.delete_account(id);
    server.terminate();
    assert!(server.wait_for_end().success());
    std::fs::write(server.data().join("registry.json"), copy).unwrap();
    server.start_again();
    poll(|| accounts(&server) == json!([]));
    assert!(member.store().registry().account(association, id).is_none());
}

#[test]
fn a_node_that_lost_its_copy_has_the_registry_from_its_own_member() {
    let mut server = Server::start();
    let id = ftp::account(&server, ftp::NAME, "/", "RW");
    server.put("/a", b"1");
    server.terminate();
    assert!(server.wait_for_end().success());
    std::fs::remove_file(server.data().join("registry.json")).unwrap();
    server.start_again();
    let accounts = accounts(&server);
    assert_eq!(accounts[0]["id"], id);
    assert_eq!(server.get("/a").text(), "1");
}

#[test]
fn of_two_first_starts_at_once_one_makes_the_first_association() {
    use filegrid::auth::first_registry;
    use filegrid::cluster::{Place, join};

    let member = Member::started();
    let place = Place::Members {
        members: filegrid_meta::config::members(&[member.name()]).unwrap(),
        node: None,
        cluster: "filegrid".to_owned(),
        security: filegrid_meta::wire::Security::Plain,
    };
    let both = std::sync::Barrier::new(2);
    let start = |node| {
        let first = || {
            // Both have seen a cluster that has nothing.
            both.wait();
            first_registry(1)
        };
        join(&place, node, first).unwrap()
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| start(8));
        (start(7), other.join().unwrap())
    });
    let made: Vec<_> = [&one, &other]
        .iter()
        .filter_map(|(_, first)| first.clone())
        .collect();
    assert_eq!(made.len(), 1, "one tells its keys");
    assert!(made[0].operator_token.is_some());
    for (registry, _) in [one, other] {
        let keys: Vec<_> = registry.tenants().map(|of| of.association().key).collect();
        assert_eq!(keys, [made[0].keys.association]);
    }
}
