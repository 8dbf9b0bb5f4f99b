//! Any node answers for any association: what is at home on another is relayed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::member::{Member, event_of, tree_with};
use crate::support::{Server, form, noise, poll, request, until};

/// A node where the association is at home, and another one.
pub(crate) struct Pair {
    pub(crate) home: Server,
    pub(crate) other: Server,
    _member: Member,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The other node has more settings.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let relay = ("relay", "127.0.0.1:0");
        let member = Member::started();
        let mut home = member.node(&[relay, ("public_url", "https://home.example.com/")]);
        let mut all = vec![relay];
        all.extend(settings);
        let mut other = member.second_node(&home, &all, None);
        // A test's member may be slow.
        for server in [&mut home, &mut other] {
            server.tolerate("the metadata cluster is away");
        }
        poll(|| matches!(other.get("/nothing").status, 307 | 404));
        Self {
            home,
            other,
            _member: member,
        }
    }

    /// The files of a directory, as both nodes list them.
    fn files(&self, path: &str) -> Value {
        let listed = |server: &Server| {
            let listed = server.call("/api/list/files", json!({ "Params": path }));
            listed
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file["name"].clone())
                .collect()
        };
        let (here, there): (Vec<_>, Vec<_>) = (listed(&self.home), listed(&self.other));
        assert_eq!(here, there);
        Value::from(here)
    }
}

/// What another node says before it passes something on.
pub(crate) fn preamble(what: &Value) -> Vec<u8> {
    let json = json!({"peer": "127.0.0.1:1", "what": what}).to_string();
    let length = u16::try_from(json.len()).unwrap().to_le_bytes();
    [b"FGR\x01", &length[..], json.as_bytes()].concat()
}

/// What a node answers to another that passes something on.
pub(crate) fn answer_at_relay<const N: usize>(server: &Server, bytes: &[u8]) -> [u8; N] {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port_of("relay"))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = [0; N];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// A process that is stopped for a while.
pub(crate) struct Stopped(u32);

