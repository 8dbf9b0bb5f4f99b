//! One shard: a core, a ring, its logs and its connections.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};

use crate::api::{Admin, Api, Prepared, Probes};
use crate::auth::{Authenticator, Login, Registrar, RegistryFile};
use crate::cluster::Cluster;
use crate::config::{Addresses, Config};
use crate::disk::{Disk, RealDisk};
use crate::doors::Doors;
use crate::feed::Feeder;
use crate::ftp::{self, Ftp, PublicAddresses, Sessions};
use crate::housekeeping::{Housekeeping, scrub, sum, sweep};
use crate::http::exchange::{self, TOO_MANY, resume, serve_plain, serve_tls};
use crate::mailbox::{Mailbox, Sender};
use crate::metrics::{Health, Via};
use crate::net::{Acceptor, Admission, Drain, Handoff, Handshakes, Permit, Sweeper, Timeouts};
use crate::relay::Links;
use crate::ring::{self, Listener};
use crate::sftp::{self, Sftp};
use crate::store::log::Position;
use crate::store::{Opening, Owner, OwnerRequest, Shared, Spawn, Store, log_directory};
use crate::tenants::Tenants;
use crate::tls::{NodeTls, Tls};

/// What a shard is made from.
pub struct ShardParts {
    /// Its number.
    pub number: u8,
    /// The configuration.
    pub config: Arc<Config>,
    /// What all shards share of the store.
    pub shared: Shared,
    /// Where each log was closed cleanly.
    pub closed: Option<Vec<Position>>,
    /// Its logs, with what other shards ask of them.
    pub owned: Vec<(u8, mpsc::UnboundedReceiver<OwnerRequest>)>,
    /// Tenants.
    pub registry: Arc<RegistryFile>,
    /// Issues tokens.
    pub login: Arc<Login>,
    /// Changes the registry.
    pub registrar: Arc<Registrar>,
    /// Prepared downloads.
    pub prepared: Arc<Prepared>,
    /// The metadata cluster.
    pub cluster: Arc<Cluster>,
    /// Certificates and sessions, if a listener needs them.
    pub tls: Option<Arc<Tls>>,
    /// What PASV tells.
    pub ftp_public: Arc<PublicAddresses>,
    /// Sessions of SFTP that begin.
    pub sftp: Mailbox<sftp::Start>,
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// Who may connect to the operator's API: a flood of clients does not keep the operator out.
    pub operators: Arc<Admission>,
    /// What shows nodes who they are; `None` in the clear.
    pub node_tls: Option<Arc<NodeTls>>,
    /// Connections of other nodes: each carries what clients of theirs want.
    pub nodes: Arc<Admission>,
    /// Where sessions of SFTP and SCP go that other nodes pass on.
    pub arriving: tokio::sync::mpsc::UnboundedSender<sftp::Arrived>,
    /// How the node is.
    pub health: Arc<Health>,
    /// Connections from other shards.
    pub mailbox: Mailbox<Handoff>,
    /// The way to them.
    pub peers: Vec<Sender<Handoff>>,
    /// Set when the node is to stop.
    pub stop: Arc<AtomicBool>,
    /// Shards that serve nobody any more.
    pub drained: Arc<AtomicUsize>,
}

/// Said twice: when a shard's logs are recovered, and when it listens.
pub struct Opened;

/// Runs a shard until the node stops; comes back with where its logs end.
///
/// # Errors
///
/// If the shard could not start, or its log was fenced.
pub fn run(
    parts: ShardParts,
    opened: blocking::Sender<Result<Opened, String>>,
    started: oneshot::Receiver<Addresses>,
) -> Result<Vec<(u8, Position)>, String> {
    let core = usize::from(parts.number);
    let result = ring::run(Some(core), || live(parts, opened.clone(), started));
    match result {
        Ok(done) => done,
        Err(error) => {
            let text = format!("cannot start a ring: {error}");
            let _ = opened.send(Err(text.clone()));
            Err(text)
        }
    }
}

