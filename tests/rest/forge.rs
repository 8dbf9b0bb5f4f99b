//! Tokens signed with the server's own key, true or not.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::Server;

/// What a server signs with, read from its data.
pub(crate) struct Forge {
    pub(crate) kid: String,
    pkcs8: Vec<u8>,
    /// Claims of a good token of the first user.
    pub(crate) claims: Value,
}

impl Forge {
    pub(crate) fn of(server: &Server) -> Self {
        let mut registry = registry(server);
        let key = row(&mut registry, "Key").clone();
        let user = row(&mut registry, "User").clone();
        let now_s = now_s();
        let claims = json!({
            "iss": "filegrid", "aud": "filegrid", "sub": user["access_key"], "iat": now_s, "exp": now_s + 900,
            "jti": "1", "assoc": user["association"], "scope": user["scopes"],
            "sv": user["secret_version"],
        });
        Self {
            kid: key["kid"].as_str().unwrap().to_owned(),
            pkcs8: STANDARD.decode(key["pkcs8"].as_str().unwrap()).unwrap(),
            claims,
        }
    }

    /// Signs claims as the server would, under any `kid`.
    pub(crate) fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &EncodingKey::from_ed_der(&self.pkcs8)).unwrap()
    }

    /// A good token, but for some claims. A claim that becomes null is left out.
    pub(crate) fn with(&self, changes: Value) -> String {
        let mut claims = self.claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        self.sign(Some(&self.kid), &claims)
    }

    /// A token of the first user that can do less.
    pub(crate) fn scoped(&self, scope: &str) -> String {
        self.with(json!({"scope": scope}))
    }

    /// The public key, 32 bytes.
    pub(crate) fn public(&self) -> Vec<u8> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        pair.public_key().as_ref().to_vec()
    }
}

/// Base64 as tokens have it.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn now_s() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs()
}

/// The registry as the server's data has it.
pub(crate) fn registry(server: &Server) -> Value {
    let bytes = std::fs::read(server.data().join("registry.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The first row of a kind that a registry has.
pub(crate) fn row<'r>(registry: &'r mut Value, kind: &str) -> &'r mut Value {
    let mut rows = registry["rows"].as_array_mut().unwrap().iter_mut();
    rows.find_map(|row| row.get_mut(kind)).unwrap()
}

/// Has the registry changed by a command, as the command line does: it is left for the server.
pub(crate) fn change_registry(server: &Server, command: &Value) {
    let inbox = server.data().join("registry.inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    let name = now_ns();
    let fresh = inbox.join(format!("{name:020}.new"));
    std::fs::write(&fresh, command.to_string()).unwrap();
    std::fs::rename(fresh, inbox.join(format!("{name:020}.json"))).unwrap();
}

fn now_ns() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}
