//! What the operator does: associations and API users.

use serde_json::{Value, json};

use crate::support::{Reply, Server, until};

/// A call of the operator's API.
fn admin(server: &Server, method: &str, path: &str, body: &Value) -> Reply {
    admin_as(server, server.operator_token(), method, path, body)
}

fn admin_as(server: &Server, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    server.ask_admin(token, method, &format!("/admin/associations{path}"), body)
}

#[track_caller]
fn good(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Logs in with the keys of an API user: a token, or nothing.
fn log_in(server: &Server, keys: &Value) -> Option<String> {
    let body = json!({
        "AssociationKey": keys["associationKey"], "AccessKey": keys["accessKey"], "SecretKey": keys["secretKey"],
    });
    let reply = server.json("", "/apiaccess/auth", &body);
    (reply.status == 200).then(|| reply.json()["token"].as_str().unwrap().to_owned())
}

fn list(server: &Server, token: &str) -> Reply {
    server.json(token, "/api/list/tree", &json!({}))
}

#[test]
fn a_tenant_is_made_used_disabled_and_deleted() {
    let server = Server::start();
    let made = good(&admin(&server, "POST", "", &json!({"Name": "Acme"})));
    let key = made["associationKey"].as_str().unwrap();
    assert_eq!(
        made,
        json!({"associationKey": key, "name": "Acme", "enabled": true, "apiUsers": 0, "ftpAccounts": 0})
    );
    let wanted = json!({"Scopes": "file.create file.list file.read", "Root": "/", "Description": "the shop"});
    let keys = good(&admin(&server, "POST", &format!("/{key}/users"), &wanted));
    assert!(keys["accessKey"].as_str().unwrap().starts_with("AK_"));
    let token = log_in(&server, &keys).unwrap();
    assert_eq!(
        list(&server, &token).json()[0]["path"],
        "/",
        "its root is there from the beginning"
    );
    assert_eq!(
        server.upload_as(&token, &[("f", "theirs", b"1")], None).status,
        200
    );
    assert_eq!(server.tree(), ["/"], "nobody else sees it");
    let shown = good(&admin(&server, "GET", &format!("/{key}"), &Value::Null));
    assert_eq!(shown["apiUsers"], 1);
    let all = good(&admin(&server, "GET", "", &Value::Null));
    assert_eq!(all.as_array().unwrap().len(), 2);

    admin(&server, "DELETE", &format!("/{key}"), &Value::Null).is_problem(409);
    good(&admin(
        &server,
        "PATCH",
        &format!("/{key}"),
        &json!({"Name": "Acme Ltd", "Enabled": false}),
    ));
    list(&server, &token).is_problem(401);
    assert_eq!(log_in(&server, &keys), None);
    good(&admin(
        &server,
        "PATCH",
        &format!("/{key}"),
        &json!({"Enabled": true}),
    ));
    assert_eq!(list(&server, &token).status, 200);
    good(&admin(
        &server,
        "PATCH",
        &format!("/{key}"),
        &json!({"Enabled": false}),
    ));
    good(&admin(&server, "DELETE", &format!("/{key}"), &Value::Null));
    list(&server, &token).is_problem(401);
    admin(&server, "GET", &format!("/{key}"), &Value::Null).is_problem(404);
    admin(&server, "DELETE", &format!("/{key}"), &Value::Null).is_problem(404);
}

#[test]
fn an_api_user_is_made_changed_rotated_and_deleted() {
    let server = Server::start();
    server.put("/box/inside", b"1");
    let users = format!("/{}/users", server.keys()[0]);
    let keys = good(&admin(&server, "POST", &users, &json!({"Scopes": "file.list"})));
    let user = format!("{users}/{}", keys["accessKey"].as_str().unwrap());
    let token = log_in(&server, &keys).unwrap();
    assert_eq!(
        good(&admin(&server, "GET", &user, &Value::Null)),
        json!({
            "accessKey": keys["accessKey"], "scopes": "file.list", "root": "/", "description": "", "enabled": true,
        })
    );
    assert_eq!(
        good(&admin(&server, "GET", &users, &Value::Null))
            .as_array()
            .unwrap()
            .len(),
        2
    );
    good(&admin(
        &server,
        "PATCH",
        &user,
        &json!({"Root": "/box", "Description": "x"}),
    ));
    assert_eq!(list(&server, &token).json()[1]["path"], "/inside");
    good(&admin(&server, "PATCH", &user, &json!({"Scopes": ""})));
    list(&server, &token).is_problem(403);
    good(&admin(
        &server,
        "PATCH",
        &user,
        &json!({"Scopes": "file.list", "Enabled": false}),
    ));
    list(&server, &token).is_problem(401);
    good(&admin(&server, "PATCH", &user, &json!({"Enabled": true})));
    let rotated = good(&admin(&server, "POST", &format!("{user}/rotate"), &Value::Null));
    assert_eq!(rotated["accessKey"], keys["accessKey"]);
    list(&server, &token).is_problem(401);
    assert_eq!(log_in(&server, &keys), None);
    let token = log_in(&server, &rotated).unwrap();
    good(&admin(&server, "DELETE", &user, &Value::Null));
    list(&server, &token).is_problem(401);
    admin(&server, "DELETE", &user, &Value::Null).is_problem(404);
    admin(&server, "POST", &format!("{user}/rotate"), &Value::Null).is_problem(404);
}

#[test]
fn only_the_operator_gets_in() {
    let mut server = Server::start();
    for token in ["", "garbage", &server.token.clone()] {
        let refused = admin_as(&server, token, "GET", "", &Value::Null);
        refused.is_problem(401);
        assert_eq!(refused.field("www-authenticate"), Some("Bearer"));
    }
    let public = server.request(server.operator_token(), "GET", "/admin/associations", &[], b"");
    public.is_problem(404);
    let storage = server.ask_admin(server.operator_token(), "POST", "/api/list/tree", &json!({}));
    storage.is_problem(404);
    // A new token ends the old one, while the node runs.
    let old = server.operator_token().to_owned();
    let new = server.new_operator_token();
    until(200, || admin_as(&server, &new, "GET", "", &Value::Null));
    admin_as(&server, &old, "GET", "", &Value::Null).is_problem(401);
    server.stop_and_restart();
    good(&admin_as(&server, &new, "GET", "", &Value::Null));
}

#[test]
fn what_is_wrong_is_named() {
    let server = Server::start();
    let users = format!("/{}/users", server.keys()[0]);
    let unknown = "/11111111-1111-4111-8111-111111111111";
    for (method, path, body, status, named) in [
        ("POST", "", json!({}), 400, "Name"),
        ("POST", "", json!({"Name": "a\nb"}), 400, "Name"),
        ("POST", "", json!({"Name": "a", "Colour": 1}), 400, "Colour"),
        ("GET", "/x", Value::Null, 400, "UUID"),
        ("GET", unknown, Value::Null, 404, "does not exist"),
        (
            "POST",
            &format!("{unknown}/users"),
            json!({"Scopes": ""}),
            404,
            "does not exist",
        ),
        (
            "GET",
            &format!("{unknown}/users"),
            Value::Null,
            404,
            "does not exist",
        ),
        ("POST", &users, json!({}), 400, "Scopes"),
        ("POST", &users, json!({"Scopes": "file.fly"}), 400, "file.fly"),
        ("POST", &users, json!({"Scopes": "", "Root": "/.."}), 400, "Root"),
        ("GET", &format!("{users}/AK_x"), Value::Null, 404, "AK_x"),
        ("PATCH", &format!("{users}/AK_x"), json!({}), 404, "AK_x"),
        ("GET", &format!("{users}/AK_x/y"), Value::Null, 404, "no route"),
    ] {
        let refused = admin(&server, method, path, &body);
        refused.is_problem(status);
        assert!(
            refused.text().contains(named),
            "{method} {path}: {}",
            refused.text()
        );
    }
    for (path, allow) in [
        ("", "GET, HEAD, POST"),
        (unknown, "GET, HEAD, PATCH, DELETE"),
        (&users, "GET, HEAD, POST"),
        (&format!("{users}/AK_x"), "GET, HEAD, PATCH, DELETE"),
        (&format!("{users}/AK_x/rotate"), "POST"),
    ] {
        let refused = admin(&server, "PUT", path, &Value::Null);
        refused.is_problem(405);
        assert_eq!(refused.field("allow"), Some(allow));
    }
}
