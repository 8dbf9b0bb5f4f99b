//! Three members of ours.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filegrid_meta::config::{Config, Listen};
use filegrid_meta::host::{Host, take};
use filegrid_meta::raft::Client as MetaClient;
use filegrid_meta::wire::{Destination, Dialer, Identity, Method, Push, Refusal, Security, Service};
use futures::future::BoxFuture;

use crate::figures::{Client, Row, run as run_clients};
use crate::machine::Puts;

const NAME: &str = "bench";

/// Three processes.
pub(crate) struct Cluster {
    members: Vec<Destination>,
    children: Vec<Child>,
}

impl Cluster {
    /// Starts three members on fresh data.
    pub(crate) fn start(data: &Path) -> Result<Self, String> {
        let _ = std::fs::remove_dir_all(data);
        let mut members = Vec::new();
        for member in 1..=3 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let address = free.map_err(|error| error.to_string())?.to_string();
            members.push(Destination { member, address });
        }
        let addresses: Vec<_> = members.iter().map(|member| member.address.clone()).collect();
        let mut cluster = Self {
            members,
            children: Vec::new(),
        };
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        for id in 1..=3 {
            let directory = data.join(id.to_string());
            std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
            let child = Command::new(&program)
                .arg("member")
                .args(["--id", &id.to_string(), "--members", &addresses.join(",")])
                .arg("--data")
                .arg(&directory)
                .spawn();
            cluster.children.push(child.map_err(|error| error.to_string())?);
        }
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a member until it is killed.
pub(crate) fn run(id: u64, members: &[String], data: &Path) -> Result<(), String> {
    let members: Vec<_> = (1..)
        .zip(members)
        .map(|(member, address)| Destination {
            member,
            address: address.clone(),
        })
        .collect();
    let own = members.iter().find(|member| member.member == id);
    let address = own
        .and_then(|own| own.address.parse().ok())
        .ok_or("--id, --members")?;
    let config = Config {
        id,
        listen: Some(Listen {
            address,
            advertise: String::new(),
            security: Security::Plain,
        }),
        cluster: NAME.to_owned(),
        members,
        ..Config::embedded(data.to_owned())
    };
    let runtime = match std::env::var("THREADS").as_deref() {
        Ok("2") => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build(),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let lock = take(&config.data)?;
        let machine = Puts::open(&config.data.join("puts")).map_err(|error| error.to_string())?;
        let host = Host::start(&config, lock, Arc::new(machine), |_| Arc::new(Nothing)).await?;
        Err(host.member().failed().await)
    })
}

/// An application that knows nothing.
struct Nothing;

impl Service for Nothing {
    fn call(&self, _: &Identity, _: Method, _: Bytes) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        Box::pin(async { Err(Refusal::BadRequest("nothing".to_owned())) })
    }

    fn watch(&self, _: &Identity, _: Method, _: Bytes, _: Push) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async { Err(Refusal::BadRequest("nothing".to_owned())) })
    }
}

/// One connection.
struct Connection(MetaClient);

impl Client for Connection {
    async fn write(&mut self, key: &[u8; 16], value: &[u8]) -> Result<(), String> {
        let command = [&key[..], value].concat();
        self.0
            .propose(&command)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// Measures so many clients, each on a connection of its own to the leader.
pub(crate) async fn measure(
    cluster: &Cluster,
    clients: usize,
    time: Duration,
    value: usize,
) -> Result<Row, String> {
    let pids: Vec<_> = cluster.children.iter().map(Child::id).collect();
    let mut connections = Vec::new();
    for number in 0..clients {
        let us = Identity::node(&format!("bench-{number}"));
        let client = MetaClient::new(Dialer::new(NAME, us, Security::Plain), cluster.members.clone());
        let mut connection = Connection(client);
        // Finds the leader, and waits for one when the cluster is new.
        connection.write(b"0123456789abcdef", b"first").await?;
        connections.push(connection);
    }
    let local = tokio::task::LocalSet::new();
    local
        .run_until(run_clients("members", connections, time, value, &pids))
        .await
}
