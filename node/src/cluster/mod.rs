//! The metadata cluster: a member of our own, embedded, or members elsewhere.
//!
//! A thread of its own runs what needs tokio. Shards ask it by messages and wait for answers on their own rings; nothing
//! on the way of an upload waits for it.

mod announce;
mod epoch;
mod guesses;
mod join;
mod peers;
mod registry;
mod rows;
mod session;
mod tree;
mod way;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use filegrid_meta::nodes::{Event, ListRequest, Page};
use filegrid_meta::raft::Client;
use filegrid_meta::registry::{Command, Outcome};
use filegrid_meta::serve::Serving;
use filegrid_meta::store::{Start, Store};
use filegrid_meta::wire::{Destination, Dialer, Identity, Security};
use futures::channel::oneshot;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::rows::Ask;
use self::session::Session;
use self::way::Way;
use crate::auth::{Guesses, RegistryFile};
use crate::error::Error;
use crate::limits::LIST_RETRY_S;
use crate::store::Progress;

pub use self::announce::Announcement;
pub use self::join::join;
pub use self::peers::Peers;
pub use self::tree::Tree;

/// Where the cluster is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A member of our own, alone, with its data in this directory.
    Embedded(PathBuf),
    /// Members elsewhere.
    Members {
        /// Where they are.
        members: Vec<Destination>,
        /// The node that our certificate names.
        node: Option<u64>,
        /// Name of the cluster.
        cluster: String,
        /// How connections are kept from others.
        security: Security,
    },
}

/// Who this node is.
pub struct Us {
    /// Its identity.
    pub node: u64,
    /// Number of its logs.
    pub logs: u8,
    /// This start of it.
    pub start: Start,
    /// The registry as it knows it.
    pub registry: Arc<RegistryFile>,
    /// What guards its logins.
    pub guesses: Arc<Guesses>,
    /// Where the command line leaves what it asks for.
    pub data: PathBuf,
}

/// Changes of a log, on their way to the cluster.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The log.
    pub log: u8,
    /// Sequence of the first.
    pub first: u64,
    /// With these all is told that the log had at this time, if they are all.
    pub as_of_ms: Option<i64>,
    /// The bytes of each.
    pub changes: Arc<Vec<Vec<u8>>>,
}

/// What the cluster knew of a log when it let this start of the node in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Granted {
    /// Sequence up to which it had applied the changes.
    pub applied: u64,
    /// Number of the last request to compare rows that was answered.
    pub compared: u64,
    /// Whether it had let in no start since that in which it last had what this node had, and forgotten none: else one of
    /// the two may have been restored, and the same sequence may stand for other changes.
    pub is_next: bool,
    /// Number of which this start has to make its ids: its own, unless another start has had that.
    pub number: u32,
}

/// What the cluster has said to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// It has applied all up to this sequence.
    Applied(u64),
    /// It is elsewhere: to be gone on with from this sequence.
    Gap(u64),
    /// It has let another start of this node in.
    Fenced,
    /// It could not be asked, or the outcome is unknown: to be sent again.
    Away,
    /// The node stops.
    Stopped,
}

