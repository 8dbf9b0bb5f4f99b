//! The listeners of SSH and of `filegrid sftp-stdio`, and the runtime that they live on.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::run_stream;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::{mpsc, oneshot};

use super::connection::Connection;
use super::flow::Flow;
use super::host_keys::HostKeys;
use super::live::{Connections, Live};
use super::local;
use super::relayed::{self, Arrived};
use super::shards::Start;
use super::wire::Wire;
use crate::auth::Login;
use crate::cluster::Peers;
use crate::limits::{
    ACCEPT_RETRY_MS, FTP_LOGIN_FAILURE_DELAY_MS, SFTP_AUTH_TRIES_MAX_COUNT, SFTP_CHANNEL_PACKET_BYTES,
    SFTP_KEEPALIVES_MAX_COUNT, SFTP_STARTS_MAX_COUNT, SFTP_STARTS_PER_ADDRESS_MAX_COUNT, SFTP_WINDOW_BYTES,
};
use crate::mailbox::Sender;
use crate::metrics::Via;
use crate::net::{Admission, Permit};
use crate::store::log_of;

/// Ways to log in.
pub(super) const METHODS: [MethodKind; 3] = [
    MethodKind::PublicKey,
    MethodKind::Password,
    MethodKind::KeyboardInteractive,
];

/// What the operator has decided about SSH.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between connecting and the login.
    pub login_timeout: Duration,
    /// Without a byte in either direction.
    pub idle_timeout: Duration,
    /// Of silence before the client is asked whether it is there.
    pub keepalive: Duration,
    /// Whether clients may use what only old ones need.
    pub old_clients: bool,
    /// Another node that a session is passed on to may take to answer.
    pub relay_answer: Duration,
}

/// What serves SFTP is made from this.
pub struct ServerParts {
    /// `None`: there is no listener, and only `filegrid sftp-stdio` comes in.
    pub ssh: Option<Ssh>,
    /// The operator's decisions.
    pub settings: Settings,
    /// `DATA`, where `filegrid sftp-stdio` comes in.
    pub data: PathBuf,
    /// Accounts.
    pub login: Arc<Login>,
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// The way to the shards.
    pub shards: Vec<Sender<Start>>,
    /// Number of logs: they say which shard serves an association.
    pub logs: u8,
    /// The way to other nodes; `None` where there are none.
    pub peers: Option<Arc<Peers>>,
    /// Sessions that other nodes pass on.
    pub arriving: mpsc::UnboundedReceiver<Arrived>,
}

/// Where SSH is spoken.
pub struct Ssh {
    /// Where it listens.
    pub address: SocketAddr,
    /// What clients know the server by.
    pub keys: Arc<HostKeys>,
}

/// What connections share.
pub(super) struct Shared {
    pub(super) login: Arc<Login>,
    pub(super) admission: Arc<Admission>,
    pub(super) connections: Connections,
    /// Those that have not logged in are bounded by themselves: they are anybody's.
    starts: Arc<Admission>,
    config: Arc<russh::server::Config>,
    login_timeout: Duration,
    pub(super) idle_timeout: Duration,
    relay_answer: Duration,
    shards: Vec<Sender<Start>>,
    logs: u8,
    peers: Option<Arc<Peers>>,
}

impl Shared {
    /// Hands a session to the shard that owns its association, or to the node that has its files; `false` if it is not
    /// taken.
    pub(super) fn start(&self, start: Start) -> bool {
        if let Some(peers) = &self.peers {
            match self.login.registry().elsewhere(&start.client.account.association) {
                // What was passed on is not passed on again.
                Ok(Some(_)) if start.client.has_arrived => return false,
                Ok(Some(node)) => {
                    tokio::spawn(relayed::pass_on(
                        Arc::clone(peers),
                        node,
                        self.relay_answer,
                        start,
                    ));
                    return true;
                }
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        let log = usize::from(log_of(&start.client.account.association, self.logs));
        let shard = self.shards.get(log % self.shards.len().max(1));
        shard.is_some_and(|shard| shard.send(start).is_ok())
    }
}

/// What serves SFTP while it runs.
pub struct Server {
    /// Dropped to stop listening.
    stop: Option<oneshot::Sender<()>>,
    /// Dropped to end what is still there.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    ///
    /// A text that says what could not be done.
    pub fn start(parts: ServerParts) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(parts.shards.len().max(1))
            .thread_name("ssh")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let (listener, local) = {
            let _entered = runtime.enter();
            let listener = parts.ssh.as_ref().map(|ssh| {
                let address = ssh.address;
                listen(address).map_err(|error| format!("cannot listen on {address}: {error}"))
            });
            let local = local::listen(&parts.data);
            let local = local
                .map_err(|error| format!("cannot make a socket in {}: {error}", parts.data.display()))?;
            (listener.transpose()?, local)
        };
        let keys = parts
            .ssh
            .iter()
            .flat_map(|ssh| ssh.keys.shown(parts.settings.old_clients));
        let shared = Arc::new(Shared {
            config: Arc::new(config(&parts.settings, keys.collect())),
            login: parts.login,
            admission: parts.admission,
            connections: Connections::default(),
            starts: Admission::new(SFTP_STARTS_MAX_COUNT, SFTP_STARTS_PER_ADDRESS_MAX_COUNT),
            login_timeout: parts.settings.login_timeout,
            idle_timeout: parts.settings.idle_timeout,
            relay_answer: parts.settings.relay_answer,
            shards: parts.shards,
            logs: parts.logs,
            peers: parts.peers,
        });
        let arriving = parts.arriving;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("ssh".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(live(shared, (listener, local, arriving), stopped, ended));
            runtime.shutdown_background();
        });
        Ok(Self {
            stop: Some(stop),
            end: Some(end),
            thread: Some(thread.map_err(|error| format!("cannot start a thread: {error}"))?),
        })
    }

