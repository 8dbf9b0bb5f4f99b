//! The one account.

use async_trait::async_trait;
use unftp_core::auth::{AuthenticationError, Authenticator, Credentials, Principal};

/// Who may log in.
#[derive(Debug)]
pub(crate) struct Account {
    /// Name.
    pub(crate) user: String,
    /// Password, as it is.
    pub(crate) password: String,
}

#[async_trait]
impl Authenticator for Account {
    async fn authenticate(
        &self,
        username: &str,
        given: &Credentials,
    ) -> Result<Principal, AuthenticationError> {
        if username != self.user {
            return Err(AuthenticationError::BadUser);
        }
        if given.password.as_deref() != Some(self.password.as_str()) {
            return Err(AuthenticationError::BadPassword);
        }
        Ok(Principal {
            username: username.to_owned(),
        })
    }
}
