//! HTTP as no library would send it.

use crate::support::{Server, form, request};

#[test]
fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = Server::start();
    let bad = [
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n",
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nX: y\r\n\r\n",
        "GET /\r\n\r\n",
    ];
    for head in bad {
        let mut connection = server.connect();
        connection.send(head.as_bytes());
        assert_eq!(connection.reply("POST").status, 400, "{head:?}");
        assert!(connection.is_closed(), "{head:?}");
    }
}

#[test]
fn bounds_of_a_head_have_their_statuses() {
    let server = Server::start();
    let status = |head: String| {
        let mut connection = server.connect();
        connection.send(head.as_bytes());
        connection.reply("GET").status
    };
    assert_eq!(
        status(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000))),
        414
    );
    assert_eq!(
        status(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(40_000)
        )),
        431
    );
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &"X: y\r\n".repeat(200) + "\r\n"),
        431
    );
    assert_eq!(status("GET /nope HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()), 404);
    assert_eq!(
        status("GET /api/upload/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        405
    );
}

#[test]
fn uploads_come_in_chunks_pipelined_and_announced() {
    let server = Server::start();
    let kind = ("Content-Type", "multipart/form-data; boundary=b0");
    let body = form(&[("f", "chunked", &[b'x'; 5000])], None);
    let mut connection = server.connect();
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.token, kind.0, kind.1
    );
    connection.send(head.as_bytes());
    for chunk in body.chunks(777) {
        connection.send(format!("{:X};ext=1\r\n", chunk.len()).as_bytes());
        connection.send(chunk);
        connection.send(b"\r\n");
    }
    connection.send(b"0\r\nTrailer: x\r\n\r\n");
    assert_eq!(connection.reply("POST").status, 200);
    assert_eq!(server.get("/chunked").body.len(), 5000);
    let mut many = Vec::new();
    for number in 0..20 {
        let body = form(&[("f", &format!("p{number}"), b"x")], None);
        many.extend(request(&server.token, "POST", "/api/upload", &[kind], &body));
    }
    connection.send(&many);
    for _ in 0..20 {
        assert_eq!(connection.reply("POST").status, 200);
    }
    let length = body.len().to_string();
    let announced = format!(
        "POST /api/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{}: {}\r\nExpect: 100-continue\r\n\
         Content-Length: {length}\r\n\r\n",
        server.token, kind.0, kind.1
    );
    connection.send(announced.as_bytes());
    assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line(), "");
    connection.send(&body);
    assert_eq!(connection.reply("POST").status, 200);
    connection.send(announced.replace(&server.token, "wrong").as_bytes());
    assert_eq!(
        connection.reply("POST").status,
        401,
        "refused before the body is asked for"
    );
}