    /// Takes no more connections. Those that are there go on.
    pub fn stop_listening(&mut self) {
        self.stop.take();
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A thread that has died has said why.
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn live(
    shared: Arc<Shared>,
    (listener, local, arriving): (
        Option<TcpListener>,
        UnixListener,
        mpsc::UnboundedReceiver<Arrived>,
    ),
    mut stopped: oneshot::Receiver<()>,
    ended: oneshot::Receiver<()>,
) {
    let registry = Arc::clone(shared.login.registry());
    let accepting = async {
        tokio::select! {
            _ = &mut stopped => {}
            () = accept_ssh(&shared, listener) => {}
            () = local::accept(Arc::clone(&shared), local) => {}
            () = relayed::accept(Arc::clone(&shared), arriving) => {}
        }
        let _ = ended.await;
    };
    tokio::select! {
        () = accepting => {}
        () = shared.connections.look_after(&registry) => {}
    }
    shared.connections.cut_all();
}

async fn accept_ssh(shared: &Arc<Shared>, listener: Option<TcpListener>) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(shared, stream, peer),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn accept(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let (permit, start) = (shared.admission.admit(peer.ip()), shared.starts.admit(peer.ip()));
    let (Some(permit), Some(start)) = (permit, start) else {
        return;
    };
    let permit = permit.counted(Via::Sftp);
    // Replies are written as a whole: there is nothing to be gained by waiting.
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(shared);
    let served = serve(shared, stream, peer, permit, start);
    tokio::spawn(served);
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, permit: Permit, start: Permit) {
    let _permit = permit;
    let flow = Arc::new(Flow::default());
    let live = Live::new(Arc::clone(&flow), start);
    shared.connections.add(&live);
    let ip = peer.ip().to_canonical();
    let handler = Connection::new(Arc::clone(&shared), ip, Arc::clone(&flow), Arc::clone(&live));
    let deadline = tokio::time::Instant::now() + shared.login_timeout;
    let wire = Wire::new(stream, Arc::clone(&flow));
    let running = run_stream(Arc::clone(&shared.config), wire, handler);
    let mut running = match tokio::time::timeout_at(deadline, running).await {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => return tracing::debug!(%error, %peer, "no SSH on a connection"),
        Err(_) => return,
    };
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = tokio::time::sleep_until(deadline) => {
            let idle = async {
                if live.account().is_some() {
                    idle(&flow, shared.idle_timeout).await;
                }
            };
            tokio::select! {
                ended = &mut running => ended,
                () = idle => {
                    flow.cut();
                    running.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection of SSH has ended");
    }
}

/// Resolves when nothing was asked for or answered for so long. What keeps a connection alive is neither.
pub(super) async fn idle(flow: &Flow, timeout: Duration) {
    while let Some(rest) = timeout.checked_sub(flow.idle()) {
        tokio::time::sleep(rest + Duration::from_millis(1)).await;
    }
}

fn config(settings: &Settings, keys: Vec<PrivateKey>) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-filegrid")),
        methods: MethodSet::from(METHODS.as_slice()),
        auth_rejection_time: Duration::from_millis(FTP_LOGIN_FAILURE_DELAY_MS),
        // Clients ask so for the ways to log in.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys,
        window_size: SFTP_WINDOW_BYTES,
        maximum_packet_size: SFTP_CHANNEL_PACKET_BYTES,
        channel_buffer_size: 1,
        event_buffer_size: 2,
        preferred: preferred(settings.old_clients),
        max_auth_attempts: SFTP_AUTH_TRIES_MAX_COUNT,
        inactivity_timeout: Some(settings.idle_timeout),
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: SFTP_KEEPALIVES_MAX_COUNT,
        nodelay: true,
        ..russh::server::Config::default()
    }
}

const KEX: [kex::Name; 6] = [
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const KEX_OF_OLD_CLIENTS: [kex::Name; 3] = [kex::ECDH_SHA2_NISTP256, kex::DH_G16_SHA512, kex::DH_G14_SHA256];
const CIPHERS: [cipher::Name; 3] = [
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
];
const CIPHERS_OF_OLD_CLIENTS: [cipher::Name; 2] = [cipher::AES_256_CTR, cipher::AES_128_CTR];
const MACS: [mac::Name; 2] = [mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];
const MACS_OF_OLD_CLIENTS: [mac::Name; 2] = [mac::HMAC_SHA256, mac::HMAC_SHA512];
/// Of host keys and of keys that clients log in with.
const KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

fn preferred(old_clients: bool) -> Preferred {
    fn with<T: Clone>(some: &[T], more: &[T], old_clients: bool) -> Cow<'static, [T]> {
        let more = if old_clients { more } else { &[] };
        Cow::Owned([some, more].concat())
    }
    Preferred {
        kex: with(&KEX, &KEX_OF_OLD_CLIENTS, old_clients),
        key: Cow::Owned(KEYS.to_vec()),
        cipher: with(&CIPHERS, &CIPHERS_OF_OLD_CLIENTS, old_clients),
        mac: with(&MACS, &MACS_OF_OLD_CLIENTS, old_clients),
        compression: Cow::Owned(vec![compression::NONE]),
        ..Preferred::DEFAULT
    }
}
