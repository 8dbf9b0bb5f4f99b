//! Rules of API users.

use uuid::Uuid;

use super::{Applied, bound, check_hash, check_text, done, replaced};
use crate::limits::{ACCESS_KEY_MAX_BYTES, USERS_MAX_COUNT};
use crate::registry::{ApiUser, NewUser, Refusal, Registry, Row, RowChange, RowKey, UserChange};

impl Registry {
    pub(super) fn create_user(&self, association: Uuid, user: &NewUser) -> Result<Applied, Refusal> {
        let tenant = self.tenant_or_refuse(association)?;
        let key = &user.access_key;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !key.starts_with("AK_") || key.len() > ACCESS_KEY_MAX_BYTES || !key.bytes().all(plain) {
            let reason = format!(
                "is AK_ followed by letters, digits, - or _, at most {ACCESS_KEY_MAX_BYTES} bytes in all"
            );
            return Err(Refusal::invalid("AccessKey", reason));
        }
        if self.user(association, key).is_some() {
            return Err(Refusal::Conflict(format!("there is an API user {key} already")));
        }
        if tenant.users().len() >= USERS_MAX_COUNT {
            return Err(Refusal::Conflict(format!(
                "the association has {USERS_MAX_COUNT} API users, the most there may be"
            )));
        }
        check_hash("SecretKey", &user.secret_hash)?;
        check_text("Description", &user.description)?;
        Ok(done(vec![RowChange::Put(Row::User(ApiUser {
            association,
            access_key: key.clone(),
            secret_hash: user.secret_hash.clone(),
            secret_version: 1,
            scopes: user.scopes,
            root: bound("Root", &user.root)?,
            description: user.description.clone(),
            enabled: true,
        }))]))
    }

    pub(super) fn update_user(
        &self,
        association: Uuid,
        access_key: &str,
        change: &UserChange,
    ) -> Result<Applied, Refusal> {
        let old = self.user_or_refuse(association, access_key)?;
        let mut new = old.clone();
        if let Some(hash) = &change.secret_hash {
            check_hash("SecretKey", hash)?;
            new.secret_hash.clone_from(hash);
            new.secret_version += 1;
        }
        if let Some(root) = &change.root {
            new.root = bound("Root", root)?;
        }
        if let Some(description) = &change.description {
            check_text("Description", description)?;
            new.description.clone_from(description);
        }
        new.scopes = change.scopes.unwrap_or(old.scopes);
        new.enabled = change.enabled.unwrap_or(old.enabled);
        Ok(done(replaced(old, new, Row::User)))
    }

    pub(super) fn delete_user(&self, association: Uuid, access_key: &str) -> Result<Applied, Refusal> {
        self.user_or_refuse(association, access_key)?;
        let key = RowKey::User(association, access_key.to_owned());
        Ok(done(vec![RowChange::Remove(key)]))
    }

    fn user_or_refuse(&self, association: Uuid, access_key: &str) -> Result<&ApiUser, Refusal> {
        self.tenant_or_refuse(association)?;
        self.user(association, access_key)
            .map(|user| &**user)
            .ok_or_else(|| Refusal::NotFound(format!("the API user {access_key}")))
    }
}
