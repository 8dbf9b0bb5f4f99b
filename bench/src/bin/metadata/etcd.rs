//! Three members of etcd, as Debian packages it, over gRPC: the same client, without a client library in between.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::net::TcpStream;

use crate::figures::{Client, Row, run as run_clients};

/// Whether there is one.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("etcd")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// Three processes.
pub(crate) struct Cluster {
    clients: Vec<SocketAddr>,
    children: Vec<Child>,
}

impl Cluster {
    /// Starts three members on fresh data.
    pub(crate) fn start(data: &Path) -> Result<Self, String> {
        let _ = std::fs::remove_dir_all(data);
        let free = || -> Result<SocketAddr, String> {
            let socket = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            socket.map_err(|error| error.to_string())
        };
        let mut addresses = Vec::new();
        for _ in 0..3 {
            addresses.push((free()?, free()?));
        }
        let name = |number: usize| format!("m{number}");
        let initial: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(number, (peer, _))| format!("{}=http://{peer}", name(number)))
            .collect();
        let mut cluster = Self {
            clients: addresses.iter().map(|(_, client)| *client).collect(),
            children: Vec::new(),
        };
        for (number, (peer, client)) in addresses.iter().enumerate() {
            let directory = data.join(name(number));
            std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
            let log = std::fs::File::create(data.join(format!("{}.log", name(number))));
            let child = Command::new("etcd")
                .args(["--name", &name(number)])
                .arg("--data-dir")
                .arg(&directory)
                .args(["--listen-peer-urls", &format!("http://{peer}")])
                .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
                .args(["--listen-client-urls", &format!("http://{client}")])
                .args(["--advertise-client-urls", &format!("http://{client}")])
                .args([
                    "--initial-cluster",
                    &initial.join(","),
                    "--initial-cluster-state",
                    "new",
                ])
                .stdout(Stdio::null())
                .stderr(log.map_err(|error| error.to_string())?)
                .spawn();
            cluster.children.push(child.map_err(|error| error.to_string())?);
        }
        Ok(cluster)
    }

    /// Address of the member that leads: its id is the leader's in its own status.
    async fn leader(&self) -> Result<SocketAddr, String> {
        for _ in 0..200 {
            for address in &self.clients {
                let Ok(mut connection) = Connection::open(*address).await else {
                    continue;
                };
                let Ok(status) = connection.call("/etcdserverpb.Maintenance/Status", &[]).await else {
                    continue;
                };
                // StatusResponse: header (1) with member_id (2); leader (4).
                let own = field(&status, 1)
                    .and_then(|header| header.bytes)
                    .and_then(|header| field(header, 2));
                let leader = field(&status, 4);
                if let (Some(own), Some(leader)) = (own, leader)
                    && own.number == leader.number
                {
                    return Ok(*address);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("etcd has no leader".to_owned())
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

/// One HTTP/2 connection.
struct Connection {
    requests: SendRequest<Bytes>,
    authority: String,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (requests, connection) = h2::client::handshake(stream)
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self {
            requests,
            authority: address.to_string(),
        })
    }

    /// One unary gRPC call; returns the message.
    async fn call(&mut self, path: &str, message: &[u8]) -> Result<Bytes, String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let request = http::Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| failed(&error))?;
        let mut requests = self
            .requests
            .clone()
            .ready()
            .await
            .map_err(|error| failed(&error))?;
        let (response, mut stream) = requests
            .send_request(request, false)
            .map_err(|error| failed(&error))?;
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).map_err(|error| failed(&error))?);
        body.put_slice(message);
        stream
            .send_data(body.freeze(), true)
            .map_err(|error| failed(&error))?;
        let mut response = response.await.map_err(|error| failed(&error))?.into_body();
        let mut answer = BytesMut::new();
        while let Some(data) = response.data().await {
            let data = data.map_err(|error| failed(&error))?;
            let _ = response.flow_control().release_capacity(data.len());
            answer.put_slice(&data);
        }
        let trailers = response.trailers().await.map_err(|error| failed(&error))?;
        let status = trailers.and_then(|trailers| trailers.get("grpc-status").cloned());
        match status {
            Some(status) if status == "0" && answer.len() >= 5 => Ok(answer.split_off(5).freeze()),
            other => Err(format!("etcd says {other:?}")),
        }
    }
}

impl Client for Connection {
    /// PutRequest: key (1), value (2).
    async fn write(&mut self, key: &[u8; 16], value: &[u8]) -> Result<(), String> {
        let mut message = Vec::with_capacity(key.len() + value.len() + 8);
        for (number, bytes) in [(1_u8, &key[..]), (2, value)] {
            message.push(number << 3 | 2);
            put_varint(&mut message, bytes.len() as u64);
            message.extend_from_slice(bytes);
        }
        self.call("/etcdserverpb.KV/Put", &message).await.map(drop)
    }
}

fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn get_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A field of a protobuf message.
struct Field<'a> {
    number: u64,
    bytes: Option<&'a [u8]>,
}

fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let tag = get_varint(&mut message)?;
        let number = get_varint(&mut message)?;
        let bytes = if tag & 7 == 2 {
            let (bytes, rest) = message.split_at_checked(usize::try_from(number).ok()?)?;
            message = rest;
            Some(bytes)
        } else {
            None
        };
        if tag >> 3 == wanted {
            return Some(Field { number, bytes });
        }
    }
    None
}

/// Measures so many clients, each on a connection of its own to the leader.
pub(crate) async fn measure(
    cluster: &Cluster,
    clients: usize,
    time: Duration,
    value: usize,
) -> Result<Row, String> {
    let pids: Vec<_> = cluster.children.iter().map(Child::id).collect();
    let leader = cluster.leader().await?;
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(leader).await?);
    }
    let local = tokio::task::LocalSet::new();
    local
        .run_until(run_clients("etcd", connections, time, value, &pids))
        .await
}