/// What shards ask for.
enum Request {
    Entered {
        log: u8,
        reply: oneshot::Sender<Granted>,
    },
    Agreed {
        log: u8,
    },
    Number {
        patience: Duration,
        reply: oneshot::Sender<Option<u32>>,
    },
    Ship {
        batch: Batch,
        reply: oneshot::Sender<Shipped>,
    },
    Copy {
        log: u8,
        at: u64,
        change: Vec<u8>,
        reply: oneshot::Sender<Shipped>,
    },
    Jump {
        log: u8,
        from: u64,
        to: u64,
        reply: oneshot::Sender<Shipped>,
    },
    Wait {
        events: Vec<Event>,
        patience: Duration,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    List {
        request: ListRequest,
        reply: oneshot::Sender<Result<Page, Error>>,
    },
    Rows(Ask),
    Resolve {
        name: String,
        reply: oneshot::Sender<Result<SocketAddr, String>>,
    },
    Announce(Announcement),
    Register {
        command: Command,
        reply: oneshot::Sender<Result<Outcome, Error>>,
    },
}

/// The way to the cluster.
pub struct Cluster {
    node: u64,
    is_embedded: bool,
    requests: mpsc::UnboundedSender<Request>,
    /// The embedded member's machine, once it is open: read without asking anybody.
    store: Arc<OnceLock<Arc<Store>>>,
    registry: Arc<RegistryFile>,
    logs: Mutex<BTreeMap<u8, Arc<Progress>>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Dropped to stop.
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Cluster {
    /// Goes to the cluster. Does not wait for it.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(place: Place, us: Us) -> Result<Arc<Self>, String> {
        let (requests, asked) = mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let store = Arc::new(OnceLock::new());
        let (node, is_embedded) = (us.node, matches!(place, Place::Embedded(_)));
        let opened = Arc::clone(&store);
        let registry = Arc::clone(&us.registry);
        let thread = std::thread::Builder::new().name("metadata".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => {
                    let session = |way| Session::new(way, us);
                    runtime.block_on(live(place, node, session, &opened, asked, stopped))
                }
                Err(error) => Err(format!("cannot start a runtime: {error}")),
            };
            if let Err(error) = ended {
                tracing::error!(error, "the metadata member has ended");
            }
        });
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Arc::new(Self {
            node,
            is_embedded,
            requests,
            store,
            registry,
            logs: Mutex::default(),
            running: Mutex::new(Some(Running { stop, thread })),
        }))
    }

    /// Whether the member is our own.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.is_embedded
    }

    /// Whether a cluster has ever let this node in.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.registry.current().is_taken_over(self.node)
    }

    /// Whether it still runs. It ends by itself only when it cannot go on.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let running = self.running();
        running
            .as_ref()
            .is_none_or(|running| !running.thread.is_finished())
    }

    /// Stops it.
    ///
    /// # Errors
    ///
    /// If it has died.
    pub fn stop(&self) -> Result<(), String> {
        let Some(Running { stop, thread }) = self.running().take() else {
            return Ok(());
        };
        drop(stop);
        thread
            .join()
            .map_err(|_| "the metadata member has died".to_owned())
    }

    /// Associations whose files are on this node.
    #[must_use]
    pub fn associations(&self) -> Vec<[u8; 16]> {
        let registry = self.registry.current();
        let keys = registry.tenants().map(|tenant| tenant.association().key);
        keys.filter(|key| registry.is_at_home(*key, self.node))
            .map(|key| *key.as_bytes())
            .collect()
    }

    /// Makes the progress of a log known, for listings.
    pub fn adopt(&self, log: u8, progress: Arc<Progress>) {
        self.logs().insert(log, progress);
    }

    /// Waits until the cluster has let this start of the node in: what it knows of a log. `None` if the node stops first.
    pub async fn entered(&self, log: u8) -> Option<Granted> {
        self.ask(|reply| Request::Entered { log, reply }).await
    }

    /// Number of which this start has to make its ids, if the cluster says so in time: then this node has the registry as it is
    /// now, too. It is this start's own, unless this `DATA` is an older copy.
    pub async fn number(&self, patience: Duration) -> Option<u32> {
        self.ask(|reply| Request::Number { patience, reply })
            .await
            .flatten()
    }

    /// Says that the cluster has what this node has of a log, as far as it was shipped.
    pub fn agree(&self, log: u8) {
        // Without anybody who could note it, it is found out again.
        let _ = self.requests.send(Request::Agreed { log });
    }

    /// Ships changes.
    pub async fn ship(&self, batch: Batch) -> Shipped {
        let asked = self.ask(|reply| Request::Ship { batch, reply });
        asked.await.unwrap_or(Shipped::Stopped)
    }

    /// Puts rows as they are behind the sequence of a log that the cluster has applied.
    pub async fn copy(&self, log: u8, at: u64, change: Vec<u8>) -> Shipped {
        let asked = self.ask(|reply| Request::Copy {
            log,
            at,
            change,
            reply,
        });
        asked.await.unwrap_or(Shipped::Stopped)
    }

    /// Has the cluster, which has applied `from` of a log, go on behind another sequence.
    pub async fn jump(&self, log: u8, from: u64, to: u64) -> Shipped {
        let asked = self.ask(|reply| Request::Jump { log, from, to, reply });
        asked.await.unwrap_or(Shipped::Stopped)
    }

    /// Looks up the address of another node, a host and a port.
    ///
    /// # Errors
    ///
    /// A text that says why there is none.
    pub async fn resolve(&self, name: String) -> Result<SocketAddr, String> {
        let asked = self.ask(|reply| Request::Resolve { name, reply });
        asked
            .await
            .unwrap_or_else(|| Err("this node is stopping".to_owned()))
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).ok()?;
        answer.await.ok()
    }

    fn progress(&self, log: u8) -> Option<Arc<Progress>> {
        self.logs().get(&log).cloned()
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<u8, Arc<Progress>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away(why: impl std::fmt::Display) -> Error {
    Error::Unavailable {
        detail: format!("the metadata cluster cannot answer now: {why}"),
        retry_after: Duration::from_secs(LIST_RETRY_S),
    }
}

/// Opens the way to the cluster, with the member that is at its end if that is our own.
async fn open_way(place: &Place, node: u64) -> Result<(Option<Serving>, Way), String> {
    match place {
        Place::Embedded(data) => {
            let config = filegrid_meta::config::Config::embedded(data.clone());
            let serving = Serving::start(&config).await?;
            let way = Way::Here(serving.nodes().clone());
            Ok((Some(serving), way))
        }
        Place::Members {
            members,
            cluster,
            security,
            ..
        } => {
            let name = format!("{node:016x}");
            let dialer = Dialer::new(cluster, Identity::node(&name), security.clone());
            Ok((None, Way::There(Client::new(dialer, members.clone()))))
        }
    }
}

async fn live(
    place: Place,
    node: u64,
    session: impl FnOnce(Way) -> Arc<Session>,
    opened: &OnceLock<Arc<Store>>,
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), String> {
    let (serving, way) = open_way(&place, node).await?;
    if let Some(serving) = &serving {
        let _ = opened.set(Arc::clone(serving.nodes().store()));
    }
    let session = session(way);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&session).attend());
    tasks.spawn(Arc::clone(&session).attend_inbox());
    tasks.spawn(Arc::clone(&session).share_guesses());
    let ended = {
        let failed = async {
            match &serving {
                Some(serving) => serving.member().failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(failed);
        loop {
            tokio::select! {
                why = &mut failed => break Err(why),
                _ = &mut stopped => break Ok(()),
                Some(request) = requests.recv() => {
                    tasks.spawn(Arc::clone(&session).answer(request));
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    };
    // The member's log is closed when nobody holds the member any more.
    tasks.shutdown().await;
    drop(session);
    if let Some(serving) = serving {
        serving.stop().await;
    }
    ended
}