async fn live(
    parts: ShardParts,
    opened: blocking::Sender<Result<Opened, String>>,
    started: oneshot::Receiver<Addresses>,
) -> Result<Vec<(u8, Position)>, String> {
    let disk: Rc<dyn Disk> = Rc::new(RealDisk);
    let store = Store::new(parts.shared.clone(), parts.number, Rc::clone(&disk));
    let owners = match open_owners(&parts, &store, &disk).await {
        Ok(owners) => owners,
        Err(error) => {
            let _ = opened.send(Err(error.clone()));
            return Err(error);
        }
    };
    let _ = opened.send(Ok(Opened));
    let addresses = started.await.map_err(|_| "the node did not start".to_owned())?;
    let spawn: Spawn = Rc::new(ring::spawn);
    let ShardParts {
        number,
        config,
        shared,
        owned,
        registry,
        login,
        registrar,
        prepared,
        cluster,
        tls,
        ftp_public,
        sftp,
        admission,
        operators,
        node_tls,
        nodes,
        arriving,
        health,
        mailbox,
        peers,
        stop,
        drained,
        ..
    } = parts;
    let drained = Drained(drained);
    let compare_s = config.raw.metadata_compare_s;
    let compare_every = (compare_s > 0).then_some(Duration::from_secs(compare_s));
    for (log, owner) in &owners {
        let cluster = Arc::clone(&cluster);
        let feeder = Feeder::new(Rc::clone(owner), *log, store.clone(), cluster, compare_every);
        ring::spawn(feeder.run());
    }
    ensure_roots(&owners, &store, &cluster).await?;
    for ((log, requests), (_, owner)) in owned.into_iter().zip(&owners) {
        tracing::debug!(log, shard = number, "owner open");
        ring::spawn(Store::serve(Rc::clone(owner), requests, Rc::clone(&spawn)));
    }
    let looked_after = Housekeeping {
        owners: &owners,
        store: &store,
        config: &config,
        registrar: &registrar,
        prepared: &prepared,
        health: &health,
    };
    looked_after.look_at_space().await;
    let answer = Duration::from_secs(config.raw.relay_answer_s);
    let links = Links::new(
        Arc::clone(&registry),
        Arc::clone(&cluster),
        node_tls.clone(),
        answer,
    );
    let api = Rc::new(Api {
        store: store.clone(),
        authenticator: Authenticator::new(Arc::clone(&registry)),
        login: Arc::clone(&login),
        registrar: Arc::clone(&registrar),
        prepared: Arc::clone(&prepared),
        cluster: Arc::clone(&cluster),
        links: Rc::clone(&links),
        config: Arc::clone(&config),
    });
    let tenants_of = Arc::clone(&cluster);
    let admin = Rc::new(Admin {
        store: store.clone(),
        registrar: Arc::clone(&registrar),
        cluster,
    });
    let sweeper = Sweeper::new(config.timeouts());
    ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
    let drain = Drain::new();
    let handshakes = Handshakes::new(config.raw.handshakes_max as usize);
    let shard = Rc::new(exchange::Shard {
        number: usize::from(number),
        sweeper: Rc::clone(&sweeper),
        drain: Rc::clone(&drain),
        peers: Rc::new(peers),
        handshakes: Rc::clone(&handshakes),
    });
    let clients = Arc::clone(&admission);
    let nodes = Acceptor {
        admission: nodes,
        drain: Rc::clone(&drain),
    };
    let acceptor = Rc::new(Acceptor {
        admission,
        drain: Rc::clone(&drain),
    });
    let operators = Rc::new(Acceptor {
        admission: operators,
        drain: Rc::clone(&drain),
    });
    let ftp_sweeper = Sweeper::new(config.ftp_timeouts());
    ring::spawn(Sweeper::run(Rc::downgrade(&ftp_sweeper)));
    let ftp = Rc::new(Ftp {
        store: store.clone(),
        login: Arc::clone(&login),
        links,
        tls: tls.clone(),
        settings: config.ftp.clone(),
        public: ftp_public,
        sweeper: Rc::clone(&ftp_sweeper),
        handshakes,
        drain: Rc::clone(&drain),
        sessions: Sessions::default(),
    });
    let doors = Rc::new(Doors {
        shard: Rc::clone(&shard),
        service: Rc::clone(&api),
        tls: node_tls,
        clients,
        ftp: Rc::clone(&ftp),
        sessions: arriving,
    });
    ring::spawn(Ftp::look_after(Rc::downgrade(&ftp)));
    let sessions = Rc::new(Sftp {
        store: store.clone(),
        registry: Arc::clone(&registry),
        drain: Rc::clone(&drain),
        drain_time: Duration::from_secs(config.raw.drain_s),
        keeps_partials: config.raw.keep_partial_s > 0,
    });
    ring::spawn(sessions.serve(sftp));
    let probed = listen_to_probes(
        addresses,
        &shard,
        &health,
        &operators.admission,
        config.timeouts(),
    );
    let listening = probed
        .and_then(|()| listen_to_operators(addresses, &shard, admin, operators))
        .and_then(|()| listen_to_nodes(addresses, doors, nodes))
        .and_then(|()| listen_ftp(&ftp, &acceptor, addresses));
    let http = Http { shard, api, acceptor };
    if let Err(error) = listening.and_then(|()| http.listen(addresses, tls)) {
        let _ = opened.send(Err(error.clone()));
        return Err(error);
    }
    let _ = opened.send(Ok(Opened));
    http.take_over(mailbox);
    ring::spawn(sweep(
        shared.clone(),
        Rc::clone(&disk),
        owners.iter().map(|(log, _)| *log).collect(),
    ));
    ring::spawn(sum(store.clone()));
    ring::spawn(Tenants::new(owners.clone(), tenants_of, Arc::clone(&registrar)).attend());
    if config.raw.scrub_mib_s > 0 {
        let bytes_s = (u64::from(config.raw.scrub_mib_s) << 20) / u64::from(config.shards.max(1));
        ring::spawn(scrub(store.clone(), bytes_s));
    }
    looked_after.run(number, &stop).await?;
    let cut_off = drain
        .drain(&[sweeper, ftp_sweeper], Duration::from_secs(config.raw.drain_s))
        .await;
    if cut_off > 0 {
        tracing::warn!(cut_off, "connections did not finish in time");
    }
    store.remove_abandoned().await;
    drained.wait_for_all(shared.shards).await;
    let mut closed = Vec::new();
    for (log, owner) in &owners {
        closed.push((*log, owner.close().await.map_err(|error| error.to_string())?));
    }
    Ok(closed)
}

