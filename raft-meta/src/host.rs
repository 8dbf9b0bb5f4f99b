//! A member with what it stands on: its directory, its log, its listener.
//!
//! # Layout
//!
//! ```text
//! DATA/lock         held while the member runs
//! DATA/log/         the Raft log
//! DATA/ports.json   ports in use, if it listens
//! ```
//!
//! The state machine has a directory of its own beside these.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::limits::{LOG_BATCH_MAX_BYTES, LOG_CACHE_MAX_BYTES, LOG_SEGMENT_BYTES};
use crate::log::disk::RealDisk;
use crate::log::{Log, LogOptions};
use crate::machine::Machine;
use crate::raft::{Member, MemberOptions, MemberService};
use crate::wire::{CallError, Carrier, Destination, Dialer, Identity, Listener, Method, Service};

/// A member that runs. Dropped, it stops answering; [`Self::stop`] ends it in order.
pub struct Host {
    member: Member,
    port: Option<u16>,
    serving: JoinSet<()>,
    writer: std::thread::JoinHandle<()>,
    _lock: File,
}

/// The way to other members for one that has none.
struct Alone;

impl Carrier for Alone {
    fn call(&self, to: &Destination, _: Method, _: Bytes) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let why = format!("this member is alone, member {} cannot be reached", to.member);
        Box::pin(async move { Err(CallError::Unreachable(why)) })
    }
}

