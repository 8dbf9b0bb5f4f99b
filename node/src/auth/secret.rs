//! Secrets: made once, shown once, kept as argon2 hashes.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random text of `bytes` bytes.
///
/// # Errors
///
/// If the system has no randomness to give.
pub(super) fn random_text(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    rand::fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// A new SecretKey.
///
/// # Errors
///
/// If the system has no randomness to give.
pub(super) fn new_key() -> Result<String, String> {
    Ok(format!("sk_{}", random_text(30)?))
}

/// The hash of a secret, with its salt and parameters (argon2id, the crate's defaults: 19 MiB, two passes).
///
/// # Errors
///
/// If hashing fails.
pub(super) fn hash(secret: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(secret.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// Whether a secret is the one behind a hash. Takes as long for a wrong one.
pub(super) fn verify(secret: &str, hash: &str) -> bool {
    Argon2::default().verify_password(secret.as_bytes(), hash).is_ok()
}
