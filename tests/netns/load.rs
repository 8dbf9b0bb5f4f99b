//! Clients that go on whatever happens, and note what they were told.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Door};
use crate::support::{form, poll, request};

/// Pause between two requests of a client: the machine has other things to do too.
const PAUSE: Duration = Duration::from_millis(10);

/// An answer that came whole.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Asks a node; `None` if there is no answer, and the outcome is unknown.
fn ask(door: &Door, method: &str, target: &str, kind: &str, body: &[u8]) -> Option<Answer> {
    let address = SocketAddr::from(([127, 0, 0, 1], door.port.load(Ordering::Relaxed)));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let fields = [("Content-Type", kind), ("Connection", "close")];
    stream
        .write_all(&request(&door.token, method, target, &fields, body))
        .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let body = bytes[end + 4..].to_vec();
    (body.len() == length.parse::<usize>().unwrap()).then_some(())?;
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some(Answer { status, head, body })
}

impl Answer {
    /// Whether it is done; if not, it has to be refused as what cannot be done now.
    fn is_done(&self) -> bool {
        if self.status == 200 {
            return true;
        }
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 503, "{text}");
        assert!(self.head.contains("\r\nretry-after: "), "{}", self.head);
        false
    }
}

/// What the clients of one node were told.
#[derive(Default)]
struct Told {
    /// Path and size.
    acknowledged: Mutex<BTreeSet<(String, u64)>>,
    /// What may be there or not.
    unknown: Mutex<BTreeSet<(String, u64)>>,
    refused: AtomicU64,
}

struct Shared {
    stop: AtomicBool,
    nodes: Vec<Told>,
    /// The last number that was acknowledged as the description of an account.
    described: AtomicU64,
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// A client of each node uploads.
    pub(crate) fn of_uploads(cluster: &Cluster) -> Self {
        Self::uploading(cluster, &[0, 1])
    }

