//! What all routes have in common.

use serde_json::{Value, json};

use crate::forge::Forge;
use crate::support::{Reply, Server, form};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A route, and calls of it that succeed however often they are made.
struct Route {
    path: &'static str,
    query: String,
    allow: &'static str,
    scope: &'static str,
    /// Content type and bytes of good bodies.
    bodies: Vec<(&'static str, String)>,
}

impl Route {
    fn json_and_form(path: &'static str, scope: &'static str, json: &Value, form: &str) -> Self {
        Self {
            path,
            query: String::new(),
            allow: "POST",
            scope,
            bodies: vec![(JSON, json.to_string()), (FORM, form.to_owned())],
        }
    }

    fn download(path: &'static str, query: String) -> Self {
        Self {
            path,
            query,
            allow: "GET, HEAD, POST",
            scope: "file.read",
            bodies: vec![("", String::new())],
        }
    }

    /// Calls it with a body, at its path with `slash` behind.
    fn call(&self, server: &Server, token: &str, method: &str, slash: &str, body: &(&str, String)) -> Reply {
        let target = format!("{}{slash}{}", self.path, self.query);
        let kind = [("Content-Type", body.0)];
        let fields = if body.0.is_empty() { &kind[..0] } else { &kind };
        server.request(token, method, &target, fields, body.1.as_bytes())
    }
}

/// Every route of a server that has the files `/d/f`, `/d/g` and `/m`.
fn routes(server: &Server) -> Vec<Route> {
    server.put("/d/f", b"1");
    server.put("/d/g", b"2");
    server.put("/m", b"3");
    let id = server.call("/api/download/prepare", json!({"Filelist": ["/d"]}))["rslt"].clone();
    let [association, access, secret] = server.keys() else {
        panic!()
    };
    let there_and_back = json!({"Movelist": [{"from": "/m", "to": "/n"}, {"from": "/n", "to": "/m"}]});
    let params = json!({"Params": "/d"});
    vec![
        Route::json_and_form(
            "/apiaccess/auth",
            "",
            &json!({"AssociationKey": association, "AccessKey": access, "SecretKey": secret}),
            &format!("AssociationKey={association}&AccessKey={access}&SecretKey={secret}"),
        ),
        Route {
            path: "/.well-known/jwks.json",
            query: String::new(),
            allow: "GET, HEAD",
            scope: "",
            bodies: vec![("", String::new())],
        },
        Route {
            path: "/api/upload",
            query: String::new(),
            allow: "POST",
            scope: "file.create",
            bodies: vec![(
                "multipart/form-data; boundary=b0",
                String::from_utf8(form(&[("f", "up", b"4")], None)).unwrap(),
            )],
        },
        Route::download("/api/download/single", "?path=/d/f".to_owned()),
        Route::json_and_form(
            "/api/download/prepare",
            "file.read",
            &json!({"Filelist": ["/d", "/m"]}),
            "Filelist[]=%2Fd&Filelist[]=%2Fm",
        ),
        Route::download("/api/download/multi", format!("?id={}", id.as_str().unwrap())),
        Route::json_and_form("/api/list/files", "file.list", &params, "Params=%2Fd"),
        Route::json_and_form("/api/list/dirs", "file.list", &params, "Params=%2Fd"),
        Route::json_and_form("/api/list/tree", "file.list", &params, "Params=%2Fd&Limit=9"),
        Route::json_and_form(
            "/api/mkdir",
            "file.create",
            &json!({"Params": "/made/it"}),
            "Params=made/it",
        ),
        Route::json_and_form(
            "/api/move",
            "file.rename",
            &there_and_back,
            "Movelist[0][from]=/m&Movelist[0][to]=/n&Movelist[1][from]=/n&Movelist[1][to]=/m",
        ),
        Route::json_and_form(
            "/api/delete",
            "file.delete",
            &json!({"Filelist[]": ["/nope"]}),
            "Filelist=/nope&Filelist[]=/nope",
        ),
    ]
}

#[test]
fn every_route_answers_json_and_forms_with_and_without_a_slash() {
    let server = Server::start();
    for route in routes(&server) {
        for method in route.allow.split(", ") {
            for (body, slash) in route.bodies.iter().flat_map(|body| [(body, ""), (body, "/")]) {
                let token = if route.scope.is_empty() { "" } else { &server.token };
                let reply = route.call(&server, token, method, slash, body);
                assert_eq!(
                    reply.status,
                    200,
                    "{method} {}{slash} {body:?}: {}",
                    route.path,
                    reply.text()
                );
                let changes = matches!(
                    route.path,
                    "/api/upload" | "/api/mkdir" | "/api/move" | "/api/delete"
                );
                assert_eq!(reply.field("filegrid-event").is_some(), changes, "{}", route.path);
                if changes {
                    assert_eq!(reply.json(), json!({"rslt": "OK"}), "{}", route.path);
                }
            }
        }
    }
    assert_eq!(
        server.tree(),
        ["/", "/d", "/d/f", "/d/g", "/m", "/made", "/made/it", "/up"]
    );
}

#[test]
fn every_route_demands_a_token_and_its_scope() {
    const SCOPES: [&str; 6] = [
        "file.create",
        "file.read",
        "file.list",
        "file.rename",
        "file.delete",
        "edge",
    ];
    let server = Server::start();
    // A token has what it says and what the registry gives: the first user has all but `edge`.
    let forge = Forge::of(&server);
    for route in routes(&server).iter().filter(|route| !route.scope.is_empty()) {
        let method = route.allow.rsplit(", ").next().unwrap();
        let body = &route.bodies[0];
        let refused = route.call(&server, "", method, "", body);
        refused.is_problem(401);
        assert_eq!(
            refused.field("www-authenticate"),
            Some("Bearer"),
            "{}",
            route.path
        );
        let others: Vec<_> = SCOPES
            .iter()
            .copied()
            .filter(|scope| *scope != route.scope)
            .collect();
        let refused = route.call(&server, &forge.scoped(&others.join(" ")), method, "", body);
        refused.is_problem(403);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(route.scope), "{}: {detail}", route.path);
        assert!(
            !others.iter().any(|other| detail.contains(other)),
            "{}: {detail}",
            route.path
        );
        let allowed = route.call(&server, &forge.scoped(route.scope), method, "", body);
        assert_eq!(allowed.status, 200, "{}: {}", route.path, allowed.text());
    }
}

