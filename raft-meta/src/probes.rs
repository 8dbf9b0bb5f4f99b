//! `/livez`, `/readyz` and `/metrics` of a member, by HTTP/1.1 (RFC 9112): one request a connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::clock;
use crate::limits::{PROBE_HEAD_MAX_BYTES, PROBE_TIMEOUT_S, PROBES_MAX_COUNT};
use crate::nodes::Nodes;
use crate::raft::Status;
use crate::store::ProducerShown;

const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A leader that most members have not answered for so long can do nothing.
const QUORUM_SILENT_MAX_MS: u64 = 5000;

/// A listener for those who look after a member.
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
}

impl Probes {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// A text that names it and what is wrong.
    pub async fn bind(address: SocketAddr) -> Result<Self, String> {
        let failed = |error| format!("metrics: {address}: {error}");
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers until it is dropped.
    pub async fn serve(self, nodes: Nodes) {
        self.serve_by(move || Seen {
            status: nodes.member().status(),
            producers: nodes.store().producers(),
            now_ms: clock::now_ms(),
        })
        .await;
    }

    async fn serve_by(self, seen: impl Fn() -> Seen + Clone + Send + Sync + 'static) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if connections.len() < PROBES_MAX_COUNT => {
                    let seen = seen.clone();
                    let patience = Duration::from_secs(PROBE_TIMEOUT_S);
                    // Who goes away or is too slow asks again.
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(patience, answer(stream, &seen)).await;
                    });
                }
                Ok(_) => {}
                // No descriptors, most likely: they come back when something ends.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn answer(mut stream: TcpStream, seen: &impl Fn() -> Seen) -> std::io::Result<()> {
    let mut head = Vec::new();
    let (code, kind, body, allow, bodiless) = loop {
        match route(&head, seen) {
            Some(answer) => break answer,
            None if head.len() >= PROBE_HEAD_MAX_BYTES => {
                break (
                    "431 Request Header Fields Too Large",
                    PLAIN,
                    String::new(),
                    false,
                    false,
                );
            }
            None => {}
        }
        let room = (PROBE_HEAD_MAX_BYTES - head.len()) as u64;
        if (&mut stream).take(room).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let allow = if allow { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let mut all = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         {allow}Connection: close\r\n\r\n"
    );
    if !bodiless {
        all += &body;
    }
    stream.write_all(all.as_bytes()).await?;
    stream.shutdown().await
}

/// Status line, type, body, whether to say which methods are allowed, and whether the body is left out.
type Answer = (&'static str, &'static str, String, bool, bool);

/// The answer to a request; `None` while its head is not complete.
fn route(head: &[u8], seen: &impl Fn() -> Seen) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(_) => return Some(("400 Bad Request", PLAIN, "malformed\n".to_owned(), false, false)),
    }
    let bodiless = request.method == Some("HEAD");
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if !matches!(path, "/metrics" | "/livez" | "/readyz") {
        let body = "/livez, /readyz or /metrics\n".to_owned();
        return Some(("404 Not Found", PLAIN, body, false, bodiless));
    }
    if !matches!(request.method, Some("GET" | "HEAD")) {
        return Some(("405 Method Not Allowed", PLAIN, String::new(), true, false));
    }
    let seen = seen();
    let (code, kind, body) = match path {
        "/metrics" => match text(seen) {
            Ok(text) => ("200 OK", OPEN_METRICS, text),
            Err(_) => ("500 Internal Server Error", PLAIN, String::new()),
        },
        "/livez" => ("200 OK", PLAIN, "ok\n".to_owned()),
        _ => match reason(&seen.status) {
            None => ("200 OK", PLAIN, "ok\n".to_owned()),
            Some(why) => ("503 Service Unavailable", PLAIN, format!("{why}\n")),
        },
    };
    Some((code, kind, body, false, bodiless))
}

