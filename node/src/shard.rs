//! One shard: a core, a ring, its logs and its connections.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};

use crate::api::{Api, Prepared};
use crate::auth::{Authenticator, Login, Registrar, RegistryFile};
use crate::clock;
use crate::config::{Addresses, Config};
use crate::disk::{Disk, RealDisk};
use crate::http::exchange::{self, TOO_MANY, resume, serve_plain, serve_tls};
use crate::limits;
use crate::mailbox::{Mailbox, Sender};
use crate::metrics;
use crate::net::{Acceptor, Admission, Drain, Handoff, Handshakes, Sweeper};
use crate::ring::{self, Listener};
use crate::store::log::Position;
use crate::store::scrub::{Scrub, Scrubbed};
use crate::store::{self, Opening, Owner, OwnerRequest, Shared, Spawn, Store, SumCursor, log_directory};
use crate::tls::Tls;

/// How often the shard looks after itself.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Looks in a minute.
const EACH_MINUTE: u64 = 240;
/// Changes and bytes between two looks beyond which background work waits: a few per cent of what a shard can do.
const BUSY_CHANGES: u64 = 100;
const BUSY_BYTES: u64 = 16 << 20;
/// Looks after which sums are made in spite of that: half a minute.
const SUMS_PUT_OFF_MAX: u32 = 120;

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
    /// Certificates and sessions, if a listener needs them.
    pub tls: Option<Arc<Tls>>,
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// Connections from other shards.
    pub mailbox: Mailbox<Handoff>,
    /// The way to them.
    pub peers: Vec<Sender<Handoff>>,
    /// Set when the node is to stop.
    pub stop: Arc<AtomicBool>,
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
        tls,
        admission,
        mailbox,
        peers,
        stop,
        ..
    } = parts;
    for ((log, requests), (_, owner)) in owned.into_iter().zip(&owners) {
        tracing::debug!(log, shard = number, "owner open");
        ring::spawn(Store::serve(Rc::clone(owner), requests, Rc::clone(&spawn)));
    }
    let api = Rc::new(Api {
        store: store.clone(),
        authenticator: Authenticator::new(Arc::clone(&registry)),
        login,
        registrar: Arc::clone(&registrar),
        prepared: Arc::clone(&prepared),
        config: Arc::clone(&config),
    });
    let sweeper = Sweeper::new(config.timeouts());
    ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
    let drain = Drain::new();
    let shard = Rc::new(exchange::Shard {
        number: usize::from(number),
        sweeper: Rc::clone(&sweeper),
        drain: Rc::clone(&drain),
        peers: Rc::new(peers),
        handshakes: Handshakes::new(config.raw.handshakes_max as usize),
    });
    let acceptor = Rc::new(Acceptor {
        admission,
        drain: Rc::clone(&drain),
    });
    let http = Http { shard, api, acceptor };
    if let Err(error) = http.listen(addresses, tls) {
        let _ = opened.send(Err(error.clone()));
        return Err(error);
    }
    let _ = opened.send(Ok(Opened));
    http.take_over(mailbox);
    for (log, _) in &owners {
        let swept = store::sweep(&shared, &disk, *log).await;
        if let Err(error) = swept {
            tracing::warn!(log, %error, "cannot sweep orphans");
        }
    }
    ring::spawn(sum(store.clone()));
    if config.raw.scrub_mib_s > 0 {
        let bytes_s = (u64::from(config.raw.scrub_mib_s) << 20) / u64::from(config.shards.max(1));
        ring::spawn(scrub(store.clone(), bytes_s));
    }
    look_after(&owners, &config, &store, &stop, number, &registrar, &prepared).await;
    let cut_off = drain
        .drain(&sweeper, Duration::from_secs(config.raw.drain_s))
        .await;
    if cut_off > 0 {
        tracing::warn!(cut_off, "connections did not finish in time");
    }
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
                let serve = |socket, permit| serve_plain(Rc::clone(&shard), Rc::clone(&api), socket, permit);
                acceptor.listen(listener, TOO_MANY, serve).await;
            });
        }
        if let (Some(address), Some(tls)) = (addresses.https, tls) {
            let (shard, api) = (Rc::clone(shard), Rc::clone(api));
            let (listener, acceptor) = (bind(address)?, Rc::clone(acceptor));
            ring::spawn(async move {
                let serve = |socket, permit| {
                    serve_tls(
                        Rc::clone(&shard),
                        Rc::clone(&api),
                        Arc::clone(&tls),
                        socket,
                        permit,
                    )
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
        for tenant in parts.registry.current().tenants() {
            let association = tenant.association().key;
            if store.log_of(association.as_bytes()) == *log {
                owner
                    .ensure_root(*association.as_bytes())
                    .await
                    .map_err(|error| error.to_string())?;
            }
        }
        owners.push((*log, owner));
    }
    Ok(owners)
}

/// Housekeeping until the node is to stop or a log is fenced.
async fn look_after(
    owners: &[(u8, Rc<Owner>)],
    config: &Config,
    store: &Store,
    stop: &AtomicBool,
    number: u8,
    registrar: &Registrar,
    prepared: &Prepared,
) {
    let mut turn = 0_u64;
    while !stop.load(Ordering::Acquire) {
        ring::sleep(HOUSEKEEPING).await;
        turn += 1;
        let free = store.free_bytes().await;
        let low = free.is_some_and(|free| free < config.low_water_bytes);
        for (log, owner) in owners {
            if owner.is_fenced() {
                return;
            }
            owner.set_low_on_space(low);
            if let Err(error) = tidy(owner, turn).await {
                tracing::error!(log, %error, "housekeeping failed");
            }
        }
        if turn.is_multiple_of(EACH_MINUTE)
            && let Err(error) = store.tend_ids().await
        {
            tracing::error!(%error, "cannot get more ids: in some hours there will be none left");
        }
        if number == 0 && turn.is_multiple_of(EACH_MINUTE) {
            prepared.expire();
            tend_keys(registrar, config).await;
        }
    }
}

async fn tidy(owner: &Rc<Owner>, turn: u64) -> Result<(), store::StoreError> {
    owner.remove_dead_blobs().await;
    // Some steps at a time, so that requests come in between.
    for _ in 0..8 {
        if !owner.purge().await? {
            break;
        }
    }
    if turn.is_multiple_of(4) {
        if let Some(segment) = owner.sparse_segment() {
            let bytes = owner.compact(&segment).await?;
            tracing::info!(segment = segment.segment, bytes, "compacted a segment");
        }
        owner.free_segments()?;
    }
    Ok(())
}

async fn tend_keys(registrar: &Registrar, config: &Config) {
    let age_s = config.raw.key_rotation_days * 86_400;
    let tended = registrar.tend_keys(clock::now_s(), age_s, config.raw.token_lifetime_s);
    if let Err(error) = tended.await {
        tracing::error!(%error, "cannot rotate the signing keys");
    }
}

/// Sums files in the background: gives way to transfers, but not for ever.
async fn sum(store: Store) {
    let mut cursor = SumCursor::default();
    let mut load = Load::default();
    let mut put_off = 0;
    loop {
        ring::sleep(HOUSEKEEPING).await;
        if load.is_high() && put_off < SUMS_PUT_OFF_MAX {
            put_off += 1;
            continue;
        }
        put_off = 0;
        loop {
            match store.sum_some(&mut cursor).await {
                Ok(0) => break,
                Ok(_) => ring::yield_now().await,
                Err(store::StoreError::Fenced) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot sum files");
                    break;
                }
            }
            if load.is_high() {
                break;
            }
        }
    }
}

/// What the clients of the node do.
#[derive(Default)]
struct Load {
    changes: u64,
    bytes: u64,
}

impl Load {
    /// Whether there has been much to do since it was last asked.
    fn is_high(&mut self) -> bool {
        let changes = metrics::CHANGES.get();
        let bytes = metrics::PAYLOAD_RECEIVED.get() + metrics::PAYLOAD_SENT.get();
        let more_changes = changes - std::mem::replace(&mut self.changes, changes);
        let more_bytes = bytes - std::mem::replace(&mut self.bytes, bytes);
        more_changes > BUSY_CHANGES || more_bytes > BUSY_BYTES
    }
}

/// Verifies large files in the background, at so many bytes a second.
async fn scrub(store: Store, bytes_s: u64) {
    let mut scrub = Scrub::default();
    loop {
        let pause_ms = match store.scrub_step(&mut scrub).await {
            Ok(Scrubbed::Bytes(0)) => limits::SCRUB_LOOK_PAUSE_MS,
            Ok(Scrubbed::Bytes(read)) => read * 1000 / bytes_s.max(1),
            Ok(Scrubbed::Round) => limits::SCRUB_PAUSE_MS,
            Err(error) => {
                tracing::warn!(%error, "the scrub cannot read a file");
                limits::SCRUB_PAUSE_MS
            }
        };
        ring::sleep(Duration::from_millis(pause_ms)).await;
    }
}