#[test]
fn every_route_names_the_methods_it_has() {
    let server = Server::start();
    for route in routes(&server) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get"] {
            if route.allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let refused = route.call(&server, &server.token, method, "", &("", String::new()));
            assert_eq!(refused.status, 405, "{method} {}", route.path);
            assert_eq!(
                refused.field("allow"),
                Some(route.allow),
                "{method} {}",
                route.path
            );
            if method != "HEAD" {
                refused.is_problem(405);
            }
        }
    }
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/uploads",
        "/api/upload//",
        "/api/upload/x",
        "/API/upload",
    ] {
        server
            .request(&server.token, "POST", path, &[], b"")
            .is_problem(404);
    }
}

#[test]
fn every_route_names_an_unknown_field() {
    let server = Server::start();
    for route in routes(&server) {
        for (kind, body) in &route.bodies {
            let body = match *kind {
                JSON => body.replacen('{', r#"{"Colour":"red","#, 1),
                FORM => format!("{body}&Colour=red"),
                _ => continue,
            };
            let refused = route.call(&server, &server.token, "POST", "", &(kind, body));
            refused.is_problem(400);
            assert!(
                refused.text().contains("Colour"),
                "{}: {}",
                route.path,
                refused.text()
            );
        }
    }
    let inside = json!({"Movelist": [{"from": "/m", "to": "/n", "Colour": 1}]});
    let refused = server.json(&server.token, "/api/move", &inside);
    refused.is_problem(400);
    assert!(refused.text().contains("Colour"));
    for meta in [
        json!({"files": [], "Colour": 1}),
        json!({"files": [{"field": "f", "path": "/", "Colour": 1}]}),
    ] {
        let refused = server.upload(&[("f", "new", b"1")], Some(meta));
        refused.is_problem(400);
        assert!(refused.text().contains("Colour"));
    }
    assert!(!server.tree().contains(&"/new".to_owned()));
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    let server = Server::start();
    server.put("/kept", b"1");
    let send = |target: &str, kind: &str, body: &str| {
        let fields = [("Content-Type", kind)];
        server.request(&server.token, "POST", target, &fields, body.as_bytes())
    };
    for (target, body) in [
        ("/api/delete", "{\"Filelist\":[\"/kept\"]"),
        ("/api/delete", "{\"Filelist\":[\"/kept\"]} more"),
        ("/api/delete", "{\"Filelist\":[\"/kept\"],\"Filelist\":[]}"),
        ("/api/delete", "{\"Filelist\":[\"/kept\"],\"Filelist[]\":[]}"),
        ("/api/delete", "{\"Filelist\":\"/kept\"}"),
        ("/api/delete", "{\"Filelist\":[null,\"/kept\"]}"),
        ("/api/delete", "[[\"/kept\"]]"),
        ("/api/delete", "\"/kept\""),
        ("/api/delete", "{}"),
        ("/api/delete", ""),
        ("/api/delete", "\u{feff}{\"Filelist\":[\"/kept\"]}"),
        ("/api/move", "{\"Movelist\":[{\"from\":\"/kept\"}]}"),
        ("/api/move", "{\"Movelist\":{\"from\":\"/kept\",\"to\":\"/x\"}}"),
        ("/api/mkdir", "[\"/made\"]"),
        ("/api/mkdir", "{\"Params\":1}"),
        ("/api/list/tree", "{\"Limit\":0}"),
        ("/api/list/tree", "{\"Limit\":-1}"),
        ("/api/list/tree", "{\"Limit\":\"many\"}"),
        ("/api/download/prepare", "{\"Filelist\":[]}"),
        ("/apiaccess/auth", "[\"a\",\"b\",\"c\"]"),
        (
            "/apiaccess/auth",
            "{\"AssociationKey\":1,\"AccessKey\":\"b\",\"SecretKey\":\"c\"}",
        ),
        ("/apiaccess/auth", ""),
    ] {
        let reply = send(target, JSON, body);
        assert_eq!(reply.status, 400, "{target} {body}: {}", reply.text());
        reply.is_problem(400);
    }
    for (target, body) in [
        ("/api/mkdir", "Params=/a&Params=/b"),
        ("/api/move", "Movelist=/kept"),
        ("/api/move", "Movelist[0][from]=/kept&Movelist[1][to]=/x"),
        // What curl sends for -d '{…}' when nobody tells it what it is.
        ("/api/delete", "{\"Filelist\":[\"/kept\"]}"),
    ] {
        let reply = send(target, FORM, body);
        assert_eq!(reply.status, 400, "{target} {body}: {}", reply.text());
    }
    assert_eq!(server.tree(), ["/", "/kept"]);
    // Without a body all fields are left out, and `Params` may be.
    assert_eq!(send("/api/list/files", "", "").json()[0]["name"], "kept");
    assert_eq!(
        send("/api/list/files", "application/json; charset=utf-8", "{}").status,
        200
    );
}
