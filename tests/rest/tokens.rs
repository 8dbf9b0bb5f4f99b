//! Tokens that are not ours, tokens that end, and the keys that anybody may check them with.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::{Value, json};

use crate::forge::{Forge, base64url, change_registry, now_s, registry, row};
use crate::support::{Reply, Server, until};

fn list(server: &Server, token: &str) -> Reply {
    server.json(token, "/api/list/tree", &json!({}))
}

#[test]
fn tokens_that_are_not_ours_are_refused() {
    let server = Server::start();
    let other = Server::start();
    let forge = Forge::of(&server);
    let claims = &forge.claims;
    let good = forge.with(json!({}));
    assert_eq!(list(&server, &good).status, 200, "the forge works");
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let unsigned = |header: Value| format!("{}.{payload}", base64url(header.to_string().as_bytes()));
    let none = unsigned(json!({"alg": "none", "typ": "JWT", "kid": forge.kid}));
    let public = forge.public();
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(forge.kid.clone());
        encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410), as a library would have it from a file.
    let spki = [
        b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(),
        &public,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &spki)
    );
    let foreign = Forge::of(&other);
    let widened = base64url(
        claims
            .to_string()
            .replace("file.read", "file.read edge")
            .as_bytes(),
    );
    for (what, token) in [
        ("no algorithm", format!("{none}.")),
        ("no algorithm, but a signature", format!("{none}.{signature}")),
        (
            "another case of none",
            unsigned(json!({"alg": "nOnE", "kid": forge.kid})) + ".",
        ),
        ("HMAC with the public key", hmac(&public)),
        (
            "HMAC with the public key as text",
            hmac(base64url(&public).as_bytes()),
        ),
        ("HMAC with the public key as DER", hmac(&spki)),
        ("HMAC with the public key as PEM", hmac(pem.as_bytes())),
        ("HMAC with nothing", hmac(b"")),
        (
            "our signature under HS256",
            unsigned(json!({"alg": "HS256", "kid": forge.kid})) + "." + signature,
        ),
        ("another kid", forge.sign(Some("other"), claims)),
        ("no kid", forge.sign(None, claims)),
        (
            "another key under our kid",
            foreign.sign(Some(&forge.kid), claims),
        ),
        ("of another server", other.token.clone()),
        ("expired", forge.with(json!({"exp": now_s() - 1}))),
        ("expires never", forge.with(json!({"exp": null}))),
        ("for another audience", forge.with(json!({"aud": "other"}))),
        ("for no audience", forge.with(json!({"aud": null}))),
        ("from another issuer", forge.with(json!({"iss": "other"}))),
        ("of an unknown user", forge.with(json!({"sub": "AK_other"}))),
        (
            "of another association",
            forge.with(json!({"assoc": "00000000-0000-4000-8000-000000000000"})),
        ),
        ("of an older secret", forge.with(json!({"sv": 0}))),
        ("with other claims", format!("{head}.{widened}.{signature}")),
        ("without a signature", format!("{head}.{payload}.")),
        ("with two parts", format!("{head}.{payload}")),
        ("with four parts", format!("{good}.{signature}")),
        ("with a signature that is cut", good[..good.len() - 4].to_owned()),
        ("too long", forge.with(json!({"jti": "x".repeat(4096)}))),
        ("not a token", "garbage".to_owned()),
        ("empty", " ".to_owned()),
    ] {
        let refused = list(&server, &token);
        assert_eq!(refused.status, 401, "{what}");
        refused.is_problem(401);
        assert_eq!(refused.field("www-authenticate"), Some("Bearer"), "{what}");
    }
    for authorization in [
        format!("Basic {good}"),
        format!("Bearer{good}"),
        good.clone(),
        "Bearer".to_owned(),
    ] {
        let field = [("Authorization", authorization.as_str())];
        server
            .request("", "POST", "/api/list/tree", &field, b"")
            .is_problem(401);
    }
    assert_eq!(list(&server, &good).status, 200);
}

#[test]
fn a_token_that_was_good_expires() {
    let server = Server::start();
    let token = Forge::of(&server).with(json!({"exp": now_s() + 2}));
    assert_eq!(list(&server, &token).status, 200);
    let refused = until(401, || list(&server, &token));
    assert!(refused.text().contains("expired"), "{}", refused.text());
}

