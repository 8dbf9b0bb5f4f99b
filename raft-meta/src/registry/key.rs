//! Keys that sign tokens.

use serde::{Deserialize, Serialize};

/// A signing key, Ed25519. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its name in tokens.
    pub kid: String,
    /// The public half, 32 bytes in Base64url without padding: `x` of a JWK (RFC 8037).
    pub public: String,
    /// The pair as PKCS#8 in Base64.
    pub pkcs8: String,
    /// When it may first sign: later than it was published, but for the first of a cluster.
    pub signs_from: u64,
}
