//! Changes to the registry, off the shards: a change hashes secrets and waits for the disk.

use std::sync::Arc;

use filegrid_meta::registry::{Command, Outcome, Refusal, Registry};

use super::pool::Pool;
use super::registry::RegistryFile;
use super::{keys, secret};
use crate::error::Error;
use crate::limits::REGISTRY_CHANGES_WAITING_MAX_COUNT;

/// Changes the registry. Shared by all shards.
pub struct Registrar {
    registry: Arc<RegistryFile>,
    /// A thread of its own, so that a flood of logins does not hold up the change that ends it.
    pool: Pool,
}

impl Registrar {
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(registry: Arc<RegistryFile>) -> Result<Arc<Self>, String> {
        let pool = Pool::start("registrar", 1, REGISTRY_CHANGES_WAITING_MAX_COUNT);
        let pool = pool.map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { registry, pool }))
    }

    /// The registry as it is.
    #[must_use]
    pub fn current(&self) -> Arc<Registry> {
        self.registry.current()
    }

    /// Applies a command; it is durable and in force on this node when this returns.
    ///
    /// # Errors
    ///
    /// If the registry refuses it or cannot be written, or too many wait already.
    pub async fn submit(&self, command: Command) -> Result<Outcome, Error> {
        let registry = Arc::clone(&self.registry);
        self.pool.run(move || registry.apply(&command)).await?
    }

    /// The hash of a secret.
    ///
    /// # Errors
    ///
    /// If hashing fails, or too many wait already.
    pub async fn hash(&self, text: String) -> Result<String, Error> {
        let hashed = self.pool.run(move || secret::hash(&text)).await?;
        hashed.map_err(Error::Internal)
    }

    /// Does what is due of the signing keys: publishes one when the newest is older than `age_s`, forgets those that
    /// no token of `token_s` seconds can still be signed by.
    ///
    /// # Errors
    ///
    /// As for [`Registrar::submit`].
    pub async fn tend_keys(&self, now_s: u64, age_s: u64, token_s: u64) -> Result<(), Error> {
        for command in keys::due(&self.current(), now_s, age_s, token_s).map_err(Error::Internal)? {
            self.submit(command).await?;
        }
        Ok(())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Invalid { .. } => Self::BadRequest(text),
            Refusal::NotFound(_) => Self::NotFound(text),
            Refusal::Conflict(_) => Self::Conflict(text),
        }
    }
}
