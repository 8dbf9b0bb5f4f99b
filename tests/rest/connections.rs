//! What a connection stands: strict framing, reuse, pipelining, old versions, slow readers.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Connection, Server, form, noise, request};

/// Sends bytes as they stand, on a connection of their own.
fn send(server: &Server, bytes: &[u8]) -> Connection {
    let mut connection = server.connect();
    connection.send(bytes);
    connection
}

fn refused_and_closed(server: &Server, bytes: &[u8], status: u16) {
    let mut connection = send(server, bytes);
    let reply = connection.reply("POST");
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(reply.status, status, "{shown:?}: {}", reply.text());
    reply.is_problem(status);
    assert_eq!(reply.field("connection"), Some("close"), "{shown:?}");
    assert!(connection.is_closed(), "{shown:?}");
}

#[test]
fn heads_that_two_servers_may_read_in_two_ways_are_refused() {
    let server = Server::start();
    let line = "POST /api/mkdir HTTP/1.1\r\n";
    let host = "Host: a\r\n";
    for fields in [
        // Lengths.
        "Host: a\r\nContent-Length: 2, 2\r\n",
        "Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n",
        "Host: a\r\nContent-Length: 0x2\r\n",
        "Host: a\r\nContent-Length: 2 2\r\n",
        "Host: a\r\nContent-Length: 18446744073709551616\r\n",
        "Host: a\r\nContent-Length:\r\n",
        "Host: a\r\nContent-Length: two\r\n",
        // Codings.
        "Host: a\r\nTransfer-Encoding: chunked, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked, identity\r\n",
        "Host: a\r\nTransfer-Encoding: identity\r\n",
        "Host: a\r\nTransfer-Encoding: xchunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked;q=1\r\n",
        "Host: a\r\nTransfer-Encoding:\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        // Lines.
        "Host: a\nX: y\r\n",
        "Host: a\r\nX: y\n",
        "Host: a\r\nX: y\rz\r\n",
        "Host: a\r\nX: y\0z\r\n",
        "Host: a\r\nX y: z\r\n",
        "Host: a\r\n: z\r\n",
        "Host: a\r\nX\r\n",
        "Host: a\r\nX:y\r\n\tfolded: z\r\n",
        " Host: a\r\n",
        "Host : a\r\n",
        // Hosts.
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a, b\r\nHost: c\r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
        "Host: a/b\r\n",
        "Host: \u{fc}\r\n",
    ] {
        refused_and_closed(&server, format!("{line}{fields}\r\n{{}}").as_bytes(), 400);
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET /\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET / HTTP/1.1 x",
        "G(T / HTTP/1.1",
        "GET",
        "GET / HTTP/1.1\r",
        "GET http:// HTTP/1.1",
        "GET http://user@a/ HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET nowhere HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /% HTTP/1.1",
    ] {
        refused_and_closed(&server, format!("{line}\r\n{host}\r\n").as_bytes(), 400);
    }
    // What begins HTTP/2.
    refused_and_closed(
        &server,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        400,
    );
    // A head without an end. Empty lines before it count.
    refused_and_closed(&server, "\r\n".repeat(17_000).as_bytes(), 414);
    refused_and_closed(&server, format!("GET /{}", "x".repeat(40_000)).as_bytes(), 414);
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(40_000));
    refused_and_closed(&server, endless.as_bytes(), 431);
}