#[test]
fn live_tokens_follow_the_registry() {
    let server = Server::start();
    server.put("/box/inside", b"1");
    server.put("/outside", b"2");
    let all = "file.create file.read file.list file.rename file.delete";
    let token = server.user(all, "/");
    let users = format!("/admin/associations/{}/users", server.association());
    let operator = server.operator_token();
    let known = server.ask_admin(operator, "GET", &users, &Value::Null).json();
    let keys = known
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["accessKey"].as_str().unwrap());
    let key = keys.into_iter().find(|key| *key != server.keys()[1]).unwrap();
    let user = format!("{users}/{key}");
    let change = |method: &str, target: &str, change: Value| {
        let done = server.ask_admin(operator, method, target, &change);
        assert_eq!(done.status, 200, "{}", done.text());
        done.json()
    };
    let read_as = |token: &str, path: &str| {
        let target = format!("/api/download/single?path={path}");
        server.request(token, "GET", &target, &[], b"")
    };
    let read = |path: &str| read_as(&token, path);
    assert_eq!(read("/outside").status, 200);
    // Scopes narrowed: what is left still works.
    change("PATCH", &user, json!({"Scopes": "file.list"}));
    let refused = until(403, || read("/outside"));
    assert!(refused.text().contains("file.read"));
    assert_eq!(list(&server, &token).status, 200);
    // Scopes widened beyond the token: it has what it was given.
    change("PATCH", &user, json!({"Scopes": format!("{all} edge")}));
    until(200, || read("/outside"));
    // Root narrowed.
    change("PATCH", &user, json!({"Root": "/box"}));
    until(404, || read("/outside"));
    assert_eq!(read("/inside").text(), "1");
    // Disabled, and enabled again.
    change("PATCH", &user, json!({"Enabled": false}));
    until(401, || read("/inside")).is_problem(401);
    change("PATCH", &user, json!({"Enabled": true}));
    until(200, || read("/inside"));
    // Secret rotated.
    let rotated = change("POST", &format!("{user}/rotate"), Value::Null);
    until(401, || read("/inside")).is_problem(401);
    let token = server.login(&[
        server.association().to_owned(),
        key.to_owned(),
        rotated["secretKey"].as_str().unwrap().to_owned(),
    ]);
    let read = |path: &str| read_as(&token, path);
    assert_eq!(read("/inside").status, 200);
    // Deleted.
    change("DELETE", &user, Value::Null);
    until(401, || read("/inside")).is_problem(401);
    assert_eq!(
        list(&server, &server.token).status,
        200,
        "nobody else is concerned"
    );
}

#[test]
fn anybody_can_check_a_token_with_the_published_keys() {
    let server = Server::start();
    let published = server.request("", "GET", "/.well-known/jwks.json", &[], b"");
    assert_eq!(published.field("content-type"), Some("application/json"));
    let header = decode_header(&server.token).unwrap();
    let (alg, kid) = (header.alg, header.kid.unwrap());
    assert_eq!(alg, Algorithm::EdDSA);
    let keys = published.json()["keys"].as_array().unwrap().clone();
    let key = keys.iter().find(|key| key["kid"] == kid.as_str()).unwrap();
    assert!(keys.iter().all(|key| key.get("d").is_none()), "no private half");
    assert_eq!(
        (
            key["kty"].as_str(),
            key["crv"].as_str(),
            key["alg"].as_str(),
            key["use"].as_str()
        ),
        (Some("OKP"), Some("Ed25519"), Some("EdDSA"), Some("sig"))
    );
    let public = DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&["filegrid"]);
    rules.set_issuer(&["filegrid"]);
    let claims = decode::<Value>(&server.token, &public, &rules).unwrap().claims;
    let [association, access, _] = server.keys() else {
        panic!()
    };
    assert_eq!(claims["sub"], access.as_str());
    assert_eq!(claims["assoc"], association.as_str());
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        900
    );
    assert!(claims["jti"].as_str().is_some_and(|id| !id.is_empty()));
    let scopes: Vec<_> = claims["scope"].as_str().unwrap().split(' ').collect();
    assert!(
        scopes.contains(&"file.create") && scopes.contains(&"ftpaccount.list") && !scopes.contains(&"edge")
    );
}

#[test]
fn tenants_do_not_see_each_other() {
    let server = Server::start();
    let forge = Forge::of(&server);
    let mine = server.upload(&[("f", "mine", b"1")], None);
    let prepared = server.call("/api/download/prepare", json!({"Filelist": ["/mine"]}));
    let other = "11111111-1111-4111-8111-111111111111";
    let event = mine.field("filegrid-event").unwrap();
    let node = u64::from_str_radix(event.split_once('-').unwrap().0, 16).unwrap();
    let mut known = registry(&server);
    let user = row(&mut known, "User").clone();
    change_registry(
        &server,
        &json!({"CreateAssociation": {"key": other, "name": "other", "node": node}}),
    );
    // The same AccessKey and secret.
    change_registry(
        &server,
        &json!({"CreateUser": {"association": other, "user": {
            "access_key": user["access_key"], "secret_hash": user["secret_hash"], "scopes": user["scopes"],
            "root": "/", "description": "",
        }}}),
    );
    let token = forge.with(json!({"assoc": other}));
    until(200, || list(&server, &token));
    let read = |path: &str| server.request(&token, "GET", path, &[], b"");
    read("/api/download/single?path=/mine").is_problem(404);
    // Even the same AccessKey is another user there.
    read(&format!(
        "/api/download/multi?id={}",
        prepared["rslt"].as_str().unwrap()
    ))
    .is_problem(404);
    assert_eq!(
        server.upload_as(&token, &[("f", "theirs", b"2")], None).status,
        200
    );
    assert_eq!(
        server
            .json(&token, "/api/delete", &json!({"Filelist": ["/mine"]}))
            .status,
        200
    );
    assert_eq!(read("/api/download/single?path=/theirs").text(), "2");
    assert_eq!(server.tree(), ["/", "/mine"]);
}
