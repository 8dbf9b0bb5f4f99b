//! A node in this process.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, Once};
use std::time::Duration;

use filegrid::auth::UserKeys;
use filegrid::config::{self, Overrides};
use filegrid::node;
use serde_json::{Value, json};

/// Warnings and errors that nodes have logged.
static LOGGED: Mutex<String> = Mutex::new(String::new());
static LOG: Once = Once::new();

#[derive(Clone, Copy)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Name and password of the account.
pub(crate) const LOGIN: &str = "--user anna --password horse";

/// A running node with its data, and an account for FTP and SFTP.
pub(crate) struct Node {
    node: Option<node::Node>,
    keys: UserKeys,
    token: String,
    directory: tempfile::TempDir,
}

impl Node {
    pub(crate) fn start() -> Self {
        LOG.call_once(|| {
            tracing_subscriber::fmt()
                .with_env_filter("warn")
                .with_ansi(false)
                .with_writer(|| Log)
                .init();
        });
        let directory = tempfile::tempdir().unwrap();
        let any = || Some("127.0.0.1:0".to_owned());
        let options = Overrides {
            data: Some(directory.path().join("data")),
            listen: any(),
            listen_tls: any(),
            ftp: any(),
            ftps: any(),
            sftp: any(),
            admin: Some("off".to_owned()),
            metrics: Some("off".to_owned()),
            shards: Some(2),
        };
        let variables = [("FILEGRID_LOG_SEGMENT_MIB", "8"), ("FILEGRID_LOW_WATER_MIB", "1")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = config::load(None, variables.into_iter(), options).unwrap();
        let node = node::Node::start(config, |_| {}).unwrap();
        let keys = node.first.clone().unwrap().keys;
        let mut started = Self {
            node: Some(node),
            keys,
            token: String::new(),
            directory,
        };
        let keys = json!({
            "AssociationKey": started.keys.association.to_string(),
            "AccessKey": started.keys.access_key,
            "SecretKey": started.keys.secret_key,
        });
        // The registry of a first start is taken up within a moment.
        let token = started.until("/apiaccess/auth", &keys, |answer| answer["token"].is_string());
        started.token = token["token"].as_str().unwrap().to_owned();
        let account = json!({"Username": "anna", "AccessRights": "RW", "Chroot": "/", "Password": "horse"});
        started.until("/ftpaccounts/create", &account, |answer| answer["id"].is_u64());
        started
    }

    /// Asks until the answer is as it should be.
    #[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
    fn until(&self, route: &str, body: &Value, is_right: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let answer = self.post(route, body);
            if is_right(&answer) {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{route}: {}", self.post(route, body));
    }

    fn address(&self, pick: impl Fn(&config::Addresses) -> Option<SocketAddr>) -> SocketAddr {
        pick(&self.node.as_ref().unwrap().addresses).unwrap()
    }

    fn post(&self, route: &str, body: &Value) -> Value {
        let address = self.address(|of| of.http);
        let mut stream = TcpStream::connect(address).unwrap();
        let (body, token) = (body.to_string(), &self.token);
        let authorization = match token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let head = format!(
            "POST {route} HTTP/1.0\r\nHost: a\r\n{authorization}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// Options that reach it by REST.
    pub(crate) fn rest(&self) -> String {
        let address = self.address(|of| of.http);
        format!("rest --target http://{address} {}", self.keys())
    }

    /// The same, through TLS.
    pub(crate) fn https(&self) -> String {
        format!("{} --ca {}", self.https_untrusted(), self.certificate().display())
    }

    pub(crate) fn https_untrusted(&self) -> String {
        let port = self.address(|of| of.https).port();
        format!("rest --target https://localhost:{port} {}", self.keys())
    }

    pub(crate) fn keys(&self) -> String {
        let UserKeys {
            association,
            access_key,
            secret_key,
        } = &self.keys;
        format!("--association-key {association} --access-key {access_key} --secret-key {secret_key}")
    }

    /// A script with this node's places instead of the usual ones, and what its first start has printed.
    pub(crate) fn at_home(&self, script: &str) -> (String, String) {
        let at = |pick: fn(&config::Addresses) -> Option<SocketAddr>| self.address(pick);
        let places = [
            ("127.0.0.1:8080", at(|of| of.http).to_string()),
            (
                "localhost:8443",
                format!("localhost:{}", at(|of| of.https).port()),
            ),
            ("127.0.0.1:2121", at(|of| of.ftp).to_string()),
            ("localhost:2990", format!("localhost:{}", at(|of| of.ftps).port())),
            ("127.0.0.1:2222", at(|of| of.sftp).to_string()),
            (
                "filegrid-data/tls/self-made.pem",
                self.certificate().display().to_string(),
            ),
        ];
        let mut script = script.to_owned();
        for (usual, here) in places {
            assert!(script.contains(usual), "{usual}");
            script = script.replace(usual, &here);
        }
        let keys = &self.keys;
        let printed = format!(
            "AssociationKey: {}\nAccessKey: {}\nSecretKey: {}\n",
            keys.association, keys.access_key, keys.secret_key
        );
        (script, printed)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("data/tls/self-made.pem")
    }

    /// Options that reach it by FTP.
    pub(crate) fn ftp(&self) -> String {
        let port = self.address(|of| of.ftp).port();
        format!("ftp --target ftp://localhost:{port} {LOGIN}")
    }

    /// The same, through TLS from the first byte on.
    pub(crate) fn ftps(&self) -> String {
        let port = self.address(|of| of.ftps).port();
        format!(
            "ftp --target ftps://localhost:{port} {LOGIN} --ca {}",
            self.certificate().display()
        )
    }

    /// Options that reach it by SFTP, without whom to trust.
    pub(crate) fn sftp(&self) -> String {
        let address = self.address(|of| of.sftp);
        format!("sftp --target sftp://{address} {LOGIN}")
    }

    /// The account's key is this public one from now on.
    pub(crate) fn set_key(&self, public: &str) {
        let account = json!({"Username": "berta", "AccessRights": "RW", "Chroot": "/", "RsaKey": public});
        self.until("/ftpaccounts/create", &account, |answer| answer["id"].is_u64());
    }

    /// Waits until a run has uploaded something.
    pub(crate) fn wait_for_uploads(&self) {
        let is_one = |entry: &&Value| entry["path"].as_str().unwrap().ends_with("/c0");
        let found = |answer: &Value| answer.as_array().unwrap().iter().find(is_one).cloned();
        let dirs = self.until("/api/list/dirs", &json!({}), |answer| found(answer).is_some());
        let directory = json!({"Params": found(&dirs).unwrap()["path"]});
        self.until("/api/list/files", &directory, |answer| {
            answer.as_array().is_some_and(|files| !files.is_empty())
        });
    }

    /// That nothing is left of any run.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        for (route, name) in [("/api/list/dirs", "path"), ("/api/list/files", "name")] {
            let left = self.post(route, &json!({}));
            let names: Vec<_> = left
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| &entry[name])
                .collect();
            assert!(names.is_empty(), "{names:?}");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let stopped = self.node.take().unwrap().stop();
        if !std::thread::panicking() {
            stopped.unwrap();
            let logged = LOGGED.lock().unwrap();
            assert!(logged.is_empty(), "{logged}");
        }
    }
}
