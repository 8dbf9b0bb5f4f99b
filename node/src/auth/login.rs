//! Logins: `POST /apiaccess/auth` and the public keys, without the HTTP around them, and what all logins share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::brute::Failed;
use super::pool::Pool;
use super::registry::RegistryFile;
use super::{secret, token};
use crate::clock;
use crate::error::Error;

/// What a client sends to log in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[serde(rename = "AssociationKey")]
    association: String,
    #[serde(rename = "AccessKey")]
    access_key: String,
    #[serde(rename = "SecretKey")]
    secret_key: String,
}

#[derive(Serialize)]
struct Token {
    token: String,
    expires_in: u64,
}

/// Logs API users and FTP accounts in. Shared by all shards.
pub struct Login {
    pub(super) registry: Arc<RegistryFile>,
    pool: Pool,
    failed: Mutex<Failed>,
    lifetime_s: u64,
    /// Hash of a secret that nobody has: a wrong name takes as long as a wrong secret.
    decoy: String,
}

impl Login {
    /// # Errors
    ///
    /// If no thread can be started or no decoy be hashed.
    pub fn start(
        registry: Arc<RegistryFile>,
        threads: usize,
        queue: usize,
        lifetime_s: u64,
    ) -> Result<Arc<Self>, String> {
        let pool = Pool::start("login", threads, queue).map_err(|error| error.to_string())?;
        let decoy = secret::hash(&secret::random_text(16)?)?;
        Ok(Arc::new(Self {
            registry,
            pool,
            failed: Mutex::default(),
            lifetime_s,
            decoy,
        }))
    }

    /// Answers a login with the JSON of a token.
    ///
    /// # Errors
    ///
    /// Malformed requests, wrong credentials, too many of them; a node that is cut off from the cluster.
    pub async fn login(&self, json: &[u8], peer: IpAddr) -> Result<Vec<u8>, Error> {
        self.registry.check_contact()?;
        let credentials: Credentials =
            serde_json::from_slice(json).map_err(|error| Error::BadRequest(format!("the body: {error}")))?;
        let now_s = clock::now_s();
        let attempts = format!("{}/{}", credentials.association, credentials.access_key);
        self.admit(peer, &attempts, now_s)?;
        let Some(token) = self.check(credentials, now_s).await? else {
            self.failed(peer, &attempts, now_s);
            return Err(Error::Unauthorized("the keys are not valid".to_owned()));
        };
        self.succeeded(peer, &attempts);
        serde_json::to_vec(&Token {
            token,
            expires_in: self.lifetime_s,
        })
        .map_err(|error| Error::Internal(error.to_string()))
    }

    /// The token, if the credentials are right.
    async fn check(&self, credentials: Credentials, now_s: u64) -> Result<Option<String>, Error> {
        let registry = self.registry.current();
        let association = Uuid::parse_str(&credentials.association).unwrap_or_default();
        let tenant = registry.tenant(association);
        let user = tenant
            .filter(|tenant| tenant.association().enabled)
            .and_then(|_| registry.user(association, &credentials.access_key))
            .filter(|user| user.enabled);
        let hash = user.map(|user| user.secret_hash.clone());
        let right = self.verify(credentials.secret_key, hash).await?;
        let Some(user) = user.filter(|_| right) else {
            return Ok(None);
        };
        token::sign(&registry, user, now_s, self.lifetime_s)
            .map(Some)
            .map_err(Error::Internal)
    }

    /// Whether a secret is the one behind a hash. Takes as long where there is none.
    pub(super) async fn verify(&self, text: String, hash: Option<String>) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let right = self.pool.run(move || secret::verify(&text, &hash)).await?;
        Ok(right && known)
    }

    /// Refuses an address that has to wait before it may try again.
    pub(super) fn admit(&self, peer: IpAddr, attempt: &str, now_s: u64) -> Result<(), Error> {
        match self.attempts().wait(peer, attempt, now_s) {
            None => Ok(()),
            Some(retry_after) => Err(Error::TooManyRequests {
                detail: "too many failed logins".to_owned(),
                retry_after,
            }),
        }
    }

    pub(super) fn failed(&self, peer: IpAddr, attempt: &str, now_s: u64) {
        self.attempts().failed(peer, attempt, now_s);
    }

    pub(super) fn succeeded(&self, peer: IpAddr, attempt: &str) {
        self.attempts().succeeded(peer, attempt);
    }

    fn attempts(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The JSON of the public keys.
    ///
    /// # Errors
    ///
    /// If a key cannot be read.
    pub fn jwks(&self) -> Result<Vec<u8>, Error> {
        token::jwks(&self.registry.current()).map_err(Error::Internal)
    }
}
