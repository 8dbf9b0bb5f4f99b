//! What is counted, and whether the node says that it is well.

use serde_json::json;

use crate::support::{Server, noise, poll, request, until};

/// The value of a series, by its name and labels as they are shown.
fn value(server: &Server, series: &str) -> f64 {
    let scraped = server.probe("/metrics");
    assert_eq!(scraped.status, 200);
    let kind = scraped.field("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = scraped.text();
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("{series} is not in\n{text}"));
    found.parse().unwrap()
}

fn via(name: &str, protocol: &str) -> String {
    format!("filegrid_{name}{{protocol=\"{protocol}\"}}")
}

/// How much a series rises while something is done.
fn rise(server: &Server, series: &str, does: impl FnOnce()) -> f64 {
    let before = value(server, series);
    does();
    value(server, series) - before
}

#[test]
fn every_line_is_one_that_prometheus_reads() {
    let server = Server::start();
    server.put("/a", b"x");
    let text = server.probe("/metrics").text();
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"));
    let mut described = Vec::new();
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (words.next(), words.next().unwrap(), words.next());
            assert!(matches!(kind, Some("HELP" | "TYPE" | "UNIT")), "{line}");
            assert!(rest.is_some_and(|rest| !rest.is_empty()), "{line}");
            described.push(name.to_owned());
            continue;
        }
        let (series, number) = line.rsplit_once(' ').unwrap();
        number.parse::<f64>().unwrap();
        let name = series.split('{').next().unwrap();
        assert!(
            described
                .iter()
                .any(|described| name.starts_with(described.as_str())),
            "{line}"
        );
        assert!(series == name || series.ends_with('}'), "{line}");
    }
}

#[test]
fn what_clients_do_is_counted_by_their_protocol() {
    let server = Server::start();
    let payload = noise(300_000, 1);
    let changes = rise(&server, &total(&via("changes", "http")), || {
        server.put("/a", &payload);
        server.call("/api/mkdir", json!({"Params": "/d"}));
    });
    assert_eq!(changes, 2.0);
    let received = rise(&server, &bytes(&via("payload_received", "http")), || {
        server.put("/b", &payload);
    });
    assert_eq!(received, 300_000.0);
    let sent = rise(&server, &bytes(&via("payload_sent", "http")), || {
        assert_eq!(server.get("/b").status, 200);
    });
    assert_eq!(sent, 300_000.0);
    let missing = rise(
        &server,
        "filegrid_answers_total{protocol=\"http\",class=\"4xx\"}",
        || {
            server.get("/nope").is_problem(404);
        },
    );
    assert_eq!(missing, 1.0);
    let wrong = json!({"AssociationKey": server.association(), "AccessKey": "AK_x", "SecretKey": "sk_x"});
    let failed = rise(
        &server,
        "filegrid_logins_total{protocol=\"http\",outcome=\"failed\"}",
        || {
            server.json("", "/apiaccess/auth", &wrong).is_problem(401);
        },
    );
    assert_eq!(failed, 1.0);
    for other in ["https", "ftp", "ftps", "sftp", "scp"] {
        assert_eq!(value(&server, &total(&via("changes", other))), 0.0, "{other}");
    }
    let writes = rise(&server, "filegrid_log_write_seconds_count", || {
        server.put("/c", b"x")
    });
    assert!(writes >= 1.0);
    assert_eq!(
        value(&server, "filegrid_durability_info{durability=\"commit\"}"),
        1.0
    );
    assert!(value(&server, "filegrid_disk_free_bytes") > 0.0);
}

#[test]
fn open_connections_are_those_that_are_open() {
    let server = Server::start();
    let open = via("connections_open", "http");
    // What the start was asked for closes its connection by itself.
    until_open(&server, 0.0);
    let mut connections: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send(&request("", "GET", "/.well-known/jwks.json", &[], b""));
        assert_eq!(connection.reply("GET").status, 200);
    }
    assert_eq!(value(&server, &open), 10.0);
    drop(connections);
    until_open(&server, 0.0);
}

fn until_open(server: &Server, wanted: f64) {
    let open = via("connections_open", "http");
    poll(|| value(server, &open) <= wanted);
}

#[test]
fn a_plain_upload_is_hardly_copied() {
    const BYTES: usize = 256 << 20;
    let server = Server::start();
    let payload = noise(BYTES, 1);
    let copied = rise(&server, "filegrid_payload_copied_bytes_total", || {
        server.put("/large", &payload);
    });
    #[allow(clippy::cast_precision_loss, reason = "it is exact")]
    let share = copied / BYTES as f64;
    assert!(share < 0.01, "{copied} of {BYTES} bytes were copied");
    // The counter is alive: a small file is gathered on its way into the log.
    let small = rise(&server, "filegrid_payload_copied_bytes_total", || {
        server.put("/small", &payload[..10_000]);
    });
    assert!(small >= 10_000.0, "{small}");
}

#[test]
fn probes_answer_and_other_paths_do_not() {
    let server = Server::start();
    for path in ["/livez", "/readyz", "/readyz/"] {
        let reply = server.probe(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok\n"), "{path}");
    }
    server.probe("/api/list/tree").is_problem(404);
    server.probe("/").is_problem(404);
    // They are not to be had where clients come in.
    server.request("", "GET", "/metrics", &[], b"").is_problem(404);
    let reply = server.probe_by("POST", "/metrics");
    reply.is_problem(405);
    assert_eq!(reply.field("allow"), Some("GET, HEAD"));
}

#[test]
fn a_node_that_stops_is_alive_and_not_ready() {
    let mut server = Server::start();
    let body = crate::support::form(&[("f", "slow", b"0123456789")], None);
    let multipart = ("Content-Type", "multipart/form-data; boundary=b0");
    let mut upload = server.connect();
    let mut bytes = request(&server.token, "POST", "/api/upload", &[multipart], &body);
    let rest = bytes.split_off(bytes.len() - 20);
    upload.send(&bytes);
    server.terminate();
    let refused = until(503, || server.probe("/readyz"));
    assert!(refused.text().contains("stopping"), "{}", refused.text());
    assert_eq!(server.probe("/livez").status, 200);
    upload.send(&rest);
    assert_eq!(upload.reply("POST").status, 200);
    drop(upload);
    assert!(server.wait_for_end().success());
}

fn total(series: &str) -> String {
    series.replacen('{', "_total{", 1)
}

fn bytes(series: &str) -> String {
    series.replacen('{', "_bytes_total{", 1)
}
