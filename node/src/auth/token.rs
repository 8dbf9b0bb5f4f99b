//! Tokens: EdDSA JWTs, verified once per shard and kept until they expire or the registry changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use filegrid_meta::registry::{ApiUser, Registry, Scope, Scopes};
use filegrid_meta::secret::random_text;
use filegrid_tree::TreePath;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys;
use super::registry::RegistryFile;
use crate::clock;
use crate::error::Error;
use crate::limits::{TOKEN_MAX_BYTES, TOKENS_MAX_COUNT};

/// `iss` and `aud` of every token.
const ISSUER: &str = "filegrid";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
    jti: String,
    assoc: Uuid,
    scope: String,
    /// Version of the secret that the token was had for.
    sv: u32,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The tenant.
    pub association: [u8; 16],
    /// The API user.
    pub access_key: String,
    /// What the token and the registry both allow.
    pub scopes: Scopes,
    /// All paths are below this.
    pub root: TreePath,
    expires_s: u64,
}

impl Principal {
    /// Demands a right.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] that names it.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.has(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(format!("this needs the scope {}", scope.name())))
        }
    }
}

/// Signs a token for a user.
pub(super) fn sign(
    registry: &Registry,
    user: &ApiUser,
    now_s: u64,
    lifetime_s: u64,
) -> Result<String, String> {
    let key = registry.signing_key(now_s).ok_or("there is no signing key")?;
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.kid.clone());
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: ISSUER.to_owned(),
        sub: user.access_key.clone(),
        iat: now_s,
        exp: now_s + lifetime_s,
        jti: random_text(12)?,
        assoc: user.association,
        scope: user.scopes.to_string(),
        sv: user.secret_version,
    };
    encode(&header, &claims, &EncodingKey::from_ed_der(&keys::der(key)?)).map_err(|error| error.to_string())
}

/// Checks tokens for one shard.
pub struct Authenticator {
    registry: Arc<RegistryFile>,
    /// Version of the registry that what is kept belongs to.
    version: Cell<u64>,
    known: RefCell<HashMap<Vec<u8>, Rc<Principal>>>,
}

impl Authenticator {
    /// For one shard.
    #[must_use]
    pub fn new(registry: Arc<RegistryFile>) -> Self {
        Self {
            registry,
            version: Cell::new(0),
            known: RefCell::default(),
        }
    }

    /// Who a request comes from, by its `Authorization` field.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`], which says what is wrong.
    pub fn authenticate(&self, authorization: Option<&[u8]>) -> Result<Rc<Principal>, Error> {
        let token = bearer(authorization)?;
        let version = self.registry.version();
        let now_s = clock::now_s();
        let mut known = self.known.borrow_mut();
        if self.version.replace(version) != version {
            known.clear();
        }
        if let Some(principal) = known.get(token) {
            if principal.expires_s > now_s {
                return Ok(Rc::clone(principal));
            }
            known.remove(token);
            return Err(expired());
        }
        let principal = Rc::new(self.verify(token, now_s)?);
        if known.len() >= TOKENS_MAX_COUNT {
            known.retain(|_, principal| principal.expires_s > now_s);
            if known.len() >= TOKENS_MAX_COUNT {
                known.clear();
            }
        }
        known.insert(token.to_vec(), Rc::clone(&principal));
        Ok(principal)
    }

    fn verify(&self, token: &[u8], now_s: u64) -> Result<Principal, Error> {
        let claims = verify(&self.registry.current(), token)?;
        if claims.exp <= now_s {
            return Err(expired());
        }
        let registry = self.registry.current();
        let tenant = registry.tenant(claims.assoc);
        let user = tenant
            .filter(|tenant| tenant.association().enabled)
            .and_then(|_| registry.user(claims.assoc, &claims.sub))
            .filter(|user| user.enabled && user.secret_version == claims.sv);
        let user = user.ok_or_else(|| Error::Unauthorized("the token was revoked".to_owned()))?;
        let granted = Scopes::parse(&claims.scope).map_err(|_| bad_token())?;
        let root = TreePath::parse_chroot(&user.root)
            .map_err(|error| Error::Internal(format!("the registry has a bad root: {error}")))?;
        Ok(Principal {
            association: *claims.assoc.as_bytes(),
            access_key: claims.sub,
            scopes: granted.and(user.scopes),
            root,
            expires_s: claims.exp,
        })
    }
}

/// Checks signature, algorithm, issuer, audience and times.
pub(super) fn verify(registry: &Registry, token: &[u8]) -> Result<Claims, Error> {
    let header = decode_header(token).map_err(|_| bad_token())?;
    // The algorithm is ours to choose, not the token's.
    if header.alg != Algorithm::EdDSA {
        return Err(bad_token());
    }
    let key = registry
        .keys()
        .iter()
        .find(|key| Some(&key.kid) == header.kid.as_ref())
        .ok_or_else(bad_token)?;
    let key =
        DecodingKey::from_ed_components(&key.public).map_err(|error| Error::Internal(error.to_string()))?;
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[ISSUER]);
    rules.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    // Expiry is checked against the clock of this program, so that tests can set it.
    rules.validate_exp = false;
    decode::<Claims>(token, &key, &rules)
        .map(|token| token.claims)
        .map_err(|_| bad_token())
}

/// The public keys (RFC 7517, RFC 8037).
pub(super) fn jwks(registry: &Registry) -> Result<Vec<u8>, String> {
    let keys = registry.keys().iter().map(|key| {
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.kid, "x": key.public,
        })
    });
    let keys: Vec<_> = keys.collect();
    serde_json::to_vec(&serde_json::json!({ "keys": keys })).map_err(|error| error.to_string())
}

pub(super) fn bearer(authorization: Option<&[u8]>) -> Result<&[u8], Error> {
    let value =
        authorization.ok_or_else(|| Error::Unauthorized("send Authorization: Bearer <token>".to_owned()))?;
    match value.split_at_checked(7) {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case(b"bearer ") && token.len() <= TOKEN_MAX_BYTES =>
        {
            Ok(token.trim_ascii())
        }
        _ => Err(Error::Unauthorized(
            "send Authorization: Bearer <token>".to_owned(),
        )),
    }
}

fn bad_token() -> Error {
    Error::Unauthorized("the token is not valid".to_owned())
}

fn expired() -> Error {
    Error::Unauthorized("the token has expired: log in again".to_owned())
}
