//! A node: its data, its shards, its end.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use filegrid_meta::secret::random_node;
use filegrid_meta::store::Start;
use futures::channel::mpsc as asynchronous;

use crate::api::Prepared;
use crate::auth::{self, First, Login, Registrar, RegistryFile};
use crate::cluster::{Announcement, Cluster, Peers, Place, Us};
use crate::config::{Addresses, Config};
use crate::disk::{Disk, RealDisk};
use crate::ftp::PublicAddresses;
use crate::ftp::state::TlsPolicy;
use crate::limits::{OPERATORS_MAX_COUNT, STARTS_PATIENCE_MS};
use crate::mailbox::{Mailbox, Sender, mailbox};
use crate::metrics::Health;
use crate::net::{Admission, Handoff};
use crate::sftp::{self, HostKeys};
use crate::shard::{self, Opened, ShardParts};
use crate::store::log::Position;
use crate::store::rows::{FjallRows, Rows};
use crate::store::{AllPins, Shared, Starts, State, log_directory};
use crate::tls::{NodeTls, Tls};
use crate::{clock, cluster, ring};

/// A shard's thread; it ends with where its logs end.
type ShardThread = std::thread::JoinHandle<Result<Vec<(u8, Position)>, String>>;

/// A node that serves.
pub struct Node {
    registry: Arc<RegistryFile>,
    starts: Arc<Starts>,
    /// Number of its logs.
    logs: u8,
    shards: Vec<ShardThread>,
    cluster: Arc<Cluster>,
    stop: Arc<AtomicBool>,
    /// Where it listens.
    pub addresses: Addresses,
    tls: Option<Arc<Tls>>,
    sftp: sftp::Server,
    host_keys: Option<Arc<HostKeys>>,
    /// Keys of the first user, at the first start.
    pub first: Option<First>,
    _lock: File,
}