#[test]
fn chunks_that_are_malformed_are_refused() {
    let server = Server::start();
    let head = format!(
        "POST /api/mkdir HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.token
    );
    let long_extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(2000));
    let long_trailers = format!("0\r\n{}\r\n", format!("X: {}\r\n", "x".repeat(900)).repeat(20));
    for body in [
        "zz\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2\x0c;x\r\n{}\r\n0\r\n\r\n",
        "\r\n",
        ";x\r\n{}\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "ffffffffffffffffff\r\n",
        "2\n{}\n0\n\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{} \r\n0\r\n\r\n",
        "2;a\rb\r\n{}\r\n0\r\n\r\n",
        "2;a\0\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: y\n\r\n",
        &long_extension,
        &long_trailers,
    ] {
        refused_and_closed(&server, format!("{head}{body}").as_bytes(), 400);
    }
    assert_eq!(server.tree(), ["/"]);
    let good = "00000000000001;a=\"b;c\"\r\n{\r\n13 ;x\t\r\n\"Params\":\"/chunked\"\r\n1\r\n}\r\n000\r\nX: y\r\n\r\n";
    let once = format!("{head}{good}");
    assert_eq!(send(&server, once.as_bytes()).reply("POST").status, 200);
    // The same byte by byte.
    let mut connection = server.connect();
    for byte in once.as_bytes() {
        connection.send(&[*byte]);
    }
    assert_eq!(connection.reply("POST").status, 200);
    assert_eq!(server.tree(), ["/", "/chunked"]);
}

#[test]
fn a_target_may_come_in_any_form() {
    let server = Server::start();
    let asked = |line: &str, host: &str| {
        let head = format!(
            "{line} HTTP/1.1\r\n{host}Authorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
            server.token
        );
        let method = line.split(' ').next().unwrap();
        send(&server, head.as_bytes()).reply(method).status
    };
    for (target, status) in [
        ("http://example.com/api/list/tree", 200),
        ("HTTPS://[::1]:8443/api/list/tree/?x=y", 200),
        ("/%61pi/list/%74ree", 200),
        ("/api%2Flist/tree", 404),
        ("/api/./list/tree", 404),
        ("http://example.com", 404),
        ("http://example.com?x", 404),
    ] {
        assert_eq!(
            asked(&format!("POST {target}"), "Host: a\r\n"),
            status,
            "{target}"
        );
    }
    assert_eq!(asked("OPTIONS *", "Host: a\r\n"), 204);
    // A host may be empty, and have a port.
    assert_eq!(asked("POST /api/list/tree", "Host:\r\n"), 200);
    assert_eq!(asked("POST /api/list/tree", "Host: [2001:db8::1]:80\r\n"), 200);
    // An empty line in front comes from clients that end a body with one.
    let head = b"\r\n\r\nOPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(send(&server, head).reply("OPTIONS").status, 204);
}

