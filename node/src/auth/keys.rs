//! The keys that sign tokens, Ed25519.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use filegrid_meta::registry::{Command, Registry, SigningKey};
use filegrid_meta::secret::random_text;

/// A command that publishes a new key, to sign as soon as the registry lets it.
pub(super) fn publish(registry: &Registry, now_s: u64) -> Result<Command, String> {
    let pair = Ed25519KeyPair::generate().map_err(|_| "cannot make a signing key".to_owned())?;
    let pkcs8 = pair
        .to_pkcs8v1()
        .map_err(|_| "cannot write a signing key".to_owned())?;
    let key = SigningKey {
        kid: random_text(9)?,
        public: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        pkcs8: STANDARD.encode(pkcs8.as_ref()),
        signs_from: registry.next_key_signs_from(now_s),
    };
    Ok(Command::PublishKey { key, now_s })
}

/// What is due of the keys: a new one when the newest is older than `age_s`, and the end of those that no live token
/// can be signed by.
pub(super) fn due(registry: &Registry, now_s: u64, age_s: u64, token_s: u64) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let newest = registry.keys().last();
    if newest.is_none_or(|key| key.signs_from.saturating_add(age_s) <= now_s) {
        commands.push(publish(registry, now_s)?);
    }
    let forget = Command::ForgetKeys { now_s, token_s };
    if registry
        .resolve(&forget)
        .is_ok_and(|applied| !applied.rows.is_empty())
    {
        commands.push(forget);
    }
    Ok(commands)
}

/// The pair as PKCS#8.
pub(super) fn der(key: &SigningKey) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(&key.pkcs8)
        .map_err(|_| format!("signing key {} cannot be read", key.kid))
}