impl Node {
    /// Recovers the data and starts serving. The keys that a first start makes are handed to `show` before anything
    /// else can fail, since nobody can tell them again.
    ///
    /// # Errors
    ///
    /// A text that says what to do about it.
    pub fn start(config: Config, show: impl FnOnce(&First)) -> Result<Self, String> {
        let config = Arc::new(config);
        // Nothing is made of data if it could not be served.
        drop(reserve(config.addresses)?);
        let lock = prepare_data(&config.data)?;
        let state = next_state(&config)?;
        let (registry, first) = open_registry(&config, state.node)?;
        if let Some(first) = &first {
            show(first);
        }
        registry
            .keep()
            .map_err(|error| format!("cannot keep the registry: {error}"))?;
        let login = Login::start(
            Arc::clone(&registry),
            config.raw.login_threads as usize,
            config.raw.logins_waiting_max as usize,
            config.raw.token_lifetime_s,
        )?;
        let us = Us {
            node: state.node,
            logs: state.logs,
            start: Start {
                number: state.starts,
                nonce: random_node()?,
            },
            registry: Arc::clone(&registry),
            guesses: Arc::clone(login.guesses()),
            data: config.data.clone(),
        };
        let cluster = Cluster::start(config.metadata.clone(), us)?;
        let (state, is_sure) = behind_all_starts(&config, &cluster, state)?;
        // The upper half of a random number.
        let chance = (random_node()? >> 32) as u32;
        let registrar = Registrar::start(Arc::clone(&registry), Arc::clone(&cluster) as _)?;
        let rows: Arc<dyn Rows> =
            Arc::new(FjallRows::open(&config.data.join("tree")).map_err(|error| error.to_string())?);
        let shards = usize::from(config.shards);
        let (owners, requests): (Vec<_>, Vec<_>) = (0..state.logs).map(|_| asynchronous::unbounded()).unzip();
        let (logs, closed) = (state.logs, state.closed.clone());
        let state = State {
            closed: None,
            ..state
        };
        let starts = Arc::new(Starts::new(config.data.clone(), state.clone()));
        let shared = Shared {
            state,
            chance: (!is_sure).then_some(chance),
            starts: Arc::clone(&starts),
            data: config.data.clone(),
            rows,
            pins: AllPins::new(shards),
            owners,
            shards,
            low_water_bytes: config.low_water_bytes,
        };
        let (senders, mailboxes): (Vec<Sender<Handoff>>, Vec<Mailbox<Handoff>>) =
            (0..shards).map(|_| mailbox()).unzip();
        let stop = Arc::new(AtomicBool::new(false));
        let admission = Admission::new(
            config.raw.connections_max as usize,
            config.raw.connections_per_address_max as usize,
        );
        let health = Health::new(config.log.durability, Arc::clone(&stop));
        let operators = Admission::new(OPERATORS_MAX_COUNT, OPERATORS_MAX_COUNT);
        let prepared = Arc::new(Prepared::default());
        let wanted = config.addresses;
        let explicit = wanted.ftp.is_some() && config.ftp.policy.tls != TlsPolicy::Off;
        let tls = (wanted.https.is_some() || wanted.ftps.is_some() || explicit)
            .then(|| Tls::open(&config.certificates, &config.data))
            .transpose()?;
        let ftp_public = PublicAddresses::start(config.ftp_public.clone())
            .map_err(|error| format!("cannot look names up: {error}"))?;
        let host_keys = wanted
            .sftp
            .map(|_| HostKeys::open(&config.raw.sftp_host_keys, &config.data).map(Arc::new))
            .transpose()?;
        let (sftp_senders, sftp_mailboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| mailbox()).unzip();
        let drained = Arc::new(AtomicUsize::new(0));
        let node_tls = match &config.metadata {
            Place::Members { security, .. } => NodeTls::of(security).map(Arc::new),
            Place::Embedded(_) => None,
        };
        let most = config.raw.connections_max as usize;
        let nodes = Admission::new(most, most);
        let (arriving, arrived) = tokio::sync::mpsc::unbounded_channel();
        let peers = Peers::of(&config.metadata, &registry);
        let mut requests: Vec<_> = requests.into_iter().map(Some).collect();
        let (opened, all_opened) = mpsc::channel::<Result<Opened, String>>();
        let mut threads = Vec::new();
        let mut go = Vec::new();
        for (number, (mailbox, sftp)) in mailboxes.into_iter().zip(sftp_mailboxes).enumerate() {
            let owned = (0..logs).filter(|log| usize::from(*log) % shards == number);
            let owned = owned
                .filter_map(|log| Some((log, requests.get_mut(usize::from(log))?.take()?)))
                .collect();
            let (start, started) = futures::channel::oneshot::channel();
            go.push(start);
            let parts = ShardParts {
                number: u8::try_from(number).unwrap_or(u8::MAX),
                config: Arc::clone(&config),
                shared: shared.clone(),
                closed: closed.clone(),
                owned,
                registry: Arc::clone(&registry),
                login: Arc::clone(&login),
                registrar: Arc::clone(&registrar),
                prepared: Arc::clone(&prepared),
                cluster: Arc::clone(&cluster),
                tls: tls.clone(),
                ftp_public: Arc::clone(&ftp_public),
                sftp,
                admission: Arc::clone(&admission),
                operators: Arc::clone(&operators),
                node_tls: node_tls.clone(),
                nodes: Arc::clone(&nodes),
                arriving: arriving.clone(),
                health: Arc::clone(&health),
                mailbox,
                peers: senders.clone(),
                stop: Arc::clone(&stop),
                drained: Arc::clone(&drained),
            };
            let opened = opened.clone();
            let thread = std::thread::Builder::new()
                .name(format!("shard-{number}"))
                .spawn(move || shard::run(parts, opened, started))
                .map_err(|error| format!("cannot start a shard: {error}"))?;
            threads.push(thread);
        }
        drop(opened);
        for _ in 0..shards {
            all_opened
                .recv()
                .map_err(|_| "a shard has died while it started".to_owned())??;
        }
        // From here on the logs are written to. Until now they were where the last stop left them, and a start that
        // was refused can be tried again with the same result.
        save(&config.data, &shared.state)?;
        let (addresses, reserved) = reserve(config.addresses)?;
        for start in go {
            let _ = start.send(addresses);
        }
        for _ in 0..shards {
            all_opened
                .recv()
                .map_err(|_| "a shard has died while it started".to_owned())??;
        }
        let ssh = addresses.sftp.zip(host_keys.clone());
        let sftp = sftp::Server::start(sftp::ServerParts {
            ssh: ssh.map(|(address, keys)| sftp::Ssh { address, keys }),
            settings: config.sftp.clone(),
            data: config.data.clone(),
            login,
            admission,
            shards: sftp_senders,
            logs,
            peers,
            arriving: arrived,
        })?;
        drop(reserved);
        cluster.announce(Announcement {
            relay: match (addresses.relay, &config.raw.relay_address) {
                (Some(bound), address) if address.is_empty() => bound.to_string(),
                (Some(_), address) => address.clone(),
                (None, _) => String::new(),
            },
            public_url: config.raw.public_url.trim_end_matches('/').to_owned(),
        });
        write_ports(&config.data, addresses).map_err(|error| format!("cannot write ports.json: {error}"))?;
        Ok(Self {
            registry,
            starts,
            logs,
            shards: threads,
            cluster,
            stop,
            addresses,
            tls,
            sftp,
            host_keys,
            first,
            _lock: lock,
        })
    }

