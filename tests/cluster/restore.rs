//! The cluster is lost and restored from a backup, while nodes run.

use std::collections::BTreeMap;

use filegrid_meta::backup;
use serde_json::{Value, json};

use crate::ftp::{self, Ftp};
use crate::member::{Member, event_of, tree_with};
use crate::operator::PATIENCE;
use crate::support::{Server, noise, poll};

fn accounts(server: &Server) -> Vec<String> {
    let answer = server.request(&server.token, "GET", "/ftpaccounts", &[], b"");
    let Value::Array(accounts) = answer.json() else {
        panic!("{}", answer.text())
    };
    let names = accounts
        .iter()
        .map(|of| of["username"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn nodes_tell_a_restored_cluster_what_it_lacks() {
    let mut member = Member::started();
    let mut first = member.node(&[]);
    let mut second = member.second_node(&first, &[], None);
    for server in [&mut first, &mut second] {
        server.tolerate("the metadata cluster is away");
        server.tolerate("the metadata cluster was restored");
    }
    let operator = member.operator();
    let home = event_of(&first.upload(&[("f", "before", b"1")], None)).node;
    first.put("/deleted", b"1");
    ftp::account(&first, "early", "/", "RW");
    let homes = member.store().producers();
    let other = homes.iter().find(|of| of.node != home).unwrap().node;
    let made = member.wait(operator.create_association("Acme", None, Some(other), PATIENCE));
    let key: uuid::Uuid = made.json["associationKey"].as_str().unwrap().parse().unwrap();
    let user = user(&member, &second, key);
    tree_with(
        &first,
        event_of(&second.upload_as(&user, &[("f", "a", b"1")], None)),
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let told = member.wait(operator.backup(&file)).json;
    assert_eq!(told["cluster"], "filegrid");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    member.refuses(operator.backup(&file), "is there already");

    // What comes behind the backup; one of the nodes is started again.
    first.put("/late", b"22");
    event_of(&first.json(&first.token, "/api/delete", &json!({"Filelist": ["/deleted"]})));
    ftp::account(&first, "late", "/", "RW");
    second.terminate();
    assert!(second.wait_for_end().success());
    second.start_again();
    tree_with(
        &first,
        event_of(&second.upload_as(&user, &[("f", "b", b"1")], None)),
    );
    member.stop();
    event_of(&first.upload(&[("f", "later", b"1")], None));
    event_of(&second.upload_as(&user, &[("f", "c", b"1")], None));
    member.forget_all();
    member.restore(&file);
    member.start();

    let last = event_of(&first.upload(&[("f", "last", b"1")], None));
    assert_eq!(
        tree_with(&first, last),
        ["/", "/before", "/last", "/late", "/later"],
        "{}",
        first.log()
    );
    let last = event_of(&second.upload_as(&user, &[("f", "d", b"1")], None));
    let tree = |server: &Server| {
        let asked = json!({"After": last.to_string()});
        let answer = server.json(&user, "/api/list/tree", &asked);
        let entries = if answer.status == 200 {
            answer.json()
        } else {
            Value::Null
        };
        let entries = entries.as_array().into_iter().flatten();
        let paths = entries.map(|entry| entry["path"].as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    poll(|| tree(&second) == ["/", "/a", "/b", "/c", "/d"]);
    // Accounts are those of the backup, on all nodes, and new ones work.
    for server in [&first, &second] {
        poll(|| accounts(server) == ["early"]);
    }
    ftp::account(&second, "new", "/", "RW");
    poll(|| Ftp::connect(&first).try_login("new"));
    assert!(!Ftp::connect(&first).try_login("late"));
    let checked = member.wait(operator.fsck(&[], PATIENCE));
    assert_eq!(checked.json["alike"], true, "{}", checked.text);
}

/// The keys of a new API user of an association, once a node knows them.
fn user(member: &Member, server: &Server, key: uuid::Uuid) -> String {
    let scopes = filegrid_meta::registry::Scopes::all();
    let made = member
        .wait(member.operator().create_user(key, scopes, "/", ""))
        .json;
    let keys: Vec<String> = ["associationKey", "accessKey", "secretKey"]
        .map(|name| made[name].as_str().unwrap().to_owned())
        .into();
    poll(|| {
        let login = json!({"AssociationKey": keys[0], "AccessKey": keys[1], "SecretKey": keys[2]});
        server.json("", "/apiaccess/auth", &login).status == 200
    });
    server.login(&keys)
}

/// What was made behind the backup is unknown to the cluster, and no file of it is lost.
#[test]
fn an_association_that_was_made_behind_the_backup_comes_back_with_its_files() {
    let mut member = Member::started();
    let mut server = member.node(&[]);
    for said in [
        "the metadata cluster is away",
        "the metadata cluster was restored",
    ] {
        server.tolerate(said);
    }
    server.announce("the metadata cluster had other rows than this node");
    let node = event_of(&server.upload(&[("f", "before", b"1")], None)).node;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let operator = member.operator();
    member.wait(operator.backup(&file));

    let made = member.wait(operator.create_association("Acme", None, None, PATIENCE));
    let key: uuid::Uuid = made.json["associationKey"].as_str().unwrap().parse().unwrap();
    let token = user(&member, &server, key);
    let bytes = noise(3_000_000, 1);
    let uploaded = server.upload_as(&token, &[("f", "large", &bytes), ("g", "small", b"2")], None);
    let last = event_of(&uploaded);
    server.json(&token, "/api/mkdir", &json!({"Params": "/d/e"}));
    poll(|| member.store().producer(last.node, last.log).unwrap().applied > last.sequence);
    member.stop();
    member.forget_all();
    member.restore(&file);
    member.start();

    // Nobody gets at it: the cluster does not know it, nor its users.
    poll(|| server.json(&token, "/api/list/files", &json!({})).status == 401);
    let listed = member.wait(operator.list_associations()).text;
    assert!(!listed.contains("Acme"), "{listed}");
    // What the node sent of it is an alarm.
    poll(|| member.wait(operator.rejected()).text.contains(&key.to_string()));

    let again = operator.create_association("Acme", Some(key), Some(node), PATIENCE);
    let again = member.wait(again).json;
    assert_eq!(
        (&again["associationKey"], &again["ready"]),
        (&json!(key.to_string()), &json!(true))
    );
    let token = user(&member, &server, key);
    poll(|| {
        let tree = server.json(&token, "/api/list/tree", &json!({})).json();
        let paths = tree.as_array().unwrap().iter().map(|of| of["path"].clone());
        json!(paths.collect::<Vec<_>>()) == json!(["/", "/d", "/d/e", "/large", "/small"])
    });
    let whole = server.request(&token, "GET", "/api/download/single?path=/large", &[], b"");
    assert!(whole.body == bytes);
    let after = event_of(&server.upload_as(&token, &[("f", "after", b"3")], None));
    poll(|| member.store().producer(after.node, after.log).unwrap().applied >= after.sequence);
    let checked = member.wait(operator.fsck(&[], PATIENCE));
    assert_eq!(checked.json["alike"], true, "{}", checked.text);
}

impl Member {
    /// Puts the state of a backup in the place of what it had.
    fn restore(&self, file: &std::path::Path) {
        let members = BTreeMap::from([(1, self.address().to_string())]);
        backup::restore(file, self.data(), &members).unwrap();
    }
}