/// What connections of HTTP are served with.
struct Http {
    shard: Rc<exchange::Shard>,
    api: Rc<Api>,
    acceptor: Rc<Acceptor>,
}

impl Http {
    fn listen(&self, addresses: Addresses, tls: Option<Arc<Tls>>) -> Result<(), String> {
        let Self { shard, api, acceptor } = self;
        if let Some(address) = addresses.http {
            let (shard, api) = (Rc::clone(shard), Rc::clone(api));
            let (listener, acceptor) = (bind(address)?, Rc::clone(acceptor));
            ring::spawn(async move {
                let serve = |socket, permit: Permit| {
                    let permit = permit.counted(Via::Http);
                    serve_plain(Rc::clone(&shard), Rc::clone(&api), socket, permit)
                };
                acceptor.listen(listener, TOO_MANY, serve).await;
            });
        }
        if let (Some(address), Some(tls)) = (addresses.https, tls) {
            let (shard, api) = (Rc::clone(shard), Rc::clone(api));
            let (listener, acceptor) = (bind(address)?, Rc::clone(acceptor));
            ring::spawn(async move {
                let serve = |socket, permit: Permit| {
                    let (shard, api) = (Rc::clone(&shard), Rc::clone(&api));
                    serve_tls(shard, api, Arc::clone(&tls), socket, permit.counted(Via::Https))
                };
                acceptor.listen(listener, b"", serve).await;
            });
        }
        Ok(())
    }

    fn take_over(self, mailbox: Mailbox<Handoff>) {
        let Self { shard, api, acceptor } = self;
        ring::spawn(async move {
            let serve = |handoff| resume(Rc::clone(&shard), Rc::clone(&api), handoff);
            acceptor.take_over(mailbox, serve).await;
        });
    }
}

fn listen_to_operators(
    addresses: Addresses,
    shard: &Rc<exchange::Shard>,
    admin: Rc<Admin>,
    acceptor: Rc<Acceptor>,
) -> Result<(), String> {
    if let Some(address) = addresses.admin {
        let (listener, shard) = (bind(address)?, Rc::clone(shard));
        ring::spawn(async move {
            let serve = |socket, permit| serve_plain(Rc::clone(&shard), Rc::clone(&admin), socket, permit);
            acceptor.listen(listener, TOO_MANY, serve).await;
        });
    }
    Ok(())
}

fn listen_to_nodes(addresses: Addresses, doors: Rc<Doors<Api>>, acceptor: Acceptor) -> Result<(), String> {
    if let Some(address) = addresses.relay {
        let listener = bind(address)?;
        ring::spawn(async move {
            let serve = |socket, permit| Rc::clone(&doors).serve(socket, permit);
            acceptor.listen(listener, b"", serve).await;
        });
    }
    Ok(())
}