impl Stopped {
    pub(crate) fn begin(server: &Server) -> Self {
        let stopped = Self(server.pid());
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.to_string();
        let told = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// A tenant that is at home on a node: a token of one who may do everything with its files.
fn tenant(server: &Server) -> String {
    let operator = server.operator_token();
    let made = server.ask_admin(operator, "POST", "/admin/associations", &json!({"Name": "more"}));
    assert_eq!(made.status, 200, "{}", made.text());
    let key = made.json()["associationKey"].as_str().unwrap().to_owned();
    let users = format!("/admin/associations/{key}/users");
    let scopes = json!({"Scopes": "file.create file.list file.read"});
    let user = server.ask_admin(operator, "POST", &users, &scopes);
    assert_eq!(user.status, 200, "{}", user.text());
    let user = user.json();
    let keys = json!({"AssociationKey": key, "AccessKey": user["accessKey"], "SecretKey": user["secretKey"]});
    let answer = until(200, || server.json("", "/apiaccess/auth", &keys));
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn upload_head(server: &Server, length: usize, more: &str) -> Vec<u8> {
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b0\r\nContent-Length: {length}\r\n{more}\r\n",
        server.token
    );
    head.into_bytes()
}

#[test]
fn all_that_is_asked_of_files_is_answered_by_another_node() {
    let pair = Pair::start();
    let other = &pair.other;
    let uploaded = other.upload(&[("f", "a", b"0123456789"), ("g", "b.txt", b"second")], None);
    let event = event_of(&uploaded);
    assert_eq!(tree_with(other, event), ["/", "/a", "/b.txt"]);
    assert_eq!(pair.files("/"), json!(["a", "b.txt"]));
    let tree = pair.home.call("/api/list/tree", json!({}));
    assert_eq!(tree[1]["protocol"], "API");

    let whole = other.get("/a");
    let straight = pair.home.get("/a");
    assert_eq!((whole.status, whole.text()), (200, "0123456789".to_owned()));
    for field in ["etag", "last-modified", "content-type", "accept-ranges"] {
        assert_eq!(whole.field(field), straight.field(field), "{field}");
    }
    let tag = whole.field("etag").unwrap().to_owned();
    let part = other.get_with("/a", &[("Range", "bytes=2-4")]);
    assert_eq!((part.status, part.text()), (206, "234".to_owned()));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(other.get_with("/a", &[("If-None-Match", &tag)]).status, 304);
    other.get_with("/a", &[("Range", "bytes=20-")]).is_problem(416);
    let head = other.request(&other.token, "HEAD", "/api/download/single?path=/a", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));

    other.call("/api/mkdir", json!({"Params": "/d/e"}));
    other.call("/api/move", json!({"Movelist": [{"from": "/a", "to": "/d/e/a"}]}));
    let dirs = other.call("/api/list/dirs", json!({"Params": "/"}));
    assert_eq!(dirs.as_array().unwrap().len(), 2, "{dirs}");
    assert_eq!(pair.files("/d/e"), json!(["a"]));
    let id = other.call("/api/download/prepare", json!({"Filelist": ["/d", "/b.txt"]}));
    let multi = format!("/api/download/multi?id={}", id["rslt"].as_str().unwrap());
    let archive = other.request(&other.token, "GET", &multi, &[], b"");
    assert_eq!(archive.field("content-type"), Some("application/zip"));
    assert_eq!(
        archive.body,
        pair.home.request(&pair.home.token, "GET", &multi, &[], b"").body
    );
    let rest = other.request(&other.token, "GET", &multi, &[("Range", "bytes=10-")], b"");
    assert_eq!(rest.body, archive.body[10..]);
    other.call("/api/delete", json!({"Filelist": ["/d"]}));
    assert_eq!(pair.files("/"), json!(["b.txt"]));

    // What is wrong is told as it is told there.
    other.get("/d").is_problem(404);
    other
        .json(&other.token, "/api/list/files", &json!({"Path": "/"}))
        .is_problem(400);
    other
        .json("nonsense", "/api/list/files", &json!({}))
        .is_problem(401);
    let narrow = other.user("file.list", "/");
    other
        .json(&narrow, "/api/mkdir", &json!({"Params": "/x"}))
        .is_problem(403);
    let metrics = other.probe("/metrics").text();
    let relayed = metrics
        .lines()
        .find(|line| line.starts_with("filegrid_relayed_requests_total{protocol=\"http\"}"));
    let count = relayed.unwrap().rsplit(' ').next().unwrap();
    assert!(count.parse::<u64>().unwrap() > 10, "{count}");
}

#[test]
fn large_files_pass_in_both_directions() {
    let pair = Pair::start();
    let bytes = noise(50 << 20, 7);
    pair.other.put("/large", &bytes);
    assert!(pair.home.get("/large").body == bytes);
    assert!(pair.other.get("/large").body == bytes);
    let range = [("Range", "bytes=31457280-41943039")];
    assert!(pair.other.get_with("/large", &range).body == bytes[30 << 20..40 << 20]);
    // Chunked, and by somebody who takes his time.
    let body = form(&[("f", "chunked", &bytes[..3 << 20])], None);
    let mut connection = pair.other.connect();
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b0\r\nTransfer-Encoding: chunked\r\n\r\n",
        pair.other.token
    );
    connection.send(head.as_bytes());
    for (at, piece) in body.chunks(700_000).enumerate() {
        connection.send(format!("{:x}\r\n", piece.len()).as_bytes());
        connection.send(piece);
        connection.send(b"\r\n");
        if at == 1 {
            pause();
        }
    }
    connection.send(b"0\r\n\r\n");
    assert_eq!(connection.reply("POST").status, 200);
    assert!(pair.home.get("/chunked").body == bytes[..3 << 20]);
}

/// Longer than any buffer is kept for somebody who sends nothing.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1200));
}

