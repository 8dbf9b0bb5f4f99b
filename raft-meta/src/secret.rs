//! Secrets: made once, shown once, kept as argon2 hashes.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::registry::{Command, NewUser, Scopes, UserChange};

/// The keys of a new API user. The secret is known here and nowhere else.
#[derive(Debug, Clone)]
pub struct UserKeys {
    /// AssociationKey.
    pub association: Uuid,
    /// AccessKey.
    pub access_key: String,
    /// SecretKey.
    pub secret_key: String,
}

/// Random text of `bytes` bytes.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn random_text(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    rand::fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// A new id of a node, random, never zero.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn random_node() -> Result<u64, String> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(u64::from_be_bytes(random).max(1))
}

/// A new SecretKey.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn new_key() -> Result<String, String> {
    Ok(format!("sk_{}", random_text(30)?))
}

/// The hash of a secret, with its salt and parameters (argon2id, the crate's defaults: 19 MiB, two passes).
///
/// # Errors
///
/// If hashing fails.
pub fn hash(secret: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(secret.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// Whether a secret is the one behind a hash. Takes as long for a wrong one.
#[must_use]
pub fn verify(secret: &str, hash: &str) -> bool {
    Argon2::default().verify_password(secret.as_bytes(), hash).is_ok()
}

/// A command that makes an API user with new keys. Hashes, so it takes some 20 ms.
///
/// # Errors
///
/// If the system gives no random bytes.
pub fn new_user(
    association: Uuid,
    scopes: Scopes,
    root: &str,
    description: &str,
) -> Result<(Command, UserKeys), String> {
    let access_key = format!("AK_{}", random_text(15)?);
    let secret_key = new_key()?;
    let user = NewUser {
        access_key: access_key.clone(),
        secret_hash: hash(&secret_key)?,
        scopes,
        root: root.to_owned(),
        description: description.to_owned(),
    };
    let keys = UserKeys {
        association,
        access_key,
        secret_key,
    };
    Ok((Command::CreateUser { association, user }, keys))
}

/// A command that gives an API user another SecretKey, which comes back. Hashes too.
///
/// # Errors
///
/// If the system gives no random bytes.
pub fn rotate(association: Uuid, access_key: &str) -> Result<(Command, UserKeys), String> {
    let secret_key = new_key()?;
    let change = UserChange {
        secret_hash: Some(hash(&secret_key)?),
        ..UserChange::default()
    };
    let keys = UserKeys {
        association,
        access_key: access_key.to_owned(),
        secret_key,
    };
    let command = Command::UpdateUser {
        association,
        access_key: access_key.to_owned(),
        change,
    };
    Ok((command, keys))
}