/// Answers those who look after the node, also while it drains: until the ring ends.
fn listen_to_probes(
    addresses: Addresses,
    shard: &exchange::Shard,
    health: &Arc<Health>,
    admission: &Arc<Admission>,
    timeouts: Timeouts,
) -> Result<(), String> {
    let Some(address) = addresses.metrics else {
        return Ok(());
    };
    let sweeper = Sweeper::new(timeouts);
    let shard = Rc::new(exchange::Shard {
        number: shard.number,
        sweeper: Rc::clone(&sweeper),
        drain: Drain::new(),
        peers: Rc::clone(&shard.peers),
        handshakes: Rc::clone(&shard.handshakes),
    });
    let acceptor = Acceptor {
        admission: Arc::clone(admission),
        drain: Rc::clone(&shard.drain),
    };
    let (listener, health) = (bind(address)?, Arc::clone(health));
    let probes = Rc::new(Probes { health });
    ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
    ring::spawn(async move {
        let _kept = sweeper;
        let serve = |socket, permit| serve_plain(Rc::clone(&shard), Rc::clone(&probes), socket, permit);
        acceptor.listen(listener, TOO_MANY, serve).await;
    });
    Ok(())
}

fn listen_ftp(ftp: &Rc<Ftp>, acceptor: &Rc<Acceptor>, addresses: Addresses) -> Result<(), String> {
    for (address, implicit) in [(addresses.ftp, false), (addresses.ftps, true)] {
        if let Some(address) = address {
            let (ftp, acceptor, listener) = (Rc::clone(ftp), Rc::clone(acceptor), bind(address)?);
            ring::spawn(async move {
                let via = if implicit { Via::Ftps } else { Via::Ftp };
                let serve = |socket, permit: Permit| {
                    ftp::serve(Rc::clone(&ftp), socket, permit.counted(via), implicit)
                };
                acceptor
                    .listen(listener, if implicit { b"" } else { ftp::TOO_MANY }, serve)
                    .await;
            });
        }
    }
    Ok(())
}

fn bind(address: SocketAddr) -> Result<Listener, String> {
    Listener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))
}

async fn open_owners(
    parts: &ShardParts,
    store: &Store,
    disk: &Rc<dyn Disk>,
) -> Result<Vec<(u8, Rc<Owner>)>, String> {
    let mut owners = Vec::new();
    for (log, _) in &parts.owned {
        let opening = Opening {
            number: *log,
            logs: parts.shared.state.logs,
            node: parts.shared.state.node,
            starts: parts.shared.state.starts,
            ids: parts.shared.ids(*log),
            directory: log_directory(&parts.shared.data, *log),
            options: parts.config.log,
            closed: parts
                .closed
                .as_ref()
                .and_then(|closed| closed.get(usize::from(*log)).copied()),
            disk: Rc::clone(disk),
            rows: Arc::clone(&parts.shared.rows),
            pins: parts.shared.pins.of(usize::from(parts.number)),
            all_pins: parts.shared.pins.clone(),
        };
        let owner = Rc::new(Owner::open(opening).await.map_err(|error| error.to_string())?);
        ring::spawn(Rc::clone(&owner).write());
        ring::spawn(Rc::clone(&owner).run());
        store.adopt(*log, Rc::clone(&owner));
        owners.push((*log, owner));
    }
    Ok(owners)
}

async fn ensure_roots(owners: &[(u8, Rc<Owner>)], store: &Store, cluster: &Cluster) -> Result<(), String> {
    for key in cluster.associations() {
        for (_, owner) in owners.iter().filter(|(log, _)| store.log_of(&key) == *log) {
            let made = owner.ensure_root(key).await;
            made.map_err(|error| {
                let association = uuid::Uuid::from_bytes(key);
                format!("cannot make the root of {association}: {error}")
            })?;
        }
    }
    Ok(())
}

/// Counts this shard as drained when it ends, in whichever way.
struct Drained(Arc<AtomicUsize>);

impl Drop for Drained {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drained {
    /// A shard that serves nobody any more still does what the others ask of its logs.
    async fn wait_for_all(self, shards: usize) {
        let count = Arc::clone(&self.0);
        drop(self);
        while count.load(Ordering::Acquire) < shards {
            ring::sleep(Duration::from_millis(5)).await;
        }
    }
}