#[test]
fn a_body_is_asked_for_before_it_is_sent() {
    let pair = Pair::start();
    let body = form(&[("f", "asked", b"bytes")], None);
    let mut connection = pair.other.connect();
    let expect = "Expect: 100-continue\r\n";
    connection.send(&upload_head(&pair.other, body.len(), expect));
    assert_eq!(connection.line(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line(), "");
    connection.send(&body);
    assert_eq!(connection.reply("POST").status, 200);
    // The connection serves the next one.
    connection.send(&request(
        &pair.other.token,
        "GET",
        "/api/download/single?path=/asked",
        &[],
        b"",
    ));
    assert_eq!(connection.reply("GET").text(), "bytes");
    // A refusal comes instead of the question.
    let narrow = pair.other.user("file.list", "/");
    poll(|| pair.home.json(&narrow, "/api/list/files", &json!({})).status == 200);
    let mut connection = pair.other.connect();
    let mut head = String::from_utf8(upload_head(&pair.other, 1 << 30, expect)).unwrap();
    head = head.replace(&pair.other.token, &narrow);
    connection.send(head.as_bytes());
    connection.reply("POST").is_problem(403);
}

#[test]
fn one_connection_serves_associations_of_both_nodes() {
    let pair = Pair::start();
    pair.home.put("/there", b"at home there");
    let here = tenant(&pair.other);
    event_of(
        &pair
            .other
            .upload_as(&here, &[("f", "here", b"at home here")], None),
    );
    let mut connection = pair.other.connect();
    for turn in 0..12 {
        let (token, path, text) = if turn % 2 == 0 {
            (&pair.other.token, "there", "at home there")
        } else {
            (&here, "here", "at home here")
        };
        let target = format!("/api/download/single?path=/{path}");
        connection.send(&request(token, "GET", &target, &[], b""));
        assert_eq!(connection.reply("GET").text(), text);
    }
    // Some in a row: the node that has the files may give the connection to another shard.
    for _ in 0..8 {
        let mkdir = json!({"Params": "/d"}).to_string();
        let fields = [("Content-Type", "application/json")];
        connection.send(&request(
            &pair.other.token,
            "POST",
            "/api/mkdir",
            &fields,
            mkdir.as_bytes(),
        ));
        assert_eq!(connection.reply("POST").status, 200);
    }
}

#[test]
fn clients_are_sent_to_the_node_that_has_the_files_if_that_is_wanted() {
    let pair = Pair::start_with(&[("redirect", "true")]);
    let sent = pair.other.get("/a%20b&c=d");
    assert_eq!(sent.status, 307);
    let location = sent.field("location").unwrap();
    assert_eq!(
        location,
        "https://home.example.com/api/download/single?path=/a%20b&c=d"
    );
    // Before the body is read.
    let mut connection = pair.other.connect();
    connection.send(&upload_head(&pair.other, 1 << 30, "Expect: 100-continue\r\n"));
    let sent = connection.reply("POST");
    assert_eq!(sent.status, 307);
    assert_eq!(
        sent.field("location"),
        Some("https://home.example.com/api/upload")
    );
    // What any node can answer is answered.
    assert!(!pair.other.tree().is_empty());
}

#[test]
fn an_upload_that_breaks_leaves_nothing_and_one_that_is_not_answered_says_so() {
    let mut pair = Pair::start();
    pair.home.put("/kept", b"before");
    let body = form(&[("f", "broken", &noise(8 << 20, 3))], None);
    // The client goes.
    let mut connection = pair.other.connect();
    connection.send(&upload_head(&pair.other, body.len(), ""));
    connection.send(&body[..4 << 20]);
    pause();
    drop(connection);
    // The node that has the files goes.
    let mut connection = pair.other.connect();
    connection.send(&upload_head(&pair.other, body.len(), ""));
    connection.send(&body[..4 << 20]);
    pause();
    pair.home.kill_and_restart();
    connection.send(&body[4 << 20..]);
    let lost = connection.reply("POST");
    lost.is_problem(502);
    assert!(lost.text().contains("unknown"), "{}", lost.text());
    poll(|| pair.other.get("/kept").status == 200);
    assert_eq!(pair.files("/"), json!(["kept"]));
    // It goes while it sends: the client sees that it has not got all.
    pair.home.put("/large", &noise(64 << 20, 4));
    let target = "/api/download/single?path=/large";
    let mut stream = TcpStream::connect(("127.0.0.1", pair.other.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
        .write_all(&request(&pair.other.token, "GET", target, &[], b""))
        .unwrap();
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).unwrap();
    pair.home.kill_and_restart();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() + some.len() < 64 << 20);
}

#[test]
fn a_node_that_is_away_is_waited_for() {
    let mut pair = Pair::start();
    pair.home.put("/a", b"1");
    assert_eq!(pair.other.get("/a").text(), "1");
    pair.home.terminate();
    assert!(pair.home.wait_for_end().success());
    let away = pair.other.get("/a");
    away.is_problem(503);
    assert!(
        away.field("retry-after").is_some() && away.text().contains("on node"),
        "{}",
        away.text()
    );
    let large = form(&[("f", "b", &noise(1 << 20, 1))], None);
    let mut connection = pair.other.connect();
    connection.send(&upload_head(&pair.other, large.len(), "Expect: 100-continue\r\n"));
    connection.reply("POST").is_problem(503);
    // Others are not kept waiting.
    let here = tenant(&pair.other);
    event_of(&pair.other.upload_as(&here, &[("f", "here", b"1")], None));
    pair.home.start_again();
    poll(|| pair.other.get("/a").status == 200);
}

#[test]
fn without_a_relay_the_node_is_named() {
    let member = Member::started();
    let home = member.node(&[]);
    home.put("/a", b"1");
    let node = event_of(&home.json(&home.token, "/api/mkdir", &json!({"Params": "/d"}))).node;
    let other = member.second_node(&home, &[], None);
    let refused = other.get("/a");
    refused.is_problem(503);
    assert!(
        refused.text().contains(&format!("{node:016x}")),
        "{}",
        refused.text()
    );
}

#[test]
fn nonsense_at_the_relay_is_no_trouble() {
    let mut pair = Pair::start();
    pair.home.tolerate("a connection from another node ends");
    pair.home.put("/a", b"1");
    let valid = preamble(&json!({"Http": {"secure": false}}));
    let framed = |json: &str| {
        let length = u16::try_from(json.len()).unwrap().to_le_bytes();
        [b"FGR\x01", &length[..], json.as_bytes()].concat()
    };
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"FGR\x01\xff\xff".to_vec(),
        framed("{}"),
        framed("{\"peer\":\"here\"}"),
        [valid.clone(), b"nonsense\r\n\r\n".to_vec()].concat(),
        noise(100_000, 1),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", pair.home.port_of("relay"))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    // Whoever gets there is nobody without a token, and counted by its own address.
    let list = request("", "POST", "/api/list/files", &[], b"");
    assert_eq!(
        answer_at_relay(&pair.home, &[valid, list].concat()),
        *b"HTTP/1.1 401"
    );
    assert_eq!(pair.other.get("/a").text(), "1");
}

#[test]
fn what_is_passed_on_is_passed_on_once() {
    let pair = Pair::start();
    // A third node that passes on to one where nothing is at home: that one does not.
    let here = tenant(&pair.other);
    poll(|| pair.home.json(&here, "/api/list/files", &json!({})).status == 200);
    let list = request(&here, "POST", "/api/list/files", &[], b"");
    let passed_on = [preamble(&json!({"Http": {"secure": true}})), list].concat();
    assert_eq!(answer_at_relay(&pair.home, &passed_on), *b"HTTP/1.1 503");
}

#[test]
fn a_node_that_says_nothing_is_given_up() {
    let pair = Pair::start_with(&[("relay_answer_s", "1")]);
    pair.other.put("/a", b"1");
    let stopped = Stopped::begin(&pair.home);
    let refused = pair.other.get("/a");
    refused.is_problem(502);
    assert!(refused.text().contains("did not answer"), "{}", refused.text());
    pair.other.upload(&[("f", "b", b"2")], None).is_problem(502);
    drop(stopped);
    assert_eq!(pair.other.get("/a").text(), "1");
    // Whether it was done is unknown, but it is done whole or not at all.
    let late = pair.other.get("/b");
    assert!(
        late.status == 404 || (late.status, late.text()) == (200, "2".to_owned()),
        "{}",
        late.text()
    );
}
