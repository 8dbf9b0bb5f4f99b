//! Logins: `POST /apiaccess/auth` and the public keys, without the HTTP around them, and what all logins share.

use std::net::IpAddr;
use std::sync::Arc;

use filegrid_meta::secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::guesses::Guesses;
use super::pool::Pool;
use super::registry::RegistryFile;
use super::token;
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
    pub(super) guesses: Arc<Guesses>,
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
            guesses: Arc::default(),
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
        let association = Uuid::parse_str(&credentials.association).unwrap_or_default();
        let guess = format!("{association}/{}", credentials.access_key);
        let guess = self.guesses.admit(peer, &guess).await?;
        let Some(token) = self.check(association, credentials, clock::now_s()).await? else {
            guess.failed();
            return Err(Error::Unauthorized("the keys are not valid".to_owned()));
        };
        guess.succeeded();
        serde_json::to_vec(&Token {
            token,
            expires_in: self.lifetime_s,
        })
        .map_err(|error| Error::Internal(error.to_string()))
    }

    /// The token, if the credentials are right.
    async fn check(
        &self,
        association: Uuid,
        credentials: Credentials,
        now_s: u64,
    ) -> Result<Option<String>, Error> {
        let registry = self.registry.current();
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

    /// What guards the logins.
    #[must_use]
    pub fn guesses(&self) -> &Arc<Guesses> {
        &self.guesses
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
