//! Changes to the registry: the cluster decides them, secrets are hashed off the shards.

use std::sync::Arc;

use filegrid_meta::registry::{Command, Outcome, Refusal, Registry, Scopes};
use filegrid_meta::secret::{self, UserKeys, new_user};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::pool::Pool;
use super::registry::RegistryFile;
use super::{keys, operator};
use crate::error::Error;
use crate::limits::REGISTRY_CHANGES_WAITING_MAX_COUNT;

/// Who decides changes of the registry.
pub trait Authority: Send + Sync {
    /// Decides a change; it is durable and in force on this node when that comes back.
    ///
    /// # Errors
    ///
    /// If the registry refuses it; [`Error::Unavailable`] if it cannot be decided now, or it is not known whether it was.
    fn register(&self, command: Command) -> BoxFuture<'_, Result<Outcome, Error>>;
}

/// Changes the registry. Shared by all shards.
pub struct Registrar {
    registry: Arc<RegistryFile>,
    authority: Arc<dyn Authority>,
    /// A thread of its own, so that a flood of logins does not hold up the change that ends it.
    pool: Pool,
}

impl Registrar {
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(registry: Arc<RegistryFile>, authority: Arc<dyn Authority>) -> Result<Arc<Self>, String> {
        let pool = Pool::start("registrar", 1, REGISTRY_CHANGES_WAITING_MAX_COUNT);
        let pool = pool.map_err(|error| error.to_string())?;
        Ok(Arc::new(Self {
            registry,
            authority,
            pool,
        }))
    }

    /// The registry as it is.
    #[must_use]
    pub fn current(&self) -> Arc<Registry> {
        self.registry.current()
    }

    /// Whether nothing may be changed, since the cluster has not been heard of for too long.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.registry.is_cut_off()
    }

    /// See [`RegistryFile::elsewhere`].
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`].
    pub fn elsewhere(&self, association: &[u8; 16]) -> Result<Option<u64>, Error> {
        self.registry.elsewhere(association)
    }

    /// See [`RegistryFile::is_drained`].
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.registry.is_drained()
    }

    /// See [`RegistryFile::check_home`].
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`].
    pub fn check_home(&self, association: &[u8; 16]) -> Result<(), Error> {
        self.registry.check_home(association)
    }

    /// Has a change decided; it is durable and in force on this node when this returns.
    ///
    /// # Errors
    ///
    /// See [`Authority::register`].
    pub async fn submit(&self, command: Command) -> Result<Outcome, Error> {
        self.authority.register(command).await
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

    /// Makes an API user with new keys.
    ///
    /// # Errors
    ///
    /// As for [`Registrar::submit`].
    pub async fn create_user(
        &self,
        association: Uuid,
        scopes: Scopes,
        root: String,
        description: String,
    ) -> Result<UserKeys, Error> {
        let make = move || new_user(association, scopes, &root, &description);
        let (command, keys) = self.pool.run(make).await?.map_err(Error::Internal)?;
        self.submit(command).await.map(|_| keys)
    }

    /// Gives an API user another SecretKey, which comes back; the one before ends.
    ///
    /// # Errors
    ///
    /// As for [`Registrar::submit`].
    pub async fn rotate_secret(&self, association: Uuid, access_key: &str) -> Result<String, Error> {
        let access_key = access_key.to_owned();
        let made = self.pool.run(move || secret::rotate(association, &access_key));
        let (command, keys) = made.await?.map_err(Error::Internal)?;
        self.submit(command).await.map(|_| keys.secret_key)
    }

    /// Demands the operator's token of an `Authorization` field.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`].
    pub fn check_operator(&self, authorization: Option<&[u8]>) -> Result<(), Error> {
        operator::check(&self.current(), authorization)
    }

    /// Does what is due of the signing keys: publishes one when the newest is older than `age_s`, forgets those that
    /// no token of `token_s` seconds can still be signed by.
    ///
    /// # Errors
    ///
    /// As for [`Registrar::submit`].
    pub async fn tend_keys(&self, now_s: u64, age_s: u64, token_s: u64) -> Result<(), Error> {
        for command in keys::due(&self.current(), now_s, age_s, token_s).map_err(Error::Internal)? {
            match self.submit(command).await {
                // Another node was quicker.
                Ok(_) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
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