    /// Stops taking connections, lets transfers in flight finish within the deadline, and closes the logs.
    ///
    /// # Errors
    ///
    /// If the data could not be closed cleanly; it is recovered at the next start.
    pub fn stop(mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Release);
        self.sftp.stop_listening();
        let mut closed = vec![Position::default(); usize::from(self.logs)];
        for shard in self.shards {
            let positions = shard.join().map_err(|_| "a shard has died".to_owned())??;
            for (log, position) in positions {
                if let Some(place) = closed.get_mut(usize::from(log)) {
                    *place = position;
                }
            }
        }
        drop(self.sftp);
        let disk: Rc<dyn Disk> = Rc::new(RealDisk);
        let saved = ring::run(None, || async move { self.starts.close(&disk, closed).await });
        saved
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        self.cluster.stop()?;
        self.registry.save()
    }

    /// Logs where it listens, and the fingerprint of a certificate that nobody has configured.
    pub fn announce(&self) {
        let Addresses {
            http,
            https,
            admin,
            metrics,
            ftp,
            ftps,
            sftp,
            relay,
        } = self.addresses;
        for (what, address) in [
            ("REST on http", http),
            ("REST on https", https),
            ("FTP on ftp", ftp),
            ("FTP on ftps", ftps),
            ("SFTP on sftp", sftp),
            ("operator's API on http", admin),
            ("metrics on http", metrics),
            ("other nodes on relay", relay),
        ] {
            if let Some(address) = address {
                tracing::info!("{what}://{address}");
            }
        }
        for (kind, fingerprint) in self.host_keys.iter().flat_map(|keys| keys.fingerprints()) {
            tracing::info!(kind, fingerprint, "host key of SFTP");
        }
        if let Some(tls) = self.tls.as_ref().filter(|tls| tls.is_self_made()) {
            let sha256 = tls.certificates().fingerprint();
            tracing::info!(
                sha256,
                "TLS with a self-made certificate: clients have to trust this fingerprint"
            );
        }
    }

    /// Reads again what can be changed without a stop: the certificates.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.certificates().reload_and_tell();
        }
    }

    /// Waits for nothing; fails if a part of the node has ended by itself.
    ///
    /// # Errors
    ///
    /// A text that says which: a shard whose log is fenced, or the metadata member.
    pub fn check(&self) -> Result<(), String> {
        if self.shards.iter().any(ShardThread::is_finished) {
            return Err("a shard has stopped: see the log above".to_owned());
        }
        if !self.sftp.is_well() {
            return Err("the listener of SFTP has stopped: see the log above".to_owned());
        }
        if !self.cluster.is_well() {
            return Err("the metadata member has stopped: see the log above".to_owned());
        }
        Ok(())
    }
}

/// The registry as this node knows it. Where there is none, it is asked of the cluster, unless that begins with this node;
/// where that has none either, one is made, and its keys come back.
fn open_registry(config: &Config, node: u64) -> Result<(Arc<RegistryFile>, Option<First>), String> {
    let (is_elsewhere, is_new) = match &config.metadata {
        Place::Embedded(meta) => (false, !meta.exists()),
        Place::Members { .. } => (true, false),
    };
    let mut first = None;
    let registry = RegistryFile::open(&config.data, || {
        let make = || auth::first_registry(clock::now_s());
        let (registry, made) = if is_new {
            make().map(|(registry, made)| (registry, Some(made)))?
        } else {
            cluster::join(&config.metadata, node, make)?
        };
        first = made;
        Ok(registry)
    })?;
    let patience = Duration::from_secs(config.raw.metadata_cut_off_s);
    registry.serve(node, is_elsewhere.then_some(patience));
    Ok((registry, first))
}

/// Makes `DATA` for its owner alone, durably, and locks it.
fn prepare_data(data: &Path) -> Result<File, String> {
    let failed = |error: std::io::Error| format!("cannot use {}: {error}", data.display());
    let data = &std::path::absolute(data).map_err(failed)?;
    let missing: Vec<_> = data.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(failed)?;
    for above in missing.iter().filter_map(|path| path.parent()) {
        let synced = File::open(above).and_then(|above| above.sync_all());
        synced.map_err(failed)?;
    }
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let lock = File::create(data.join("lock")).map_err(failed)?;
    lock.try_lock()
        .map_err(|_| format!("{} is in use by another filegrid", data.display()))?;
    Ok(lock)
}

