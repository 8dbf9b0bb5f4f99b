//! A metadata member in the process of the test, and nodes that go to it.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::config::{Config, Listen};
use filegrid_meta::nodes::Event;
use filegrid_meta::serve::Serving;
use filegrid_meta::store::{Command, Reply, Store};
use filegrid_meta::wire::Security;
use serde_json::{Value, json};

use crate::support::{Reply as Answer, Server};

/// A member that can be stopped and started.
pub(crate) struct Member {
    runtime: tokio::runtime::Runtime,
    config: Config,
    serving: Option<Serving>,
    _directory: tempfile::TempDir,
}

impl Member {
    /// One with an address, that does not run.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = Config::embedded(directory.path().join("meta"));
        config.listen = Some(Listen {
            address,
            advertise: address.to_string(),
            security: Security::Plain,
        });
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            config,
            serving: None,
            _directory: directory,
        }
    }

    pub(crate) fn started() -> Self {
        let mut member = Self::new();
        member.start();
        member
    }

    pub(crate) fn start(&mut self) {
        let serving = self.runtime.block_on(Serving::start(&self.config)).unwrap();
        self.serving = Some(serving);
    }

    pub(crate) fn stop(&mut self) {
        self.runtime.block_on(self.serving.take().unwrap().stop());
    }

    /// Takes away what it has, while it does not run.
    pub(crate) fn forget_all(&mut self) {
        assert!(self.serving.is_none());
        std::fs::remove_dir_all(&self.config.data).unwrap();
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        self.serving.as_ref().unwrap().nodes().store()
    }

    pub(crate) fn propose(&self, command: &Command) -> Reply {
        let member = self.serving.as_ref().unwrap().member();
        let command = command.encode().unwrap();
        let answered = member.propose(&command);
        Reply::decode(&self.runtime.block_on(answered).unwrap().answer).unwrap()
    }

    /// What becomes of something that talks to it.
    pub(crate) fn wait<T>(&self, asked: impl Future<Output = Result<T, String>>) -> T {
        self.runtime.block_on(asked).unwrap()
    }

    /// Demands that something that talks to it fails, and says so.
    pub(crate) fn refuses<T>(&self, asked: impl Future<Output = Result<T, String>>, named: &str) {
        let why = self.runtime.block_on(asked).err().unwrap();
        assert!(why.contains(named), "{why}");
    }

    pub(crate) fn data(&self) -> &Path {
        &self.config.data
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.config.listen.as_ref().unwrap().address
    }

    /// One with data that is there already, which runs.
    pub(crate) fn on(data: &Path) -> Self {
        let mut member = Self::new();
        member.config.data = data.to_owned();
        member.start();
        member
    }

    /// What a node has for it in `metadata_members`.
    pub(crate) fn name(&self) -> String {
        format!("1@{}", self.address())
    }

    /// A node that goes to this member.
    pub(crate) fn node(&self, settings: &[(&str, &str)]) -> Server {
        let members = self.name();
        Server::start_with(&with_members(&members, settings))
    }

    /// Another node that goes to this member, with the keys of the first; see [`Server::sibling`].
    pub(crate) fn second_node(
        &self,
        first: &Server,
        settings: &[(&str, &str)],
        registry: Option<&Value>,
    ) -> Server {
        let members = self.name();
        first.sibling(&with_members(&members, settings), registry)
    }
}

fn with_members<'a>(members: &'a str, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("metadata_members", members), ("metadata_plain_text", "true")];
    all.extend(settings);
    all
}

/// The registry of a node that stands still, as one had it before there were clusters: of nobody else, and at home nowhere.
pub(crate) fn old_registry(server: &Server) -> Value {
    let text = std::fs::read(server.data().join("registry.json")).unwrap();
    let mut registry: Value = serde_json::from_slice(&text).unwrap();
    let rows = registry["rows"].as_array_mut().unwrap();
    rows.retain(|row| row.get("TakenOver").is_none() && row.get("Chain").is_none());
    for row in rows {
        if let Some(association) = row.get_mut("Association") {
            association["home"] = Value::Null;
        }
    }
    registry
}

/// The change that an answer tells of.
pub(crate) fn event_of(answer: &Answer) -> Event {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.field("filegrid-event").unwrap().parse().unwrap()
}

/// Asks for the tree until it is answered.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
pub(crate) fn tree_with(server: &Server, after: Event) -> Vec<String> {
    for _ in 0..20 {
        let answer = server.json(
            &server.token,
            "/api/list/tree",
            &json!({"After": after.to_string()}),
        );
        if answer.status == 200 {
            let entries = answer.json();
            let paths = entries.as_array().unwrap().iter();
            return paths
                .map(|entry| entry["path"].as_str().unwrap().to_owned())
                .collect();
        }
        answer.is_problem(503);
        assert!(answer.field("retry-after").is_some());
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the tree was never answered: {}", server.log());
}
