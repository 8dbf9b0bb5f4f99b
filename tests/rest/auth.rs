//! Tokens, scopes and roots.

use serde_json::json;

use crate::support::Server;

#[test]
fn scopes_bound_what_a_token_may_do() {
    let server = Server::start();
    server.put("/f", b"1");
    let reader = server.user("file.read", "/");
    let read = |token: &str| server.request(token, "GET", "/api/download/single?path=/f", &[], b"");
    assert_eq!(read(&reader).status, 200);
    let refused = server.json(&reader, "/api/list/tree", &json!({}));
    refused.is_problem(403);
    assert!(refused.text().contains("file.list"));
    let edge = server.user("edge", "/");
    assert_eq!(read(&edge).status, 200);
    server
        .json(&edge, "/api/download/prepare", &json!({"Filelist": ["/f"]}))
        .is_problem(403);
    read("").is_problem(401);
    assert_eq!(read("garbage").field("www-authenticate"), Some("Bearer"));
}

#[test]
fn a_root_bounds_what_a_user_sees() {
    let server = Server::start();
    server.put("/secret", b"1");
    server.put("/box/old", b"2");
    let all = "file.create file.read file.list file.rename file.delete";
    let token = server.user(all, "/box");
    assert_eq!(server.upload_as(&token, &[("f", "new", b"3")], None).status, 200);
    assert_eq!(server.get("/box/new").text(), "3");
    let tree = server.json(&token, "/api/list/tree", &json!({})).json();
    let paths: Vec<_> = tree
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/", "/new", "/old"]);
    server
        .request(&token, "GET", "/api/download/single?path=/secret", &[], b"")
        .is_problem(404);
    server
        .request(&token, "GET", "/api/download/single?path=/../secret", &[], b"")
        .is_problem(400);
    assert_eq!(
        server
            .json(&token, "/api/delete", &json!({"Filelist": ["/"]}))
            .status,
        200
    );
    assert_eq!(server.tree(), ["/", "/box", "/secret"]);
}

#[test]
fn keys_are_published_and_wrong_ones_refused() {
    let server = Server::start();
    let keys = server
        .request("", "GET", "/.well-known/jwks.json", &[], b"")
        .json();
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    let wrong = json!({"AssociationKey": "x", "AccessKey": "y", "SecretKey": "z"});
    server.json("", "/apiaccess/auth", &wrong).is_problem(401);
    server
        .json("", "/apiaccess/auth", &json!({"AccessKey": "y"}))
        .is_problem(400);
}
