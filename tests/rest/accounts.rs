//! The FTP accounts of an association.

use serde_json::{Value, json};

use crate::forge::Forge;
use crate::support::{Reply, Server};

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJAjRd3RacziVnVOz9qHDDRQKnsxTc4KFNulJRaqEcJM me@host";
const NISTP256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFbYAi5uQNLkVNtC8ns\
                        jGVR/eRN0PSJZzUUoTkVpFhBiLNNlZM1NHuTLAdqELXRCGe1Na5TVxENE67yMvmudKUU=";

/// What a request needs at least.
fn joe() -> Value {
    json!({"Username": "joe", "AccessRights": "RW", "Chroot": "/joe", "Password": "hunter2"})
}

/// A request with some other fields. A field that becomes null is left out.
fn joe_with(changes: Value) -> Value {
    let mut account = joe();
    for (name, value) in changes.as_object().unwrap() {
        account[name] = value.clone();
    }
    account
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    account
}

fn create(server: &Server, token: &str, account: &Value) -> Reply {
    server.json(token, "/ftpaccounts/create", account)
}

fn get(server: &Server, token: &str, path: &str) -> Reply {
    server.request(token, "GET", path, &[], b"")
}

fn delete(server: &Server, token: &str, id: u64) -> Reply {
    server.request(token, "DELETE", &format!("/ftpaccounts/id/{id}"), &[], b"")
}

fn patch(server: &Server, token: &str, change: &Value) -> Reply {
    let kind = [("Content-Type", "application/json")];
    server.request(
        token,
        "PATCH",
        "/ftpaccounts",
        &kind,
        change.to_string().as_bytes(),
    )
}

#[track_caller]
fn is_ok(reply: &Reply) {
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"rslt":"OK"}"#));
}

/// Demands a `400` that names something.
#[track_caller]
fn names(reply: &Reply, what: &str) {
    reply.is_problem(400);
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(what), "{what}: {detail}");
}

