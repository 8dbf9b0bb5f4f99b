//! The registry as this node knows it: the cluster's, with a copy on the disk.
//!
//! A node starts with the copy and serves by it while the cluster is away. Until the cluster has taken over what a node had
//! before, the copy is the node's own.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use filegrid_meta::registry::{Registry, RowChange};
use uuid::Uuid;

use super::copy::{self, Copy};
use crate::clock;
use crate::error::Error;
use crate::limits::{CUT_OFF_RETRY_S, REGISTRY_CONFIRMED_SAVE_MS};

/// How often it is looked whether the copy is to be written anew.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// The registry, in memory and on the disk.
pub struct RegistryFile {
    current: ArcSwap<Registry>,
    version: AtomicU64,
    /// When it was last known to be the cluster's, in Unix milliseconds. On the disk it is the time of the file's last
    /// change.
    confirmed_ms: AtomicI64,
    /// The node, and how long it takes writes and logins without that.
    node: AtomicU64,
    patience_ms: AtomicI64,
    /// Held by whoever writes all of the copy, before what it has.
    writes: Mutex<()>,
    saved: Mutex<Saved>,
}

/// What the disk has.
struct Saved {
    copy: Copy,
    confirmed_ms: i64,
}

impl RegistryFile {
    /// Reads the registry, or writes `first` when there is none yet.
    ///
    /// # Errors
    ///
    /// If it cannot be read, made or written; says why.
    pub fn open(data: &Path, first: impl FnOnce() -> Result<Registry, String>) -> Result<Arc<Self>, String> {
        let (copy, registry) = Copy::open(data, first)?;
        // A clock that was set back does not lend the copy any time.
        let confirmed_ms = copy::confirmed_ms(copy.path())?.min(clock::now_ms());
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(registry),
            version: AtomicU64::new(1),
            confirmed_ms: AtomicI64::new(confirmed_ms),
            node: AtomicU64::new(0),
            patience_ms: AtomicI64::new(i64::MAX),
            writes: Mutex::default(),
            saved: Mutex::new(Saved { copy, confirmed_ms }),
        }))
    }

    /// Says which node this is, and for how long it takes writes and logins without hearing from the cluster; `None`: for
    /// ever, since the cluster is here.
    pub fn serve(&self, node: u64, patience: Option<Duration>) {
        let patience_ms = patience.map_or(i64::MAX, |patience| {
            i64::try_from(patience.as_millis()).unwrap_or(i64::MAX)
        });
        self.node.store(node, Ordering::Release);
        self.patience_ms.store(patience_ms, Ordering::Release);
    }

    /// The registry as last known.
    #[must_use]
    pub fn current(&self) -> Arc<Registry> {
        self.current.load_full()
    }

    /// Rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts another registry in force, when the copy has it. `changes` lead to it from the one that is in force;
    /// without them all of it is written. Blocks.
    pub fn put(&self, registry: Arc<Registry>, changes: Option<Vec<RowChange>>) {
        let (from, to) = (self.current.load().position(), registry.position());
        if from == to {
            return;
        }
        let writes = changes.is_none().then(|| lock(&self.writes));
        let mut saved = lock(&self.saved);
        let kept = match changes {
            Some(changes) => saved.copy.append(from, changes, to),
            None => saved.copy.replace(&registry).and_then(|()| self.note(&mut saved)),
        };
        // It holds all the same: the next look at the copy writes all of it, or says why that cannot be done.
        drop(kept);
        self.current.store(registry);
        self.version.fetch_add(1, Ordering::AcqRel);
        drop((saved, writes));
    }

    /// Notes that this is the cluster's registry now.
    pub fn confirm(&self) {
        self.confirmed_ms.store(clock::now_ms(), Ordering::Release);
    }

    /// Whether the cluster has not been heard of for so long that nothing may be changed and nobody be logged in.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let silent_ms = clock::now_ms().saturating_sub(self.confirmed_ms.load(Ordering::Acquire));
        silent_ms >= self.patience_ms.load(Ordering::Acquire)
    }

    /// Refuses what a node may not do that is cut off from the cluster.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub fn check_contact(&self) -> Result<(), Error> {
        if self.is_cut_off() {
            return Err(Error::Unavailable {
                detail: "this node has not heard from the metadata cluster for too long to let anybody in"
                    .to_owned(),
                retry_after: Duration::from_secs(CUT_OFF_RETRY_S),
            });
        }
        Ok(())
    }

    /// Whether the operator wants clients to go to other nodes.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let node = self.node.load(Ordering::Acquire);
        self.current.load().node(node).is_some_and(|node| node.drained)
    }

    /// The node that has the files of an association, if that is another.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if no node has them.
    pub fn elsewhere(&self, association: &[u8; 16]) -> Result<Option<u64>, Error> {
        let (key, registry) = (Uuid::from_bytes(*association), self.current.load());
        if registry.is_at_home(key, self.node.load(Ordering::Acquire)) {
            return Ok(None);
        }
        let home = registry.tenant(key).and_then(|tenant| tenant.association().home);
        let nowhere = || Error::Conflict("the files of this association are on no node".to_owned());
        home.map(|home| Some(home.node)).ok_or_else(nowhere)
    }

    /// Demands that the files of an association are on this node.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`], which names the node.
    pub fn check_home(&self, association: &[u8; 16]) -> Result<(), Error> {
        match self.elsewhere(association)? {
            None => Ok(()),
            Some(node) => Err(Error::Conflict(format!(
                "the files of this association are on node {node:016x}: ask that one"
            ))),
        }
    }

    /// Writes all of the copy, unless that is on the disk. Blocks.
    ///
    /// # Errors
    ///
    /// If it cannot be written; says why.
    pub fn save(&self) -> Result<(), String> {
        let _writes = lock(&self.writes);
        let mut saved = lock(&self.saved);
        if !saved.copy.is_whole() {
            saved.copy.replace(&self.current())?;
        }
        self.note(&mut saved)
    }

    /// Writes all of the copy if many changes stand behind it, while more may come.
    fn tend(&self) -> Result<(), String> {
        let _writes = lock(&self.writes);
        let due = {
            let mut saved = lock(&self.saved);
            saved.copy.is_due().then(|| {
                let registry = self.current();
                saved.copy.begin(registry.position());
                (saved.copy.path().to_owned(), registry)
            })
        };
        let is_due = due.is_some();
        if let Some((path, registry)) = due {
            let bytes = copy::write(&path, &registry)?;
            lock(&self.saved).copy.written(bytes)?;
        }
        let mut saved = lock(&self.saved);
        let confirmed_ms = self.confirmed_ms.load(Ordering::Acquire);
        if is_due || confirmed_ms - saved.confirmed_ms >= REGISTRY_CONFIRMED_SAVE_MS {
            self.note(&mut saved)?;
        }
        Ok(())
    }

    /// Notes when the copy was last known to be the cluster's registry.
    fn note(&self, saved: &mut Saved) -> Result<(), String> {
        let confirmed_ms = self.confirmed_ms.load(Ordering::Acquire);
        copy::confirm(saved.copy.path(), confirmed_ms)?;
        saved.confirmed_ms = confirmed_ms;
        Ok(())
    }

    /// Keeps the copy from growing in a thread of its own, as long as the registry is in use.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    #[allow(clippy::disallowed_methods, reason = "a plain thread, which may sleep")]
    pub fn keep(self: &Arc<Self>) -> std::io::Result<()> {
        let weak = Arc::downgrade(self);
        let keep = move || {
            let mut said = None;
            while let Some(file) = weak.upgrade() {
                let failed = file.tend().err();
                if failed != said {
                    if let Some(error) = &failed {
                        tracing::error!(error, "the copy of the registry is not kept");
                    }
                    said = failed;
                }
                drop(file);
                std::thread::sleep(SAVE_INTERVAL);
            }
        };
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(keep)
            .map(drop)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
