//! A member of the metadata cluster: the program `filegrid-meta` on a host of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::Net;

/// A member, whose number is that of its host.
pub(crate) struct Member {
    pub(crate) id: u8,
    net: Arc<Net>,
    /// Certificates, configuration, data and log.
    home: PathBuf,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Member {
    /// One with the directory that `cluster init` or `cluster certificate` has made for it.
    pub(crate) fn new(net: &Arc<Net>, id: u8, home: PathBuf) -> Self {
        Self {
            id,
            net: Arc::clone(net),
            home,
            settings: Vec::new(),
            child: None,
        }
    }

    /// Where others reach it.
    pub(crate) fn address(id: u8) -> String {
        format!("10.0.0.{id}:8090")
    }

    /// Sets a key of the configuration, from the next start on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let name = format!("FILEGRID_META_{}", key.to_uppercase());
        self.settings.push((name, value.to_owned()));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none());
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let mut command = Command::new(program());
        command.current_dir(&self.home).args(["--data", "data"]);
        if self.home.join("filegrid-meta.toml").exists() {
            command.args(["--config", "filegrid-meta.toml"]);
        } else {
            command.args(["--id", &self.id.to_string(), "--listen", &Self::address(self.id)]);
            for (key, file) in [
                ("AUTHORITY", "authority.pem"),
                ("CERTIFICATE", "certificate.pem"),
                ("KEY", "key.pem"),
            ] {
                command.env(format!("FILEGRID_META_TLS_{key}"), file);
            }
        }
        command.envs(self.settings.iter().cloned()).stderr(log);
        let child = self.net.at(self.id, || command.spawn().unwrap());
        self.child = Some(child);
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether it runs. Who has ended by itself may be started again.
    pub(crate) fn runs(&mut self) -> bool {
        let ended = self
            .child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        self.child.is_some()
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, beside that of the node; made if only that was.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let node = Path::new(env!("CARGO_BIN_EXE_filegrid"));
        let program = node.with_file_name("filegrid-meta");
        if !program.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--package", "filegrid-meta", "--target-dir"]);
            build.arg(node.parent().unwrap().parent().unwrap());
            if node.parent().unwrap().ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success());
        }
        program
    })
}