#[test]
fn an_account_is_made_shown_changed_and_deleted() {
    let server = Server::start();
    let token = &server.token;
    let full =
        joe_with(json!({"RsaKey": format!("{ED25519}\n"), "Description": "the scanner", "Enabled": false}));
    let made = create(&server, token, &full);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(
        made.text(),
        r#"{"id":1,"username":"joe","accessRights":"RW","chroot":"/joe","enabled":false}"#
    );
    let listed = concat!(
        r#"{"id":1,"username":"joe","accessRights":"RW","chroot":"/joe","#,
        r#""description":"the scanner","enabled":false"#
    );
    for path in [
        "/ftpaccounts",
        "/ftpaccounts/",
        "/ftpaccounts/list",
        "/ftpaccounts/list/",
    ] {
        assert_eq!(
            get(&server, token, path).text(),
            format!("[{listed}}}]"),
            "{path}"
        );
    }
    let association = &server.keys()[0];
    assert_eq!(
        get(&server, token, "/ftpaccounts/id/1").text(),
        format!(r#"{listed},"associationKey":"{association}","rsaKey":"{ED25519}"}}"#)
    );
    let change = json!({
        "Id": 1, "Username": "jo", "AccessRights": "RO", "Chroot": "//in/./box", "Password": "other",
        "RsaKey": NISTP256, "Description": "", "Enabled": true,
    });
    is_ok(&patch(&server, token, &change));
    is_ok(&patch(&server, token, &json!({"Id": 1})));
    let wanted = json!({
        "id": 1, "username": "jo", "accessRights": "RO", "chroot": "/in/box", "description": "", "enabled": true,
        "associationKey": association, "rsaKey": NISTP256,
    });
    assert_eq!(get(&server, token, "/ftpaccounts/id/1/").json(), wanted);
    is_ok(&patch(&server, token, &json!({"Id": 1, "RsaKey": ""})));
    assert_eq!(
        get(&server, token, "/ftpaccounts/id/1").json()["rsaKey"],
        Value::Null
    );
    is_ok(&delete(&server, token, 1));
    assert_eq!(get(&server, token, "/ftpaccounts").text(), "[]");
    delete(&server, token, 1).is_problem(404);
    get(&server, token, "/ftpaccounts/id/1").is_problem(404);
    patch(&server, token, &json!({"Id": 1})).is_problem(404);
    assert_eq!(
        create(&server, token, &joe()).json()["id"],
        2,
        "an id is not used twice"
    );
}

#[test]
fn accounts_are_there_after_a_crash() {
    let mut server = Server::start();
    assert_eq!(create(&server, &server.token, &joe()).status, 200);
    server.kill_and_restart();
    let listed = get(&server, &server.token, "/ftpaccounts").json();
    assert_eq!(listed[0]["username"], "joe");
}

#[test]
fn what_is_wrong_is_named() {
    let server = Server::start();
    let token = &server.token;
    for required in ["Username", "AccessRights", "Chroot"] {
        names(
            &create(&server, token, &joe_with(json!({required: null}))),
            required,
        );
    }
    let long = "x".repeat(1025);
    for (field, values) in [
        (
            "Username",
            vec![
                json!(""),
                json!("a@b"),
                json!(" a"),
                json!("a\r\nb"),
                json!("x".repeat(129)),
            ],
        ),
        (
            "Chroot",
            vec![
                json!("/.."),
                json!("a\\b"),
                json!("a\u{0}"),
                json!("x".repeat(256)),
            ],
        ),
        ("Password", vec![json!(""), json!("a\nb"), json!(long)]),
        (
            "RsaKey",
            vec![
                json!("ssh-dss AAAA"),
                json!("ssh-ed25519"),
                json!("x".repeat(9000)),
            ],
        ),
        ("Description", vec![json!(long)]),
    ] {
        for value in values {
            names(&create(&server, token, &joe_with(json!({field: value}))), field);
        }
    }
    names(
        &create(&server, token, &joe_with(json!({"AccessRights": "WO"}))),
        "RO",
    );
    names(
        &create(&server, token, &joe_with(json!({"Enabled": "maybe"}))),
        "true or false",
    );
    names(&create(&server, token, &joe_with(json!({"Colour": 1}))), "Colour");
    names(&patch(&server, token, &json!({"Username": "x"})), "Id");
    names(&patch(&server, token, &json!({"Id": "x"})), "number");
    names(&patch(&server, token, &json!({"Id": 1, "Colour": 1})), "Colour");
    names(&get(&server, token, "/ftpaccounts/id/x"), "number");
    assert_eq!(get(&server, token, "/ftpaccounts").text(), "[]");
    assert_eq!(create(&server, token, &joe()).status, 200);
    create(&server, token, &joe()).is_problem(409);
    names(
        &patch(&server, token, &json!({"Id": 1, "Password": ""})),
        "Password",
    );
    let keyed = joe_with(json!({"Username": "jim", "Password": "", "RsaKey": ED25519}));
    assert_eq!(create(&server, token, &keyed).status, 200);
    patch(&server, token, &json!({"Id": 2, "Username": "joe"})).is_problem(409);
}

#[test]
fn forms_are_understood() {
    let server = Server::start();
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = b"Username=joe&AccessRights=RO&Chroot=%2Fa+b&Password=p&RsaKey=&Enabled=false";
    let made = server.request(&server.token, "POST", "/ftpaccounts/create", &kind, body);
    assert_eq!(
        made.json(),
        json!({"id": 1, "username": "joe", "accessRights": "RO", "chroot": "/a b", "enabled": false})
    );
    is_ok(&server.request(&server.token, "PATCH", "/ftpaccounts", &kind, b"Id=1&Enabled=1"));
    assert_eq!(
        get(&server, &server.token, "/ftpaccounts").json()[0]["enabled"],
        true
    );
}

#[test]
fn each_call_demands_its_scope() {
    let server = Server::start();
    let forge = Forge::of(&server);
    assert_eq!(create(&server, &server.token, &joe()).status, 200);
    let jim = joe_with(json!({"Username": "jim"}));
    type Call<'c> = (&'c str, Box<dyn Fn(&str) -> Reply + 'c>);
    let calls: Vec<Call<'_>> = vec![
        (
            "ftpaccount.create",
            Box::new(|token| create(&server, token, &jim)),
        ),
        (
            "ftpaccount.list",
            Box::new(|token| get(&server, token, "/ftpaccounts")),
        ),
        (
            "ftpaccount.list",
            Box::new(|token| get(&server, token, "/ftpaccounts/list")),
        ),
        (
            "ftpaccount.get",
            Box::new(|token| get(&server, token, "/ftpaccounts/id/1")),
        ),
        (
            "ftpaccount.update",
            Box::new(|token| patch(&server, token, &json!({"Id": 1}))),
        ),
        ("ftpaccount.delete", Box::new(|token| delete(&server, token, 1))),
    ];
    let scopes = ["create", "get", "list", "update", "delete"].map(|verb| format!("ftpaccount.{verb}"));
    for (scope, call) in &calls {
        call("").is_problem(401);
        let others: Vec<_> = scopes
            .iter()
            .filter(|other| other != scope)
            .map(String::as_str)
            .collect();
        let refused = call(&forge.scoped(&others.join(" ")));
        refused.is_problem(403);
        assert!(refused.text().contains(scope), "{}", refused.text());
        assert_eq!(call(&forge.scoped(scope)).status, 200, "{scope}");
    }
}

