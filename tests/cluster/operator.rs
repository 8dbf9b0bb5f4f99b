//! What an operator does by the members alone reaches the nodes.

use filegridctl::operator::Operator;
use filegridctl::settings;
use serde_json::{Value, json};

use crate::member::{Member, event_of};
use crate::support::{Server, poll, until};

/// For what a node does in its own time.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

impl Member {
    /// An operator of this member's cluster.
    pub(crate) fn operator(&self) -> Operator {
        let variables = [
            ("FILEGRIDCTL_MEMBERS", self.name()),
            ("FILEGRIDCTL_PLAIN_TEXT", "true".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Operator::new(settings::load(None, variables.into_iter()).unwrap())
    }
}

/// A token for the keys that an operator was shown.
fn token(server: &Server, keys: &Value) -> String {
    let keys = json!({
        "AssociationKey": keys["associationKey"], "AccessKey": keys["accessKey"], "SecretKey": keys["secretKey"],
    });
    let answer = until(200, || server.json("", "/apiaccess/auth", &keys));
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn an_association_of_the_command_line_is_used_and_deleted_with_its_files() {
    let member = Member::started();
    let operator = member.operator();
    let first = member.node(&[]);
    let second = member.second_node(&first, &[], None);
    let home = event_of(&first.json(&first.token, "/api/mkdir", &json!({"Params": "/here"}))).node;
    poll(|| member.store().producers().iter().any(|of| of.node != home));
    // The second has none yet.
    let made = member
        .wait(operator.create_association("Acme", None, None, PATIENCE))
        .json;
    assert_ne!(made["home"], format!("{home:016x}"));
    assert_eq!(made["ready"], true);
    let key: uuid::Uuid = made["associationKey"].as_str().unwrap().parse().unwrap();
    let scopes = filegrid_meta::registry::Scopes::all();
    let keys = member.wait(operator.create_user(key, scopes, "/", "")).json;
    let user = token(&second, &keys);
    event_of(&second.upload_as(&user, &[("f", "a", b"1")], None));
    let listed = second.json(&user, "/api/list/files", &json!({}));
    assert_eq!(listed.json()[0]["name"], "a");

    member.wait(operator.update_association(key, None, Some(false)));
    poll(|| second.json(&user, "/api/list/files", &json!({})).status == 401);
    let deleted = member
        .wait(operator.delete_association(key, false, PATIENCE))
        .json;
    assert_eq!(deleted["deleted"], true);
    assert!(member.store().registry().tenant(key).is_none());
    // The other is as it was.
    event_of(&first.upload(&[("f", "b", b"1")], None));
}