    /// A client of each of these nodes uploads.
    fn uploading(cluster: &Cluster, nodes: &[usize]) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            nodes: cluster.nodes.iter().map(|_| Told::default()).collect(),
            described: AtomicU64::new(0),
        });
        let mut load = Self {
            shared,
            threads: Vec::new(),
        };
        for number in nodes.iter().copied() {
            let door = &cluster.nodes[number].door;
            load.run(door, move |shared, door| shared.upload(number, door));
        }
        load
    }

    /// The same, and one changes an account of the first node's association, which is read on both.
    pub(crate) fn begin(cluster: &mut Cluster) -> Self {
        let load = Self::of_uploads(cluster);
        load.with_account(cluster, 0)
    }

    /// The same beside the first node, which is used by nobody but to read the account.
    pub(crate) fn beside_the_first(cluster: &mut Cluster) -> Self {
        let load = Self::uploading(cluster, &[1]);
        load.with_account(cluster, 1)
    }

    fn with_account(self, cluster: &mut Cluster, node: usize) -> Self {
        let mut load = self;
        let account =
            cluster.nodes[node].at(|server| server.add_account("counter", "secret secret", "/", "RO"));
        let writer = Arc::clone(&cluster.nodes[node].door);
        load.run(&writer, move |shared, door| shared.describe(door, account));
        for node in &cluster.nodes {
            let door = Arc::new(Door {
                net: Arc::clone(&node.door.net),
                host: node.door.host,
                port: node.door.port.load(Ordering::Relaxed).into(),
                token: writer.token.clone(),
            });
            let (own, is_writers) = (Arc::clone(&node.door), node.door.host == writer.host);
            load.run(&door, move |shared, door| {
                shared.read(&own, door, account, is_writers);
            });
        }
        load
    }

    fn run(&mut self, door: &Arc<Door>, work: impl FnOnce(&Shared, &Door) + Send + 'static) {
        let (shared, door) = (Arc::clone(&self.shared), Arc::clone(door));
        self.threads.push(std::thread::spawn(move || {
            door.net.at(door.host, || work(&shared, &door));
        }));
    }

    /// Waits until so many more uploads to a node were acknowledged.
    #[track_caller]
    pub(crate) fn uploads(&self, node: usize, more: usize) {
        let count = || self.shared.nodes[node].acknowledged.lock().unwrap().len();
        let before = count();
        poll(|| self.has_failed() || count() >= before + more);
    }

    /// Waits until so many more changes of the account were acknowledged: a member leads.
    #[track_caller]
    pub(crate) fn descriptions(&self, more: u64) {
        let count = || self.shared.described.load(Ordering::Relaxed);
        let before = count();
        poll(|| self.has_failed() || count() >= before + more);
    }

    /// Waits until uploads to a node are refused.
    #[track_caller]
    pub(crate) fn refusals(&self, node: usize) {
        let count = || self.shared.nodes[node].refused.load(Ordering::Relaxed);
        let before = count();
        poll(|| self.has_failed() || count() > before + 3);
    }

    /// Uploads that were refused so far.
    pub(crate) fn refused(&self, node: usize) -> u64 {
        self.shared.nodes[node].refused.load(Ordering::Relaxed)
    }

    fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the clients, and demands that all that they were told is so, whichever node is asked.
    pub(crate) fn verify(self, cluster: &mut Cluster) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        for node in &mut cluster.nodes {
            node.at(|server| poll(|| server.probe("/readyz").status == 200));
        }
        for (number, told) in self.shared.nodes.iter().enumerate() {
            let acknowledged = told.acknowledged.lock().unwrap();
            if acknowledged.is_empty() {
                continue;
            }
            let unknown = told.unknown.lock().unwrap();
            let (keys, last) = cluster.nodes[number].at(|server| {
                let mut last = String::new();
                poll(|| {
                    let made = server.json(&server.token, "/api/mkdir", &json!({"Params": "/last"}));
                    last = made.field("filegrid-event").unwrap_or_default().to_owned();
                    made.status == 200
                });
                (server.keys().to_vec(), last)
            });
            let own = cluster.nodes[number].files();
            for node in &mut cluster.nodes {
                let tree = node.tree(&keys, &last);
                let there: BTreeSet<_> = tree.iter().cloned().collect();
                assert_eq!(there.len(), tree.len(), "an entry is there twice");
                let missing: Vec<_> = acknowledged.difference(&there).collect();
                assert!(
                    missing.is_empty(),
                    "acknowledged by node {number} and missing: {missing:?}"
                );
                let strange = there
                    .iter()
                    .filter(|file| !acknowledged.contains(file) && !unknown.contains(file));
                assert_eq!(strange.count(), 0);
                assert_eq!(there, own, "the cluster shows what node {number} has");
            }
        }
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        #[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
        std::thread::sleep(PAUSE);
        !self.stop.load(Ordering::Relaxed)
    }

    fn upload(&self, node: usize, door: &Door) {
        let told = &self.nodes[node];
        let mut number = 0;
        while self.goes_on() {
            number += 1;
            let (directory, name) = (format!("/d{}", number / 50), format!("f{number}"));
            let content = vec![b'x'; 10 + number % 90];
            let meta = json!({"files": [{"field": "f", "path": directory}]});
            let body = form(&[("f", &name, &content)], Some(meta));
            let file = (format!("{directory}/{name}"), content.len() as u64);
            let answer = ask(
                door,
                "POST",
                "/api/upload",
                "multipart/form-data; boundary=b0",
                &body,
            );
            match answer.map(|answer| answer.is_done()) {
                Some(true) => drop(told.acknowledged.lock().unwrap().insert(file)),
                Some(false) => drop(told.refused.fetch_add(1, Ordering::Relaxed)),
                None => drop(told.unknown.lock().unwrap().insert(file)),
            }
        }
    }

    /// Counts in the description of an account.
    fn describe(&self, door: &Door, account: u64) {
        let mut number = 0;
        while self.goes_on() {
            number += 1;
            let change = json!({"Id": account, "Description": number.to_string()}).to_string();
            let answer = ask(
                door,
                "PATCH",
                "/ftpaccounts",
                "application/json",
                change.as_bytes(),
            );
            if answer.is_some_and(|answer| answer.is_done()) {
                self.described.store(number, Ordering::Relaxed);
            }
        }
    }

    /// Reads that description: it never goes back, and what was acknowledged by the same node is there, also when the node has
    /// been killed in between.
    fn read(&self, own: &Door, door: &Door, account: u64, is_writers: bool) {
        let mut last = None;
        let target = format!("/ftpaccounts/id/{account}");
        while self.goes_on() {
            let port = own.port.load(Ordering::Relaxed);
            door.port.store(port, Ordering::Relaxed);
            let acknowledged = self.described.load(Ordering::Relaxed);
            let Some(answer) = ask(door, "GET", &target, "application/json", b"") else {
                continue;
            };
            // A node that has just come to the cluster does not know the other's accounts.
            if answer.status != 200 && last.is_none() {
                continue;
            }
            if !answer.is_done() || own.port.load(Ordering::Relaxed) != port {
                continue;
            }
            let account: Value = serde_json::from_slice(&answer.body).unwrap();
            let read = account["description"].as_str().unwrap().parse().unwrap_or(0);
            let seen = last.replace(read).unwrap_or(0);
            assert!(read >= seen, "the account went back from {seen} to {read}");
            assert!(
                !is_writers || read >= acknowledged,
                "{acknowledged} was acknowledged, {read} is read"
            );
        }
    }
}
