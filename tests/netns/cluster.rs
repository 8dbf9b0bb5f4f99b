//! Three members, two nodes, and an operator.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use clap::Parser as _;
use filegridctl::cli::Cli;
use serde_json::{Value, json};

use crate::member::Member;
use crate::net::{HUB, Net};
use crate::support::{Server, poll};

/// Hosts of the nodes; members have theirs from 1 on.
const NODE_HOSTS: [u8; 2] = [11, 12];
const HOSTS: u8 = 12;

/// A node on a host of its own.
pub(crate) struct Node {
    pub(crate) door: Arc<Door>,
    pub(crate) server: Server,
    /// 16 hexadecimal digits.
    pub(crate) id: String,
}

/// Where a node is reached, also while it is not there.
pub(crate) struct Door {
    pub(crate) net: Arc<Net>,
    pub(crate) host: u8,
    pub(crate) port: AtomicU16,
    /// Of its own association.
    pub(crate) token: String,
}

/// The cluster. Dropped in this order.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) members: Vec<Member>,
    /// What members may say at the level of an error.
    announced: Vec<&'static str>,
    pub(crate) net: Arc<Net>,
    directory: tempfile::TempDir,
}

impl Node {
    /// Does something on the node's host.
    pub(crate) fn at<T>(&mut self, act: impl FnOnce(&mut Server) -> T) -> T {
        let server = &mut self.server;
        let done = self.door.net.at(self.door.host, || act(server));
        self.door.port.store(self.server.port, Ordering::Relaxed);
        done
    }

    /// Paths and sizes of its own files, as it has them itself.
    pub(crate) fn files(&mut self) -> BTreeSet<(String, u64)> {
        self.at(|server| {
            let directories = server.call("/api/list/dirs", json!({}));
            let directories = directories.as_array().unwrap().iter();
            let paths = directories.map(|entry| entry["path"].as_str().unwrap().to_owned());
            let mut files = BTreeSet::new();
            for path in paths.chain([String::new()]) {
                let params = if path.is_empty() { "/" } else { &path };
                let listed = server.call("/api/list/files", json!({ "Params": params }));
                for entry in listed.as_array().unwrap() {
                    let name = entry["name"].as_str().unwrap();
                    files.insert((format!("{path}/{name}"), entry["size"].as_u64().unwrap()));
                }
            }
            files
        })
    }

    /// Paths and sizes of the files of an association, as the cluster has them, with all that was acknowledged before;
    /// `keys` are its.
    pub(crate) fn tree(&mut self, keys: &[String], after: &str) -> Vec<(String, u64)> {
        let mut entries = Value::Null;
        self.at(|server| {
            let token = server.login(keys);
            poll(|| {
                let answer = server.json(&token, "/api/list/tree", &json!({"After": after}));
                let is_there = answer.status == 200;
                if is_there {
                    entries = answer.json();
                }
                is_there
            });
        });
        let files = entries.as_array().unwrap().iter();
        let files = files.filter(|entry| entry["is_dir"] == false);
        let file = |entry: &Value| {
            assert_eq!(entry["updated_at"], Value::Null, "{entry}: each is written once");
            let path = entry["path"].as_str().unwrap().to_owned();
            (path, entry["size"].as_u64().unwrap())
        };
        files.map(file).collect()
    }
}

