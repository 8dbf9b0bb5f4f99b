//! The registry as this node knows it: the cluster's, with a copy in `DATA/registry.json`.
//!
//! A node starts with the copy and serves by it while the cluster is away. Until the cluster has taken over what a node had
//! before, the file is the node's own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use filegrid_meta::registry::{Registry, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;
use crate::error::Error;
use crate::limits::{
    CUT_OFF_RETRY_S, REGISTRY_CONFIRMED_SAVE_MS, REGISTRY_SAVE_REST_FACTOR, REGISTRY_SAVE_REST_MAX_MS,
};
use crate::private;

/// How often it is looked whether the copy is behind. One that is large is written less often: see
/// [`REGISTRY_SAVE_REST_FACTOR`].
const SAVE_INTERVAL: Duration = Duration::from_millis(100);
/// Version of the file's layout.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    rows: Vec<Row>,
}

/// The registry, in memory and as a file.
pub struct RegistryFile {
    path: PathBuf,
    current: ArcSwap<Registry>,
    version: AtomicU64,
    /// When it was last known to be the cluster's, in Unix milliseconds. In the file it is the time of its last change.
    confirmed_ms: AtomicI64,
    /// The node, and how long it takes writes and logins without that.
    node: AtomicU64,
    patience_ms: AtomicI64,
    saved: Mutex<Saved>,
}

/// What the file has.
struct Saved {
    registry: Arc<Registry>,
    confirmed_ms: i64,
}

impl RegistryFile {
    /// Reads the registry, or writes `first` when there is none yet.
    ///
    /// # Errors
    ///
    /// If it cannot be read, made or written; says why.
    pub fn open(data: &Path, first: impl FnOnce() -> Result<Registry, String>) -> Result<Arc<Self>, String> {
        let path = path(data);
        let registry = match read(&path)? {
            Some(registry) => registry,
            None => {
                let registry = first()?;
                write(&path, &registry)?;
                registry
            }
        };
        let registry = Arc::new(registry);
        // A clock that was set back does not lend the copy any time.
        let confirmed_ms = changed_ms(&path)?.min(clock::now_ms());
        Ok(Arc::new(Self {
            path,
            current: ArcSwap::new(Arc::clone(&registry)),
            version: AtomicU64::new(1),
            confirmed_ms: AtomicI64::new(confirmed_ms),
            node: AtomicU64::new(0),
            patience_ms: AtomicI64::new(i64::MAX),
            saved: Mutex::new(Saved {
                registry,
                confirmed_ms,
            }),
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

    /// Puts another registry in force. The file follows by itself.
    pub fn put(&self, registry: Arc<Registry>) {
        if self.current.load().position() != registry.position() {
            self.current.store(registry);
            self.version.fetch_add(1, Ordering::AcqRel);
        }
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

    /// Brings the file up to date. Blocks.
    ///
    /// # Errors
    ///
    /// If it cannot be written; says why.
    pub fn save(&self) -> Result<(), String> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        let confirmed_ms = self.confirmed_ms.load(Ordering::Acquire);
        let is_new = !Arc::ptr_eq(&saved.registry, &current);
        if is_new {
            write(&self.path, &current)?;
            saved.registry = current;
        }
        if is_new || confirmed_ms - saved.confirmed_ms >= REGISTRY_CONFIRMED_SAVE_MS {
            confirm(&self.path, confirmed_ms)?;
            saved.confirmed_ms = confirmed_ms;
        }
        Ok(())
    }

    /// Keeps the file up to date in a thread of its own, as long as the registry is in use.
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
                let begun = clock::monotonic();
                let failed = file.save().err();
                if failed != said {
                    if let Some(error) = &failed {
                        tracing::error!(error, "the copy of the registry is not kept");
                    }
                    said = failed;
                }
                drop(file);
                let rest = begun.elapsed() * REGISTRY_SAVE_REST_FACTOR;
                let rest = rest.min(Duration::from_millis(REGISTRY_SAVE_REST_MAX_MS));
                std::thread::sleep(rest.max(SAVE_INTERVAL));
            }
        };
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(keep)
            .map(drop)
    }
}

/// Whether a `DATA` has a registry.
///
/// # Errors
///
/// If that cannot be told.
pub fn has_registry(data: &Path) -> Result<bool, String> {
    let path = path(data);
    let known = path.try_exists();
    known.map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The registry of a `DATA` as its node knew it last.
///
/// # Errors
///
/// If there is none, or it cannot be read.
pub(crate) fn read_data(data: &Path) -> Result<Registry, String> {
    let path = path(data);
    read(&path)?.ok_or_else(|| format!("there is no {}: start filegrid once", path.display()))
}

fn path(data: &Path) -> PathBuf {
    data.join("registry.json")
}

fn changed_ms(path: &Path) -> Result<i64, String> {
    let changed = std::fs::metadata(path).and_then(|about| about.modified());
    let changed = changed.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn confirm(path: &Path, confirmed_ms: i64) -> Result<(), String> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(confirmed_ms).unwrap_or(0));
    let noted = File::options().write(true).open(path);
    let noted = noted.and_then(|file| file.set_modified(time));
    noted.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn read(path: &Path) -> Result<Option<Registry>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let content: Content = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    if content.format != FORMAT {
        let format = content.format;
        return Err(unreadable(&format_args!(
            "it is of format {format}, this program reads format {FORMAT}"
        )));
    }
    Ok(Some(content.rows.into_iter().collect()))
}

/// Afterwards the old or the new registry is found, whatever happens.
fn write(path: &Path, registry: &Registry) -> Result<(), String> {
    let content = Content {
        format: FORMAT,
        rows: registry.rows().collect(),
    };
    let replaced = serde_json::to_vec_pretty(&content)
        .map_err(std::io::Error::from)
        .and_then(|bytes| private::replace(path, &bytes));
    replaced.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
