//! The registry of this node: `DATA/registry.json`, until a cluster holds it.
//!
//! The file is replaced, never changed in place, and looked at a few times a second, so a change by another process
//! takes effect on live tokens within a second.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use filegrid_meta::registry::{Command, Outcome, Registry, Row};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How often the file is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// Version of the file's layout.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    rows: Vec<Row>,
}

/// The registry's file and what was last read of it.
pub struct RegistryFile {
    path: PathBuf,
    current: ArcSwap<Registry>,
    version: AtomicU64,
    /// Held from reading the file to taking over what was read, so that an older one never follows a newer.
    reading: Mutex<()>,
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
        let file = Self {
            path,
            current: ArcSwap::from_pointee(registry),
            version: AtomicU64::new(1),
            reading: Mutex::default(),
        };
        Ok(Arc::new(file))
    }

    /// The registry as last read.
    #[must_use]
    pub fn current(&self) -> Arc<Registry> {
        self.current.load_full()
    }

    /// Rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Applies a command, durably, to what other processes have made of the registry. Blocks.
    ///
    /// # Errors
    ///
    /// If the registry refuses it, or the file cannot be replaced.
    pub fn apply(&self, command: &Command) -> Result<Outcome, Error> {
        let outcome = apply_to(&self.path, command)?;
        self.reload().map_err(Error::Disk)?;
        Ok(outcome)
    }

    /// Looks whether the file has changed.
    ///
    /// # Errors
    ///
    /// If it cannot be read; the last good registry stays in force.
    pub fn reload(&self) -> Result<(), String> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = read(&self.path)?.ok_or_else(|| format!("{} is gone", self.path.display()))?;
        if **self.current.load() != registry {
            self.current.store(Arc::new(registry));
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Watches the file in a thread of its own, as long as the registry is in use.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    #[allow(clippy::disallowed_methods, reason = "a plain thread, which may sleep")]
    pub fn watch(self: &Arc<Self>) -> std::io::Result<()> {
        let weak = Arc::downgrade(self);
        let look = move || {
            let mut seen = None;
            while let Some(file) = weak.upgrade() {
                let now = stamp(&file.path);
                if now != seen {
                    seen = now;
                    if let Err(error) = file.reload() {
                        tracing::error!(
                            error,
                            "the registry cannot be read; the last good one stays in force"
                        );
                    }
                }
                drop(file);
                std::thread::sleep(WATCH_INTERVAL);
            }
        };
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(look)
            .map(drop)
    }
}

/// The registry of a `DATA`, whether a node runs on it or not.
///
/// # Errors
///
/// If there is none, or it cannot be read.
pub(crate) fn read_data(data: &Path) -> Result<Registry, String> {
    let path = path(data);
    read(&path)?.ok_or_else(|| format!("there is no {}: start filegrid once", path.display()))
}

/// Applies a command to the registry of a `DATA`, whether a node runs on it or not.
///
/// # Errors
///
/// If the registry refuses it, or there is none or it cannot be replaced.
pub(crate) fn apply_to_data(data: &Path, command: &Command) -> Result<Outcome, Error> {
    apply_to(&path(data), command)
}

fn apply_to(path: &Path, command: &Command) -> Result<Outcome, Error> {
    let lock = || -> std::io::Result<File> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    };
    let _lock = lock().map_err(|error| Error::Disk(format!("cannot lock the registry: {error}")))?;
    let registry = read(path).map_err(Error::Disk)?;
    let mut registry = registry.ok_or_else(|| Error::Disk(format!("{} is gone", path.display())))?;
    let applied = registry.apply(command)?;
    if !applied.rows.is_empty() {
        write(path, &registry).map_err(Error::Disk)?;
    }
    Ok(applied.outcome)
}

fn path(data: &Path) -> PathBuf {
    data.join("registry.json")
}

fn stamp(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.modified().ok()?))
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
    let replace = || -> std::io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec_pretty(&content)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        path.parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    replace().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