impl Cluster {
    /// One that works, unless namespaces cannot be had.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        Self::start_with(settings, |_| {})
    }

    /// With something done to the directories of members before they are started.
    pub(crate) fn start_with(settings: &[(&str, &str)], prepare: impl FnOnce(&mut [Member])) -> Option<Self> {
        let net = Arc::new(Net::new(HOSTS)?);
        let mut cluster = Self {
            directory: tempfile::tempdir().unwrap(),
            nodes: Vec::new(),
            members: Vec::new(),
            announced: Vec::new(),
            net,
        };
        let members: Vec<_> = (1..=3)
            .map(|id| format!("{id}@{}", Member::address(id)))
            .collect();
        let made = cluster.made("").to_str().unwrap().to_owned();
        cluster.operator(&["init", &made, "--members", &members.join(",")]);
        for id in 1..=3 {
            let home = cluster.made(&format!("member-{id}"));
            cluster.members.push(Member::new(&cluster.net, id, home));
        }
        prepare(&mut cluster.members);
        cluster.members.iter_mut().for_each(Member::start);
        for host in NODE_HOSTS {
            let node = cluster.node(host, settings, &members.join(","));
            cluster.nodes.push(node);
        }
        Some(cluster)
    }

    fn made(&self, name: &str) -> PathBuf {
        self.directory.path().join("made").join(name)
    }

    /// A directory for a test's own purposes.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A node that begins alone, as its certificate needs to name it, and then comes to the cluster.
    fn node(&self, host: u8, settings: &[(&str, &str)], members: &str) -> Node {
        let mut server = self.net.at(host, || Server::start_with(settings));
        server.tolerate("the metadata cluster is away");
        // It was with another, its own.
        server.tolerate("the metadata cluster has lost its registry");
        let made = self.net.at(host, || {
            let made = server.json(&server.token, "/api/mkdir", &json!({"Params": "/up"}));
            server.terminate();
            made
        });
        assert!(server.wait_for_end().success());
        let id = made.field("filegrid-event").unwrap()[..16].to_owned();
        let directory = self.made("");
        self.operator(&["certificate", "node", directory.to_str().unwrap(), &id]);
        server.set("metadata_members", members);
        for (key, file) in [
            ("authority", "authority.pem"),
            ("certificate", "certificate.pem"),
            ("key", "key.pem"),
        ] {
            let file = self.made(&format!("node-{id}/{file}"));
            server.set(&format!("metadata_tls_{key}"), file.to_str().unwrap());
        }
        let door = Arc::new(Door {
            net: Arc::clone(&self.net),
            host,
            port: AtomicU16::new(0),
            token: server.token.clone(),
        });
        let mut node = Node { door, server, id };
        node.at(Server::start_again);
        // It takes nothing before it is let in.
        node.at(|server| {
            poll(|| {
                let made = server.json(&server.token, "/api/mkdir", &json!({"Params": "/in"}));
                made.status == 200
            });
        });
        node
    }

    /// Calls `filegridctl cluster`, from where every host is reached.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Value {
        self.try_operator(arguments).unwrap()
    }

    pub(crate) fn try_operator(&self, arguments: &[&str]) -> Result<Value, String> {
        let config = self.made("operator/filegridctl.toml");
        let mut all = vec!["filegridctl", "cluster"];
        all.extend(arguments);
        if config.exists() {
            all.extend(["--config", config.to_str().unwrap()]);
        }
        let cli = Cli::try_parse_from(all).unwrap();
        self.net.at(HUB, || cli.run()).map(|report| report.json)
    }

    /// The member that leads. Waits until one does.
    pub(crate) fn leader(&self) -> u8 {
        let mut leader = None;
        poll(|| {
            let status = self.try_operator(&["status"]).unwrap_or_default();
            leader = status["leader"].as_u64();
            leader.is_some()
        });
        u8::try_from(leader.unwrap()).unwrap()
    }

    pub(crate) fn member(&mut self, id: u8) -> &mut Member {
        self.members.iter_mut().find(|member| member.id == id).unwrap()
    }

    /// A further member, which runs and is to be added.
    pub(crate) fn fourth(&mut self) {
        let directory = self.made("");
        self.operator(&["certificate", "member", directory.to_str().unwrap(), "4"]);
        let mut member = Member::new(&self.net, 4, self.made("member-4"));
        member.start();
        self.members.push(member);
    }

    /// Says that members may log this as an error.
    pub(crate) fn announce(&mut self, text: &'static str) {
        self.announced.push(text);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in &self.members {
                eprintln!("member {}:\n{}", member.id, member.log());
            }
            for node in &self.nodes {
                eprintln!("node {}:\n{}", node.id, node.server.log());
            }
            return;
        }
        for member in &self.members {
            let log = member.log();
            for line in log
                .lines()
                .filter(|line| line.contains(" ERROR ") || line.contains("panicked"))
            {
                let mut announced = self.announced.iter();
                assert!(announced.any(|text| line.contains(text)), "{log}");
            }
        }
    }
}

/// Copies a directory with all that is below.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
