//! The token that requests carry, and where it comes from.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use crate::failure::Failure;
use crate::http::Sink;

/// What logs an API user in.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `AssociationKey`.
    pub association: String,
    /// `AccessKey`.
    pub access: String,
    /// `SecretKey`.
    pub secret: String,
}

/// The token in force. All connections read it for each request.
#[derive(Debug, Default)]
pub struct Token(RwLock<Arc<str>>);

impl Token {
    /// One that does not change.
    #[must_use]
    pub fn fixed(text: &str) -> Self {
        Self(RwLock::new(text.into()))
    }

    /// As it is now.
    #[must_use]
    pub fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, text: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// Logs in and keeps the token; the time for which it is good.
    ///
    /// # Errors
    ///
    /// As the server has them.
    pub async fn renew(&self, client: &mut Client, keys: &Keys) -> Result<Duration, Failure> {
        let body = json!({
            "AssociationKey": keys.association,
            "AccessKey": keys.access,
            "SecretKey": keys.secret,
        });
        let mut sink = Sink::Keep(Vec::new());
        let asked = client.ask("/apiaccess/auth", &body, &mut sink).await;
        asked.map_err(|failure| failure.while_doing("logging in"))?;
        let answer: Value = serde_json::from_slice(sink.kept()).unwrap_or_default();
        let token = answer.get("token").and_then(Value::as_str);
        let token = token.ok_or_else(|| Failure::malformed("logging in: there is no token in the answer"))?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::malformed(
                "logging in: the token has letters that no header can have",
            ));
        }
        self.set(token);
        // A server that does not say is taken for one with the usual 15 minutes.
        let seconds = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(900);
        Ok(Duration::from_secs(seconds))
    }
}