#[test]
fn a_connection_is_used_again_only_when_its_body_is_gone() {
    let server = Server::start();
    let next = request("", "GET", "/.well-known/jwks.json", &[], b"");
    let post = |token: &str, fields: &str| {
        format!("POST /api/delete HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
    };
    let body = "x".repeat(1000);
    for (first, status, reused) in [
        // All of it has come.
        (
            format!("{}{{]", post(&server.token, "Content-Length: 2\r\n")),
            400,
            true,
        ),
        (
            format!("{}{body}", post("wrong", "Content-Length: 1000\r\n")),
            401,
            true,
        ),
        (post("wrong", "Content-Length: 0\r\n"), 401, true),
        ("GET /nope HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404, true),
        // Much of it, or nobody knows how much, is to come.
        (post(&server.token, "Content-Length: 99999999\r\n"), 413, false),
        (post("wrong", "Content-Length: 99999999\r\n"), 401, false),
        (post("wrong", "Transfer-Encoding: chunked\r\n"), 401, false),
        (
            format!("{}2\r\n{{]\r\n", post("wrong", "Transfer-Encoding: chunked\r\n")),
            401,
            false,
        ),
        // It waits to be asked for.
        (
            post("wrong", "Content-Length: 1000\r\nExpect: 100-continue\r\n"),
            401,
            false,
        ),
        // The client wants no more.
        (
            post("wrong", "Content-Length: 0\r\nConnection: close\r\n"),
            401,
            false,
        ),
        (
            post("wrong", "Content-Length: 0\r\nConnection: x, Close\r\n"),
            401,
            false,
        ),
    ] {
        let mut connection = send(&server, first.as_bytes());
        let reply = connection.reply("POST");
        let shown = &first[..first.len().min(400)];
        assert_eq!(reply.status, status, "{shown}");
        assert_eq!(reply.field("connection"), (!reused).then_some("close"), "{shown}");
        if reused {
            connection.send(&next);
            assert_eq!(connection.reply("GET").status, 200, "{shown}");
        } else {
            assert!(connection.is_closed(), "{shown}");
        }
    }
    // What follows a body in the same packet is the next request, not more of the body.
    let two = [
        format!("{}{body}", post("wrong", "Content-Length: 1000\r\n")).into_bytes(),
        next.clone(),
    ]
    .concat();
    let mut connection = send(&server, &two);
    assert_eq!(connection.reply("POST").status, 401);
    assert_eq!(connection.reply("GET").status, 200);
    // And what follows a body that is never read is not taken for a request.
    let smuggled = [post("wrong", "Transfer-Encoding: chunked\r\n").into_bytes(), next].concat();
    let mut connection = send(&server, &smuggled);
    assert_eq!(connection.reply("POST").status, 401);
    assert!(connection.is_closed());
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = Server::start();
    let large = noise(300_000, 1);
    server.put("/large", &large);
    server.put("/small", b"small");
    let get = |method, path: &str| {
        let target = format!("/api/download/single?path={path}");
        request(&server.token, method, &target, &[], b"")
    };
    let multipart = [("Content-Type", "multipart/form-data; boundary=b0")];
    let mut packet = Vec::new();
    for number in 0..20 {
        let name = format!("up{number}");
        packet.extend(get("HEAD", "/large"));
        packet.extend(get("GET", "/small"));
        packet.extend(request(
            &server.token,
            "POST",
            "/api/upload",
            &multipart,
            &form(&[("f", &name, name.as_bytes())], None),
        ));
        packet.extend(get("GET", &format!("/{name}")));
        packet.extend(get("GET", "/large"));
        packet.extend(get("GET", "/nope"));
        packet.extend(request(
            &server.token,
            "POST",
            "/api/list/files",
            &[],
            b"{\"Params\":\"/\"}",
        ));
    }
    let mut connection = send(&server, &packet);
    for number in 0..20 {
        let head = connection.reply("HEAD");
        assert_eq!((head.status, head.field("content-length")), (200, Some("300000")));
        assert_eq!(connection.reply("GET").text(), "small");
        assert_eq!(connection.reply("POST").status, 200);
        assert_eq!(connection.reply("GET").text(), format!("up{number}"));
        assert!(connection.reply("GET").body == large);
        connection.reply("GET").is_problem(404);
        assert_eq!(
            connection.reply("POST").json().as_array().unwrap().len(),
            3 + number
        );
    }
}

#[test]
fn http_1_0_is_spoken() {
    let server = Server::start();
    server.put("/f", b"1");
    let head = |line: &str, fields: &str| {
        format!(
            "{line} HTTP/1.0\r\nAuthorization: Bearer {}\r\n{fields}\r\n",
            server.token
        )
    };
    let get = "GET /api/download/single?path=/f";
    let mut connection = send(&server, head(get, "").as_bytes());
    assert_eq!(connection.reply("GET").text(), "1");
    assert!(connection.is_closed());
    let mut connection = send(&server, head(get, "Connection: keep-alive\r\n").as_bytes());
    let reply = connection.reply("GET");
    assert_eq!(
        (reply.text().as_str(), reply.field("connection")),
        ("1", Some("keep-alive"))
    );
    connection.send(head(get, "").as_bytes());
    assert_eq!(connection.reply("GET").text(), "1");
    assert!(connection.is_closed());
    // It knows no chunks: a listing goes up to the close.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let list = head(
        "POST /api/list/files",
        "Content-Length: 2\r\nConnection: keep-alive\r\n",
    ) + "{}";
    stream.write_all(list.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(
        text.contains("Connection: close\r\n") && !text.contains("Transfer-Encoding"),
        "{text}"
    );
    assert!(
        text.contains("\r\n\r\n[{\"name\":\"f\"") && text.ends_with(']'),
        "{text}"
    );
    refused_and_closed(
        &server,
        head(get, "Transfer-Encoding: chunked\r\n").as_bytes(),
        400,
    );
    refused_and_closed(&server, head(get, "Host: a\r\nHost: a\r\n").as_bytes(), 400);
}

#[test]
fn a_body_that_is_awaited_is_asked_for_when_it_will_be_taken() {
    let server = Server::start();
    let upload = form(&[("f", "n", b"1")], None);
    let ask = |target: &str, token: &str, fields: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nExpect: 100-Continue\r\n{fields}\r\n"
        )
    };
    let length = upload.len();
    let multipart = "Content-Type: multipart/form-data; boundary=b0\r\n";
    let reader = server.user("file.read", "/");
    for (head, status) in [
        (
            ask(
                "/api/upload",
                "wrong",
                &format!("{multipart}Content-Length: {length}\r\n"),
            ),
            401,
        ),
        (
            ask(
                "/api/upload",
                &reader,
                &format!("{multipart}Content-Length: {length}\r\n"),
            ),
            403,
        ),
        (
            ask(
                "/api/upload",
                &server.token,
                &format!("Content-Length: {length}\r\n"),
            ),
            415,
        ),
        (
            ask(
                "/api/upload",
                &server.token,
                &format!("Content-Type: multipart/form-data\r\nContent-Length: {length}\r\n"),
            ),
            400,
        ),
        (ask("/api/upload", &server.token, multipart), 411),
        (ask("/api/nope", &server.token, "Content-Length: 9\r\n"), 404),
        (
            ask("/.well-known/jwks.json", &server.token, "Content-Length: 9\r\n"),
            405,
        ),
        (
            ask("/api/delete", &server.token, "Content-Length: 99999999\r\n"),
            413,
        ),
        (ask("/apiaccess/auth", "", "Content-Length: 5000\r\n"), 413),
    ] {
        let mut connection = send(&server, head.as_bytes());
        let reply = connection.reply("POST");
        assert_eq!(reply.status, status, "{head}");
        assert!(connection.is_closed(), "{head}");
    }
    let taken = ask(
        "/api/upload",
        &server.token,
        &format!("{multipart}Content-Length: {length}\r\n"),
    );
    let mut connection = send(&server, taken.as_bytes());
    assert_eq!(
        (connection.line().as_str(), connection.line().as_str()),
        ("HTTP/1.1 100 Continue", "")
    );
    connection.send(&upload);
    assert_eq!(connection.reply("POST").status, 200);
    // A body that does not wait is not asked for, nor one of no bytes.
    connection.send(&[taken.as_bytes(), upload.as_slice()].concat());
    assert_eq!(connection.reply("POST").status, 200);
    connection.send(ask("/api/list/files", &server.token, "Content-Length: 0\r\n").as_bytes());
    assert_eq!(connection.reply("POST").status, 200);
    assert_eq!(server.tree(), ["/", "/n"]);
}

