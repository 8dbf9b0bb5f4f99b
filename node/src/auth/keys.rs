//! Keys that sign tokens: Ed25519, published before their first use.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::secret::random_text;

/// A signing key. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its name in tokens.
    pub kid: String,
    /// The pair as PKCS#8, Base64.
    pub pkcs8: String,
    /// When it may first sign: later than it was published.
    pub signs_from: u64,
}

impl SigningKey {
    pub(super) fn make(signs_from: u64) -> Result<Self, String> {
        let pair = Ed25519KeyPair::generate().map_err(|_| "cannot make a signing key".to_owned())?;
        let pkcs8 = pair
            .to_pkcs8v1()
            .map_err(|_| "cannot write a signing key".to_owned())?;
        Ok(Self {
            kid: random_text(9)?,
            pkcs8: STANDARD.encode(pkcs8.as_ref()),
            signs_from,
        })
    }

    pub(super) fn der(&self) -> Result<Vec<u8>, String> {
        STANDARD
            .decode(&self.pkcs8)
            .map_err(|_| format!("signing key {} cannot be read", self.kid))
    }

    /// The public half, 32 bytes, as `x` of a JWK (RFC 8037).
    pub(super) fn public(&self) -> Result<String, String> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.der()?)
            .map_err(|_| format!("signing key {} cannot be read", self.kid))?;
        Ok(URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()))
    }
}
