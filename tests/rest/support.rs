//! A server under test, and a client that sends exactly what it is told.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use self::connection::{Connection, Reply};
#[allow(unused_imports, reason = "not every suite needs all of them")]
pub(crate) use self::payload::{form, noise, request};
use crate::wire::Wire;

#[path = "connection.rs"]
mod connection;
#[path = "payload.rs"]
mod payload;

/// A running node with its data.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    directory: Option<tempfile::TempDir>,
    pub(crate) port: u16,
    ports: Value,
    keys: Vec<String>,
    operator_token: String,
    first_upload: String,
    pub(crate) token: String,
    settings: Vec<(String, String)>,
    announced: Vec<String>,
    tolerated: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With keys of the configuration that differ from the tests' own.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_by(settings, |_| {})
    }

    /// As [`Server::start_with`], by a command that is changed first.
    pub(crate) fn start_by(settings: &[(&str, &str)], change: impl FnOnce(&mut Command)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let mut server = Self::on(&directory.path().join("data"), settings, change);
        server.directory = Some(directory);
        let lines: Vec<String> = BufReader::new(server.child.stdout.take().unwrap())
            .lines()
            .take(5)
            .map(Result::unwrap)
            .collect();
        server.keys = lines
            .iter()
            .take(3)
            .map(|line| line.split_once(": ").unwrap().1.to_owned())
            .collect();
        server.operator_token = lines[3].strip_prefix("OperatorToken: ").unwrap().to_owned();
        server.first_upload.clone_from(&lines[4]);
        server.token = server.login(&server.keys);
        server
    }

    /// Another node of the same cluster, which has the keys of this one, and begins with nothing or with a registry.
    #[allow(dead_code, reason = "tests of the cluster need it")]
    pub(crate) fn sibling(&self, settings: &[(&str, &str)], registry: Option<&Value>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        if let Some(registry) = registry {
            std::fs::create_dir(&data).unwrap();
            std::fs::write(data.join("registry.json"), registry.to_string()).unwrap();
        }
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let mut server = Self::on(&data, settings, |_| {});
        server.directory = Some(directory);
        server.keys.clone_from(&self.keys);
        server.operator_token.clone_from(&self.operator_token);
        server.token = server.login(&server.keys);
        server
    }

    /// Another process on a copy of this one's data.
    #[allow(dead_code, reason = "tests of the cluster need it")]
    pub(crate) fn twin(&self, data: &Path) -> Self {
        let mut server = Self::on(data, self.settings.clone(), |_| {});
        server.directory = Some(tempfile::tempdir().unwrap());
        server.keys.clone_from(&self.keys);
        server.operator_token.clone_from(&self.operator_token);
        server.token = server.login(&server.keys);
        server
    }

    fn on(data: &Path, settings: Vec<(String, String)>, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filegrid"));
        command.arg("--data").arg(data).args([
            "--listen",
            "127.0.0.1:0",
            "--listen-tls",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
            "--shards",
            "2",
        ]);
        command
            .env("FILEGRID_FTP", "127.0.0.1:0")
            .env("FILEGRID_FTPS", "127.0.0.1:0")
            .env("FILEGRID_SFTP", "127.0.0.1:0")
            .env("FILEGRID_LOG_SEGMENT_MIB", "8")
            .env("FILEGRID_LOW_WATER_MIB", "1");
        command.env("FILEGRID_CORS_ORIGINS", "https://app.example.com");
        // Freed memory goes back at once, so that what is in use can be measured.
        command.env("MIMALLOC_PURGE_DELAY", "0");
        for (key, value) in &settings {
            command.env(format!("FILEGRID_{}", key.to_uppercase()), value);
        }
        command.stdout(Stdio::piped()).stderr(
            std::fs::File::options()
                .create(true)
                .append(true)
                .open(log(data))
                .unwrap(),
        );
        let _ = std::fs::remove_file(data.join("ports.json"));
        change(&mut command);
        let child = command.spawn().unwrap();
        let mut server = Self {
            child,
            data: data.to_owned(),
            directory: None,
            port: 0,
            ports: Value::Null,
            keys: Vec::new(),
            operator_token: String::new(),
            first_upload: String::new(),
            token: String::new(),
            settings,
            announced: Vec::new(),
            tolerated: Vec::new(),
        };
        server.ports = server.wait();
        server.port = server.port_of("http");
        server
    }

    /// The AssociationKey.
    #[allow(dead_code, reason = "tests of accounts log in with it")]
    pub(crate) fn association(&self) -> &str {
        &self.keys[0]
    }

    /// The port of a listener, by its name in `ports.json`.
    pub(crate) fn port_of(&self, listener: &str) -> u16 {
        u16::try_from(self.ports[listener].as_u64().unwrap()).unwrap()
    }

    /// Waits until it answers.
    #[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
    fn wait(&mut self) -> Value {
        loop {
            if let Ok(ports) = std::fs::read(self.data.join("ports.json")) {
                let ports: Value = serde_json::from_slice(&ports).unwrap();
                let port = u16::try_from(ports["http"].as_u64().unwrap()).unwrap();
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return ports;
                }
            }
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.restart();
    }

    /// Ends it in good order and starts it again.
    pub(crate) fn stop_and_restart(&mut self) {
        self.terminate();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        self.restart();
    }

    pub(crate) fn restart(&mut self) {
        self.child.wait().unwrap();
        self.start_again();
    }

    /// Starts it again after it has ended.
    pub(crate) fn start_again(&mut self) {
        let next = Self::on(&self.data, std::mem::take(&mut self.settings), |_| {});
        let directory = self.directory.take();
        let keys = std::mem::take(&mut self.keys);
        let operator_token = std::mem::take(&mut self.operator_token);
        let announced = std::mem::take(&mut self.announced);
        let tolerated = std::mem::take(&mut self.tolerated);
        *self = next;
        self.directory = directory;
        self.announced = announced;
        self.tolerated = tolerated;
        self.token = self.login(&keys);
        self.keys = keys;
        self.operator_token = operator_token;
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn wait_for_end(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(log(&self.data)).unwrap()
    }

    /// Where the server keeps everything.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// AssociationKey, AccessKey and SecretKey of the first user.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Sets a key of the configuration, from the next start on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// The operator's token, as the first start printed it.
    pub(crate) fn operator_token(&self) -> &str {
        &self.operator_token
    }

    /// Another operator's token, in the place of the first.
    pub(crate) fn new_operator_token(&self) -> String {
        let shown = self.run(&["operator-token"]);
        shown
            .trim_end()
            .strip_prefix("OperatorToken: ")
            .unwrap()
            .to_owned()
    }

    /// What a command prints that works on the server's data.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filegrid"));
        let output = command
            .args(arguments)
            .arg("--data")
            .arg(&self.data)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The line that uploads, as the first start printed it.
    pub(crate) fn first_upload(&self) -> &str {
        &self.first_upload
    }

    /// Says that the server will log this as a warning or an error, at least once.
    pub(crate) fn announce(&mut self, text: &str) {
        self.announced.push(text.to_owned());
    }

    /// Says that the server may log this as a warning or an error: whether it does depends on how quick others are.
    #[allow(dead_code, reason = "tests of the cluster need it")]
    pub(crate) fn tolerate(&mut self, text: &str) {
        self.tolerated.push(text.to_owned());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Another API user: its token.
    pub(crate) fn user(&self, scopes: &str, root: &str) -> String {
        let shown = self.run(&["add-user", "--scopes", scopes, "--root", root]);
        let keys: Vec<_> = shown
            .lines()
            .map(|line| line.split_once(": ").unwrap().1.to_owned())
            .collect();
        self.login(&keys)
    }

    /// Logs in; tries again while the registry is not yet read.
    #[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
    pub(crate) fn login(&self, keys: &[String]) -> String {
        let body = json!({"AssociationKey": keys[0], "AccessKey": keys[1], "SecretKey": keys[2]});
        for _ in 0..4 {
            let reply = self.json("", "/apiaccess/auth", &body);
            if reply.status == 200 {
                let reply = reply.json();
                assert_eq!(reply["expires_in"], 900);
                return reply["token"].as_str().unwrap().to_owned();
            }
            assert_eq!(reply.status, 401);
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("cannot log in: {}", self.log());
    }

    pub(crate) fn connect(&self) -> Connection {
        let listener = if crate::SECURE { "https" } else { "http" };
        let stream = TcpStream::connect(("127.0.0.1", self.port_of(listener))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        let wire = if crate::SECURE {
            let configured = self.settings.iter().find(|(key, _)| key == "tls_certificates");
            let self_made = self.data.join("tls/self-made.pem");
            Wire::secure(stream, configured.map_or(&self_made, |(_, path)| Path::new(path)))
        } else {
            Wire::Plain(stream)
        };
        Connection::new(wire)
    }

    /// A request with a token.
    pub(crate) fn request(
        &self,
        token: &str,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut connection = self.connect();
        connection.send(&request(token, method, target, fields, body));
        connection.reply(method)
    }

    /// A request to the listener of `/metrics`.
    pub(crate) fn probe(&self, target: &str) -> Reply {
        self.probe_by("GET", target)
    }

    /// The same by another method.
    pub(crate) fn probe_by(&self, method: &str, target: &str) -> Reply {
        let mut connection = self.connect_to("metrics");
        connection.send(&request("", method, target, &[], b""));
        connection.reply(method)
    }

    /// A plain connection to another listener.
    fn connect_to(&self, listener: &str) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port_of(listener))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection::new(Wire::Plain(stream))
    }

    /// A request to the operator's API.
    pub(crate) fn ask_admin(&self, token: &str, method: &str, target: &str, body: &Value) -> Reply {
        let mut connection = self.connect_to("admin");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        connection.send(&request(token, method, target, &[], body.as_bytes()));
        connection.reply(method)
    }

    pub(crate) fn json(&self, token: &str, target: &str, body: &Value) -> Reply {
        self.request(
            token,
            "POST",
            target,
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// A call that succeeds, by the first user.
    pub(crate) fn call(&self, target: &str, body: Value) -> Value {
        let reply = self.json(&self.token, target, &body);
        assert_eq!(reply.status, 200, "{target} {body}: {}", reply.text());
        reply.json()
    }

    /// Adds an FTP account; its id.
    pub(crate) fn add_account(&self, name: &str, password: &str, root: &str, rights: &str) -> u64 {
        let account = json!({"Username": name, "Password": password, "Chroot": root, "AccessRights": rights});
        self.call("/ftpaccounts/create", account)["id"].as_u64().unwrap()
    }

    /// Deletes an FTP account.
    pub(crate) fn delete_account(&self, id: u64) {
        let target = format!("/ftpaccounts/id/{id}");
        let gone = self.request(&self.token, "DELETE", &target, &[], b"");
        assert_eq!(gone.status, 200, "{}", gone.text());
    }

    pub(crate) fn upload(&self, files: &[(&str, &str, &[u8])], meta: Option<Value>) -> Reply {
        self.upload_as(&self.token, files, meta)
    }

    /// Field, name and bytes of each file.
    pub(crate) fn upload_as(&self, token: &str, files: &[(&str, &str, &[u8])], meta: Option<Value>) -> Reply {
        let body = form(files, meta);
        self.request(
            token,
            "POST",
            "/api/upload",
            &[("Content-Type", "multipart/form-data; boundary=b0")],
            &body,
        )
    }

    /// Uploads one file to a path.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let meta = json!({"files": [{"field": "f", "path": directory}]});
        let reply = self.upload(&[("f", name, bytes)], Some(meta));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json(), json!({"rslt": "OK"}));
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.request(
            &self.token,
            "GET",
            &format!("/api/download/single?path={path}"),
            fields,
            b"",
        )
    }

    /// The paths of the whole tree.
    pub(crate) fn tree(&self) -> Vec<String> {
        let tree = self.call("/api/list/tree", json!({}));
        tree.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Server {
    /// Demands that every warning and every error was announced, and that all that was announced came.
    fn check_log(&self) {
        let log = self.log();
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .collect();
        for line in &complaints {
            let mut known = self.announced.iter().chain(&self.tolerated);
            assert!(known.any(|text| line.contains(text)), "{log}");
        }
        for text in &self.announced {
            assert!(complaints.iter().any(|line| line.contains(text)), "{text}: {log}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // One that was restarted leaves the log, and the check, to its successor.
        if !std::thread::panicking() && self.directory.is_some() {
            self.check_log();
        }
    }
}

fn log(data: &Path) -> PathBuf {
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    data.with_extension("log")
}

/// Waits for what comes about by itself.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
#[track_caller]
pub(crate) fn poll(mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never was so");
}

/// Asks until the answer has another status: what the server does in its own time, such as looking at its disk or its
/// registry. The bound is for a server that never does it.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
pub(crate) fn until(status: u16, mut ask: impl FnMut() -> Reply) -> Reply {
    for _ in 0..600 {
        let reply = ask();
        if reply.status == status {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never {status}");
}

/// Files of large blobs, whether anything refers to them or not.
pub(crate) fn blobs(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![data.to_owned()];
    while let Some(directory) = directories.pop() {
        // What is there may go at any time.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(_) if entry.path().components().any(|part| part.as_os_str() == "blobs") => {
                    found.push(entry.path());
                }
                _ => {}
            }
        }
    }
    found
}
