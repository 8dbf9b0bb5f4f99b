//! Pages of other origins.

use serde_json::json;

use crate::support::{Reply, Server};

const APP: &str = "https://app.example.com";

fn allowed(reply: &Reply) -> Option<&str> {
    reply.field("access-control-allow-origin")
}

#[test]
fn pages_of_allowed_origins_read_answers_and_errors() {
    let server = Server::start();
    server.put("/f", b"1");
    let ask = |token: &str, target: &str, origin: &str| {
        server.request(token, "POST", target, &[("Origin", origin)], b"")
    };
    for (target, status) in [
        ("/api/list/files", 200),
        ("/api/list/tree", 200),
        ("/api/download/single?path=/f", 200),
        ("/api/download/single?path=/no", 404),
        ("/api/delete", 400),
        ("/api/upload", 415),
        ("/no/route", 404),
    ] {
        let reply = ask(&server.token, target, APP);
        assert_eq!((reply.status, allowed(&reply)), (status, Some(APP)), "{target}");
        assert_eq!(reply.field("vary"), Some("Origin"), "{target}");
        let exposed = reply.field("access-control-expose-headers").unwrap();
        for name in [
            "Filegrid-Event",
            "ETag",
            "Content-Range",
            "Content-Disposition",
            "Retry-After",
        ] {
            assert!(exposed.contains(name), "{target}");
        }
        let other = ask(&server.token, target, "https://evil.example.com");
        assert_eq!((other.status, allowed(&other)), (status, None), "{target}");
        assert_eq!(
            other.field("vary"),
            Some("Origin"),
            "a cache may not give one the answer to the other"
        );
    }
    let refused = ask("", "/api/list/files", APP);
    assert_eq!(
        (refused.status, allowed(&refused)),
        (401, Some(APP)),
        "a page gets to know that it has to log in"
    );
}

#[test]
fn preflights_need_no_token() {
    let server = Server::start();
    for target in [
        "/api/upload",
        "/api/upload/",
        "/api/download/single?path=/f",
        "/apiaccess/auth",
    ] {
        let fields = [
            ("Origin", APP),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type"),
        ];
        let reply = server.request("", "OPTIONS", target, &fields, b"");
        assert_eq!((reply.status, allowed(&reply)), (204, Some(APP)), "{target}");
        assert!(
            reply
                .field("access-control-allow-methods")
                .unwrap()
                .contains("POST"),
            "{target}"
        );
        let headers = reply.field("access-control-allow-headers").unwrap();
        assert!(
            headers.contains("Authorization") && headers.contains("Content-Type"),
            "{target}"
        );
    }
}

#[test]
fn origins_are_none_by_default_and_all_with_a_star() {
    for (origins, answer) in [
        ("", None),
        ("*", Some(APP)),
        ("https://other.example.com,https://app.example.com", Some(APP)),
    ] {
        let server = Server::start_with(&[("cors_origins", origins)]);
        let fields = [("Origin", APP), ("Content-Type", "application/json")];
        let body = json!({}).to_string();
        let reply = server.request(&server.token, "POST", "/api/list/files", &fields, body.as_bytes());
        assert_eq!((reply.status, allowed(&reply)), (200, answer), "{origins}");
        assert_eq!(reply.field("vary").is_some(), !origins.is_empty(), "{origins}");
    }
}
