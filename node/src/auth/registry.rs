//! Associations, API users and signing keys of this node: `DATA/registry.json`, until a cluster holds them.
//!
//! The file is replaced, never changed in place, and looked at a few times a second, so a change by another process
//! takes effect on live tokens within a second.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::SigningKey;
use super::scope::Scopes;
use super::secret;

/// How often the file is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// AssociationKey.
    pub key: Uuid,
    /// Its API users.
    pub users: Vec<ApiUser>,
}

/// A user of the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiUser {
    /// AccessKey, `AK_…`.
    pub access_key: String,
    /// Hash of the SecretKey.
    pub secret_hash: String,
    /// Rises when the secret is changed: older tokens end.
    pub secret_version: u32,
    /// Names of scopes, separated by spaces.
    pub scopes: String,
    /// Bounds all that the user sees.
    pub root: String,
    /// Whether the user may do anything.
    pub enabled: bool,
}

/// What the node knows of tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Tenants.
    pub associations: Vec<Association>,
    /// Signing keys, oldest first.
    pub keys: Vec<SigningKey>,
}

/// The keys of a new user. The secret is known here and nowhere else.
#[derive(Debug, Clone)]
pub struct FirstKeys {
    /// AssociationKey.
    pub association: Uuid,
    /// AccessKey.
    pub access_key: String,
    /// SecretKey.
    pub secret_key: String,
}

impl Registry {
    /// A registry with one association and one user who may do everything.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub fn first(now_s: u64) -> Result<(Self, FirstKeys), String> {
        let association = Association {
            key: Uuid::new_v4(),
            users: Vec::new(),
        };
        let key = association.key;
        let mut registry = Self {
            associations: vec![association],
            keys: vec![SigningKey::make(now_s)?],
        };
        let keys = registry.add_user(key, &Scopes::all(), "/")?;
        Ok((registry, keys))
    }

    /// Adds a user.
    ///
    /// # Errors
    ///
    /// If there is no such association.
    pub fn add_user(&mut self, association: Uuid, scopes: &Scopes, root: &str) -> Result<FirstKeys, String> {
        let found = self
            .associations
            .iter_mut()
            .find(|known| known.key == association);
        let found = found.ok_or_else(|| format!("there is no association {association}"))?;
        let access_key = format!("AK_{}", secret::random_text(15)?);
        let secret_key = format!("sk_{}", secret::random_text(30)?);
        found.users.push(ApiUser {
            access_key: access_key.clone(),
            secret_hash: secret::hash(&secret_key)?,
            secret_version: 1,
            scopes: scopes.to_string(),
            root: root.to_owned(),
            enabled: true,
        });
        Ok(FirstKeys {
            association,
            access_key,
            secret_key,
        })
    }

    /// A user.
    #[must_use]
    pub fn user(&self, association: &Uuid, access_key: &str) -> Option<&ApiUser> {
        let association = self.associations.iter().find(|known| known.key == *association)?;
        association
            .users
            .iter()
            .find(|user| user.access_key == access_key)
    }

    /// The key that signs now: the newest that may.
    #[must_use]
    pub fn signing_key(&self, now_s: u64) -> Option<&SigningKey> {
        self.keys
            .iter()
            .rev()
            .find(|key| key.signs_from <= now_s)
            .or_else(|| self.keys.last())
    }

    /// Publishes a new key when the newest is older than `age_s`, and drops those that no live token can be signed
    /// by. Says whether anything changed.
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn rotate(&mut self, now_s: u64, age_s: u64, token_s: u64, ahead_s: u64) -> Result<bool, String> {
        let newest = self.keys.last().map_or(0, |key| key.signs_from);
        let due = newest.saturating_add(age_s) <= now_s;
        if due {
            self.keys.push(SigningKey::make(now_s + ahead_s)?);
        }
        // A key stops signing when its successor starts; its last tokens live on for their time and the skew.
        let kept = self.keys.iter().enumerate().filter(|(at, _)| {
            self.keys
                .get(at + 1)
                .is_none_or(|next| next.signs_from + token_s + 2 * ahead_s > now_s)
        });
        let kept: Vec<_> = kept.map(|(_, key)| key.clone()).collect();
        let changed = due || kept.len() != self.keys.len();
        self.keys = kept;
        Ok(changed)
    }
}

/// The registry's file and what was last read of it.
pub struct RegistryFile {
    path: PathBuf,
    current: ArcSwap<Registry>,
    version: AtomicU64,
}

impl RegistryFile {
    /// Reads the registry, or makes it and returns its first keys.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written; says why.
    pub fn open(data: &Path, now_s: u64) -> Result<(Arc<Self>, Option<FirstKeys>), String> {
        let path = data.join("registry.json");
        let (registry, first) = match read(&path)? {
            Some(registry) => (registry, None),
            None => {
                let (registry, keys) = Registry::first(now_s)?;
                write(&path, &registry)?;
                (registry, Some(keys))
            }
        };
        let file = Self {
            path,
            current: ArcSwap::from_pointee(registry),
            version: AtomicU64::new(1),
        };
        Ok((Arc::new(file), first))
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

    /// Changes the registry, durably, against what other processes have made of it.
    ///
    /// # Errors
    ///
    /// What `change` refuses, or if the file cannot be replaced.
    pub fn change<T>(&self, change: impl FnOnce(&mut Registry) -> Result<T, String>) -> Result<T, String> {
        let done = change_file(&self.path, change)?;
        self.reload()?;
        Ok(done)
    }

    /// Looks whether the file has changed.
    ///
    /// # Errors
    ///
    /// If it cannot be read; the last good registry stays in force.
    pub fn reload(&self) -> Result<(), String> {
        let registry = read(&self.path)?.ok_or_else(|| format!("{} is gone", self.path.display()))?;
        if *self.current.load_full() != registry {
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

/// Changes the registry of a `DATA`, whether a node runs on it or not.
///
/// # Errors
///
/// What `change` refuses, or if there is no registry or it cannot be replaced.
pub(crate) fn change_file<T>(
    path: &Path,
    change: impl FnOnce(&mut Registry) -> Result<T, String>,
) -> Result<T, String> {
    let missing = || format!("there is no {}: start filegrid once", path.display());
    // Looked at first, so that a wrong `--data` is left as it is.
    if !path.exists() {
        return Err(missing());
    }
    let lock = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock);
    let lock = lock.map_err(|error| format!("cannot lock the registry: {error}"))?;
    lock.lock()
        .map_err(|error| format!("cannot lock the registry: {error}"))?;
    let mut registry = read(path)?.ok_or_else(missing)?;
    let done = change(&mut registry)?;
    write(path, &registry)?;
    Ok(done)
}

fn stamp(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.modified().ok()?))
}

fn read(path: &Path) -> Result<Option<Registry>, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{} cannot be read: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Afterwards the old or the new registry is found, whatever happens.
fn write(path: &Path, registry: &Registry) -> Result<(), String> {
    let replace = || -> std::io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec_pretty(registry)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        path.parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    replace().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