/// Takes a member's directory, making it if it is not there: one process at a time.
///
/// # Errors
///
/// A text that names the directory and what is wrong with it.
pub fn take(data: &Path) -> Result<File, String> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |error: std::io::Error| format!("{}: {error}", data.display());
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(failed)?;
    if let Some(parent) = data.canonicalize().map_err(failed)?.parent() {
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed)?;
    }
    let mut how = File::options();
    let lock = how
        .create(true)
        .write(true)
        .truncate(false)
        .open(data.join("lock"));
    let lock = lock.map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(format!("{} is in use by another process", data.display())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl Host {
    /// Starts a member in a directory that was [taken](take). `application` makes what answers the methods that are
    /// not Raft's; a member without a listener does not ask for it.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub async fn start(
        config: &Config,
        lock: File,
        machine: Arc<dyn Machine>,
        application: impl FnOnce(&Member) -> Arc<dyn Service>,
    ) -> Result<Self, String> {
        let (log, writer) = open_log(config).await?;
        let listener = match &config.listen {
            Some(listen) => Some(Listener::bind(listen.address, listen.security.clone()).await?),
            None => None,
        };
        let carrier: Arc<dyn Carrier> = match &config.listen {
            Some(listen) => {
                let us = Identity::member(config.id);
                Arc::new(Dialer::new(&config.cluster, us, listen.security.clone()))
            }
            None => Arc::new(Alone),
        };
        let options = MemberOptions {
            id: config.id,
            address: address(config, listener.as_ref()),
            first_members: config.first_members(),
            timing: config.timing,
            retention: config.retention,
        };
        let started = Member::start(options, log, machine, carrier).await;
        let member = started.map_err(|error| error.to_string())?;
        let mut host = Self {
            port: listener.as_ref().map(|listener| listener.address().port()),
            serving: JoinSet::new(),
            writer,
            _lock: lock,
            member,
        };
        if let Some(listener) = listener {
            let service = MemberService::new(host.member.clone(), application(&host.member));
            let cluster = config.cluster.clone();
            let id = config.id;
            host.serving
                .spawn(async move { listener.serve(id, &cluster, Arc::new(service)).await });
            let written = write_ports(&config.data, host.port, None);
            written.map_err(|error| format!("cannot write ports.json: {error}"))?;
        }
        Ok(host)
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Stops the member and closes its log.
    pub async fn stop(mut self) {
        self.serving.shutdown().await;
        self.member.stop().await;
        drop(self.member);
        let writer = self.writer;
        // A writer that has panicked has said so.
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    }
}

/// Opens the log and runs its writer on a thread.
async fn open_log(config: &Config) -> Result<(Log, std::thread::JoinHandle<()>), String> {
    let options = LogOptions {
        member: config.id,
        segment_bytes: LOG_SEGMENT_BYTES,
        batch_max_bytes: LOG_BATCH_MAX_BYTES,
        cache_max_bytes: LOG_CACHE_MAX_BYTES,
    };
    let directory = config.data.join("log");
    let opened = tokio::task::spawn_blocking(move || Log::open(Arc::new(RealDisk), directory, options));
    let opened = opened.await.map_err(|error| error.to_string())?;
    let (log, writer) = opened.map_err(|error| error.to_string())?;
    let thread = std::thread::Builder::new().name("raft-log".to_owned());
    let thread = thread.spawn(move || writer.run());
    Ok((log, thread.map_err(|error| error.to_string())?))
}

/// Where others reach the member.
fn address(config: &Config, listener: Option<&Listener>) -> String {
    match (&config.listen, listener) {
        (Some(listen), Some(listener)) if listen.advertise.is_empty() => listener.address().to_string(),
        (Some(listen), _) => listen.advertise.clone(),
        (None, _) => String::new(),
    }
}

/// Ports in use, as JSON, replaced as a whole.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_ports(data: &Path, wire: Option<u16>, metrics: Option<u16>) -> std::io::Result<()> {
    let fresh = data.join("ports.new");
    let ports = [("wire", wire), ("metrics", metrics)];
    let ports = ports
        .iter()
        .filter_map(|(name, port)| Some(format!("\"{name}\":{}", (*port)?)));
    let text = format!("{{{}}}", ports.collect::<Vec<_>>().join(","));
    std::fs::write(&fresh, text)?;
    std::fs::rename(fresh, data.join("ports.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;
    use crate::raft::tests::Nothing;
    use crate::raft::tests::machine::MemoryMachine;
    use crate::wire::Security;

    async fn start(config: &Config, machine: &MemoryMachine) -> Result<Host, String> {
        let lock = take(&config.data)?;
        Host::start(config, lock, Arc::new(machine.clone()), |_| Arc::new(Nothing)).await
    }

    #[tokio::test]
    async fn an_embedded_member_serves_its_process_alone() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::embedded(directory.path().join("meta"));
        let machine = MemoryMachine::default();
        let host = start(&config, &machine).await.unwrap();
        host.member().propose(b"one").await.unwrap();
        assert_eq!(host.port(), None);
        let second = start(&config, &machine).await;
        assert!(second.err().unwrap().contains("in use"));
        host.stop().await;
        let host = start(&config, &machine).await.unwrap();
        host.member().propose(b"two").await.unwrap();
        assert_eq!(machine.commands(), [b"one", b"two"]);
        host.stop().await;
    }

    #[tokio::test]
    async fn a_member_grows_out_of_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::embedded(directory.path().join("meta"));
        let machine = MemoryMachine::default();
        let host = start(&config, &machine).await.unwrap();
        host.member().propose(b"alone").await.unwrap();
        host.stop().await;
        let listen = || {
            Some(Listen {
                address: "127.0.0.1:0".parse().unwrap(),
                advertise: String::new(),
                security: Security::Plain,
            })
        };
        config.listen = listen();
        let first = start(&config, &machine).await.unwrap();
        let ports = std::fs::read_to_string(config.data.join("ports.json")).unwrap();
        assert_eq!(ports, format!("{{\"wire\":{}}}", first.port().unwrap()));
        let other = Config {
            data: directory.path().join("other"),
            id: 2,
            listen: listen(),
            members: Vec::new(),
            ..config
        };
        let others = MemoryMachine::default();
        let second = start(&other, &others).await.unwrap();
        let address = format!("127.0.0.1:{}", second.port().unwrap());
        first.member().add_learner(2, &address).await.unwrap();
        first.member().promote(2).await.unwrap();
        // By way of the second: it has learnt where the first is.
        let answered = second.member().propose(b"together").await.unwrap();
        second.member().wait_applied(answered.index + 1).await.unwrap();
        assert_eq!(others.commands(), [&b"alone"[..], b"together"]);
        second.stop().await;
        first.stop().await;
    }
}