fn save(data: &Path, state: &State) -> Result<(), String> {
    let disk: Rc<dyn Disk> = Rc::new(RealDisk);
    ring::run(None, || async move { state.save(&disk, data).await })
        .map_err(no_ring)?
        .map_err(|error| error.to_string())
}

fn no_ring(error: std::io::Error) -> String {
    format!(
        "the kernel refuses io_uring: {error}; filegrid needs it: see the sysctl kernel.io_uring_disabled, and the seccomp \
         profile if this is a container"
    )
}

/// The state of this start, durable before anything else is written.
fn next_state(config: &Config) -> Result<State, String> {
    let disk: Rc<dyn Disk> = Rc::new(RealDisk);
    let (data, logs) = (config.data.clone(), config.shards);
    let wanted = match &config.metadata {
        Place::Members { node, .. } => *node,
        Place::Embedded(_) => None,
    };
    let run = ring::run(None, || async move {
        let state = State::next(&disk, &data, logs, wanted).await?;
        for log in 0..state.logs {
            let directory = log_directory(&data, log);
            for directory in [directory.clone(), directory.join("blobs")] {
                let made = disk.create_dir(&directory).await;
                made.map_err(|error| crate::store::StoreError::disk("create", &directory, &error))?;
            }
            let synced = disk.sync_dir(&directory).await;
            synced.map_err(|error| crate::store::StoreError::disk("sync", &directory, &error))?;
        }
        let synced = disk.sync_dir(&data).await;
        synced.map_err(|error| crate::store::StoreError::disk("sync", &data, &error))?;
        Ok::<_, crate::store::StoreError>(state)
    });
    run.map_err(no_ring)?.map_err(|error| error.to_string())
}

/// The state, durable, with a number that no start has had, as far as the cluster says so in time, and whether it does: this
/// `DATA` may be an older copy. Nobody is let in by an older registry either, then. What a member of our own knows is as old as
/// the rest.
fn behind_all_starts(config: &Config, cluster: &Cluster, state: State) -> Result<(State, bool), String> {
    if cluster.is_embedded() {
        return Ok((state, true));
    }
    let patience = Duration::from_millis(STARTS_PATIENCE_MS);
    let known = futures::executor::block_on(cluster.number(patience));
    let Some(number) = known.filter(|number| *number > state.starts) else {
        return Ok((state, known.is_some()));
    };
    tracing::warn!(
        starts = state.starts,
        number,
        "another start has had this number, so this node's data is an older copy, or a copy of it has run: it goes on with ids \
         that no start has made"
    );
    let raised = state.raised(number).map_err(|error| error.to_string())?;
    let (disk, data): (Rc<dyn Disk>, _) = (Rc::new(RealDisk), config.data.clone());
    let run = ring::run(None, || async move {
        raised.save(&disk, &data).await?;
        Ok::<_, crate::store::StoreError>((raised, true))
    });
    run.map_err(no_ring)?.map_err(|error| error.to_string())
}

/// What keeps ports from others while the shards bind them.
type Reserved = Vec<OwnedFd>;

/// The addresses to listen on, some of which may have a free port now.
fn reserve(mut addresses: Addresses) -> Result<(Addresses, Reserved), String> {
    let mut all_reserved = Vec::new();
    for (_, address) in addresses.each() {
        if let Some(wanted) = *address {
            let (bound, reserved) = ring::reserve(wanted).map_err(|error| match error.kind() {
                std::io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {wanted}: another program does; stop it, or configure another address"
                ),
                _ => format!("cannot listen on {wanted}: {error}"),
            })?;
            *address = Some(bound);
            all_reserved.push(reserved);
        }
    }
    Ok((addresses, all_reserved))
}

fn write_ports(data: &Path, mut addresses: Addresses) -> std::io::Result<()> {
    let mut ports = serde_json::Map::new();
    for (name, address) in addresses.each() {
        if let Some(address) = address {
            ports.insert(name.to_owned(), address.port().into());
        }
    }
    let fresh = data.join("ports.new");
    std::fs::write(&fresh, serde_json::Value::Object(ports).to_string())?;
    std::fs::rename(fresh, data.join("ports.json"))
}