/// Connections whose server's end is open.
fn open(server: &Server) -> usize {
    let local = format!(":{:04X}", server.port);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    // Local address and state: ESTABLISHED.
    fields
        .filter(|fields| fields[1].ends_with(&local) && fields[3] == "01")
        .count()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::start_with(&[("stall_timeout_s", "1"), ("idle_timeout_s", "1")]);
    let size = 64 << 20;
    server.put("/large", &noise(size, 1));
    while open(&server) > 0 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let before = crate::memory::memory_kib(&server);
    let target = "/api/download/single?path=/large";
    let stuck: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            stream
                .write_all(&request(&server.token, "GET", target, &[], b""))
                .unwrap();
            stream
        })
        .collect();
    let mut most = 0;
    while open(&server) > 0 {
        most = most.max(crate::memory::memory_kib(&server).saturating_sub(before));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    println!("16 downloads that nobody reads cost {most} KiB");
    assert!(most < 16 * 512, "{most} KiB");
    for mut stream in stuck {
        let mut got = Vec::new();
        // Cut off, in whichever way: what came is not all of it.
        let _ = stream.read_to_end(&mut got);
        assert!(
            got.starts_with(b"HTTP/1.1 200") && got.len() < size,
            "{}",
            got.len()
        );
    }
    // One that says nothing at all is closed without a word.
    let mut silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert!(said.is_empty());
    assert_eq!(server.call("/api/list/files", json!({}))[0]["name"], "large");
}