#[test]
fn each_path_names_its_methods() {
    let server = Server::start();
    for (path, allow) in [
        ("/ftpaccounts", "GET, HEAD, PATCH"),
        ("/ftpaccounts/list", "GET, HEAD"),
        ("/ftpaccounts/create", "POST"),
        ("/ftpaccounts/id/1", "GET, HEAD, DELETE"),
    ] {
        let refused = server.request(&server.token, "PUT", path, &[], b"");
        refused.is_problem(405);
        assert_eq!(refused.field("allow"), Some(allow));
    }
    for path in [
        "/ftpaccountsx",
        "/ftpaccounts/id",
        "/ftpaccounts/1",
        "/ftpaccounts/list/1",
    ] {
        get(&server, &server.token, path).is_problem(404);
    }
}

#[test]
fn a_root_bounds_the_accounts_of_a_user_too() {
    let server = Server::start();
    assert_eq!(create(&server, &server.token, &joe()).status, 200);
    let scopes = "ftpaccount.create ftpaccount.get ftpaccount.list ftpaccount.update ftpaccount.delete";
    let bounded = server.user(scopes, "/box");
    let token = &bounded;
    assert_eq!(
        get(&server, token, "/ftpaccounts").text(),
        "[]",
        "joe sees more than the box"
    );
    get(&server, token, "/ftpaccounts/id/1").is_problem(404);
    patch(&server, token, &json!({"Id": 1, "Enabled": false})).is_problem(404);
    delete(&server, token, 1).is_problem(404);
    let made = create(
        &server,
        token,
        &joe_with(json!({"Username": "jim", "Chroot": "/in"})),
    );
    assert_eq!(made.json()["chroot"], "/in");
    assert_eq!(
        get(&server, &server.token, "/ftpaccounts/id/2").json()["chroot"],
        "/box/in"
    );
    is_ok(&patch(&server, token, &json!({"Id": 2, "Chroot": "/"})));
    assert_eq!(get(&server, token, "/ftpaccounts/id/2").json()["chroot"], "/");
    assert_eq!(
        get(&server, &server.token, "/ftpaccounts/id/2").json()["chroot"],
        "/box"
    );
    names(
        &patch(&server, token, &json!({"Id": 2, "Chroot": "/.."})),
        "Chroot",
    );
    is_ok(&patch(
        &server,
        &server.token,
        &json!({"Id": 2, "Chroot": "/boxes"}),
    ));
    get(&server, token, "/ftpaccounts/id/2").is_problem(404);
}