/// Why the member is not ready.
fn reason(status: &Status) -> Option<&'static str> {
    if status.leader.is_none() {
        return Some("no member leads, as far as this one knows");
    }
    let is_cut_off = status
        .quorum_ms
        .is_some_and(|silent| silent > QUORUM_SILENT_MAX_MS);
    (status.leader == Some(status.id) && is_cut_off).then_some("most members do not answer")
}

fn text(seen: Seen) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("filegrid");
    registry.register_collector(Box::new(seen));
    let mut out = String::new();
    prometheus_client::encoding::text::encode(&mut out, &registry)?;
    Ok(out)
}

/// A member at one moment.
#[derive(Debug, Clone, Default)]
struct Seen {
    status: Status,
    producers: Vec<ProducerShown>,
    now_ms: i64,
}

impl Seen {
    /// How far the logs of the nodes have come.
    fn encode_producers(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(&ProducerShown, i64) -> Option<u64>;
        let all: [(&str, &str, Value); 4] = [
            (
                "producer_applied_changes",
                "Sequence applied of a log of a node",
                |of, _| Some(of.known.applied),
            ),
            (
                "producer_lag_milliseconds",
                "By how much the cluster may be behind a log",
                ProducerShown::behind_ms,
            ),
            (
                "producer_silent_milliseconds",
                "How long ago something of a log was applied here",
                |of, _| of.heard_ms,
            ),
            (
                "producer_rejected_changes",
                "Changes of a log that were rejected: more than none is an alarm",
                |of, _| Some(of.known.rejected),
            ),
        ];
        for (name, help, value) in all {
            let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for producer in &self.producers {
                if let Some(value) = value(producer, self.now_ms) {
                    let (node, log) = (format!("{:016x}", producer.node), producer.log.to_string());
                    let labels = [("node", node.as_str()), ("log", log.as_str())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Collector for Seen {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.status;
        let leads = status.leader == Some(status.id);
        for (name, help, value) in [
            (
                "ready",
                "1 while /readyz says so",
                u64::from(reason(status).is_none()),
            ),
            ("raft_leads", "1 while the member leads", u64::from(leads)),
            (
                "raft_leader_known",
                "1 while it knows who leads",
                u64::from(status.leader.is_some()),
            ),
            (
                "raft_term",
                "The term, which rises with each election",
                status.term,
            ),
            (
                "raft_log_entries",
                "Entries in its log, those given up included",
                status.entries,
            ),
            ("raft_applied_entries", "Entries applied", status.applied),
            (
                "raft_persisted_entries",
                "Entries not lost without the log",
                status.persisted,
            ),
        ] {
            let metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        if let Some(silent) = status.quorum_ms {
            let help = "How long ago most members have answered the one that leads";
            let metric =
                to.encode_descriptor("raft_quorum_milliseconds", help, None::<&Unit>, MetricType::Gauge)?;
            ConstGauge::new(silent).encode(metric)?;
        }
        let mut votes = to.encode_descriptor(
            "raft_member_votes",
            "Whether a member votes",
            None,
            MetricType::Gauge,
        )?;
        for member in &status.members {
            let id = member.id.to_string();
            let labels = [("member", id.as_str())];
            let metric = votes.encode_family(&labels)?;
            ConstGauge::new(u64::from(member.voter)).encode(metric)?;
        }
        let help = "Entries that the one that leads knows to be in a member's log";
        let mut entries = to.encode_descriptor("raft_member_entries", help, None, MetricType::Gauge)?;
        for member in &status.members {
            if let Some(known) = member.entries {
                let id = member.id.to_string();
                ConstGauge::new(known).encode(entries.encode_family(&[("member", id.as_str())])?)?;
            }
        }
        self.encode_producers(&mut to)?;
        let mut build = to.encode_descriptor("build_info", "The version", None, MetricType::Gauge)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        ConstGauge::new(1_u64).encode(build.encode_family(&version)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Producer;

    fn leading() -> Status {
        Status {
            id: 1,
            leader: Some(1),
            quorum_ms: Some(3),
            ..Status::default()
        }
    }

    fn seen(status: &Status) -> Seen {
        Seen {
            status: status.clone(),
            ..Seen::default()
        }
    }

    async fn start() -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let probes = Probes::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = probes.address;
        (address, tokio::spawn(probes.serve_by(|| seen(&leading()))))
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn code(head: &[u8], status: &Status) -> Option<&'static str> {
        Some(route(head, &|| seen(status))?.0)
    }

    #[test]
    fn a_member_is_ready_that_can_do_something() {
        let ready = b"GET /readyz HTTP/1.1\r\n\r\n";
        let of = |leader, quorum_ms| {
            let status = Status {
                leader,
                quorum_ms,
                ..leading()
            };
            (code(ready, &status), text(seen(&status)).unwrap())
        };
        for (leader, quorum_ms, is_ready) in [
            (Some(1), Some(QUORUM_SILENT_MAX_MS), true),
            (Some(1), Some(QUORUM_SILENT_MAX_MS + 1), false),
            (Some(1), None, true),
            (Some(2), None, true),
            (None, None, false),
        ] {
            let (code, text) = of(leader, quorum_ms);
            let expected = if is_ready {
                "200 OK"
            } else {
                "503 Service Unavailable"
            };
            assert_eq!(code, Some(expected));
            let line = format!("\nfilegrid_ready {}\n", u8::from(is_ready));
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn how_far_nodes_are_is_told_by_log() {
        let known = Producer {
            epoch: 1,
            applied: 12,
            as_of_ms: 40,
            rejected: 2,
            ..Producer::default()
        };
        let seen = Seen {
            producers: vec![ProducerShown {
                node: 0xc0_ffee,
                log: 3,
                known,
                heard_ms: None,
            }],
            now_ms: 100,
            ..Seen::default()
        };
        let text = text(seen).unwrap();
        let labels = "{node=\"0000000000c0ffee\",log=\"3\"}";
        for (name, value) in [
            ("applied_changes", 12),
            ("lag_milliseconds", 60),
            ("rejected_changes", 2),
        ] {
            let line = format!("\nfilegrid_producer_{name}{labels} {value}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("silent_milliseconds{"), "{text}");
    }

    #[test]
    fn what_is_no_such_request_is_refused() {
        for (head, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some("404 Not Found")),
            (b"GET /livez?x=1 HTTP/1.1\r\n\r\n", Some("200 OK")),
            (b"POST /livez HTTP/1.1\r\n\r\n", Some("405 Method Not Allowed")),
            (b"\0\0\r\n\r\n", Some("400 Bad Request")),
            (b"GET /livez HTTP/1.1\r\n", None),
        ] {
            assert_eq!(code(head, &leading()), expected, "{head:?}");
        }
    }

    #[tokio::test]
    async fn a_head_has_a_longest_length() {
        let (address, serving) = start().await;
        let start = b"GET /livez HTTP/1.1\r\nA: ";
        for (more, expected) in [(0, "HTTP/1.1 200 "), (1, "HTTP/1.1 431 ")] {
            let mut request = start.to_vec();
            request.resize(PROBE_HEAD_MAX_BYTES - 4 + more, b'a');
            request.extend_from_slice(b"\r\n\r\n");
            // What is too long is not read to its end.
            request.truncate(PROBE_HEAD_MAX_BYTES);
            let answer = ask(address, &request).await;
            assert!(answer.starts_with(expected), "{answer}");
        }
        let answer = ask(address, b"HEAD /livez HTTP/1.1\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        serving.abort();
    }

    #[tokio::test]
    async fn one_connection_more_than_there_may_be_is_closed() {
        let (address, serving) = start().await;
        let mut idle = Vec::new();
        for _ in 0..PROBES_MAX_COUNT {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut over = TcpStream::connect(address).await.unwrap();
        assert_eq!(over.read(&mut [0]).await.unwrap(), 0);
        drop(idle);
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for() {
        let (address, serving) = start().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        serving.abort();
    }
}
