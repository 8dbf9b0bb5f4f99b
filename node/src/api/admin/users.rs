//! `/admin/associations/KEY/users`: API users.

use filegrid_meta::registry::{ApiUser, Command, Scopes, UserChange};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Admin, request};
use crate::error::Error;
use crate::http::exchange::Exchange;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Create {
    scopes: Scopes,
    #[serde(default)]
    root: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Update {
    scopes: Option<Scopes>,
    root: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "request::flag")]
    enabled: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    access_key: &'a str,
    scopes: Scopes,
    root: &'a str,
    description: &'a str,
    enabled: bool,
}

/// The only time that a secret is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keys<'a> {
    association_key: Uuid,
    access_key: &'a str,
    secret_key: &'a str,
}

impl Admin {
    pub(super) async fn create_user(&self, exchange: &mut Exchange, association: Uuid) -> Result<(), Error> {
        let wanted: Create = request::read(exchange).await?;
        let made = self
            .registrar
            .create_user(association, wanted.scopes, wanted.root, wanted.description);
        let made = made.await?;
        let keys = Keys {
            association_key: association,
            access_key: &made.access_key,
            secret_key: &made.secret_key,
        };
        self.answer(exchange, &keys).await
    }

    pub(super) async fn list_users(&self, exchange: &mut Exchange, association: Uuid) -> Result<(), Error> {
        let registry = self.registrar.current();
        let tenant = registry
            .tenant(association)
            .ok_or_else(|| Error::NotFound(format!("the association {association} does not exist")))?;
        let shown: Vec<_> = tenant.users().map(|user| show(user)).collect();
        self.answer(exchange, &shown).await
    }

    pub(super) async fn get_user(
        &self,
        exchange: &mut Exchange,
        association: Uuid,
        access_key: &str,
    ) -> Result<(), Error> {
        let registry = self.registrar.current();
        let user = registry
            .user(association, access_key)
            .ok_or_else(|| Error::NotFound(format!("the API user {access_key} does not exist")))?;
        self.answer(exchange, &show(user)).await
    }

    pub(super) async fn update_user(
        &self,
        exchange: &mut Exchange,
        association: Uuid,
        access_key: &str,
    ) -> Result<(), Error> {
        let wanted: Update = request::read(exchange).await?;
        let change = UserChange {
            secret_hash: None,
            scopes: wanted.scopes,
            root: wanted.root,
            description: wanted.description,
            enabled: wanted.enabled,
        };
        let access_key = access_key.to_owned();
        let update = Command::UpdateUser {
            association,
            access_key,
            change,
        };
        self.registrar.submit(update).await?;
        self.done(exchange).await
    }

    pub(super) async fn rotate_secret(
        &self,
        exchange: &mut Exchange,
        association: Uuid,
        access_key: &str,
    ) -> Result<(), Error> {
        let secret = self.registrar.rotate_secret(association, access_key).await?;
        let keys = Keys {
            association_key: association,
            access_key,
            secret_key: &secret,
        };
        self.answer(exchange, &keys).await
    }

    pub(super) async fn delete_user(
        &self,
        exchange: &mut Exchange,
        association: Uuid,
        access_key: &str,
    ) -> Result<(), Error> {
        let access_key = access_key.to_owned();
        let delete = Command::DeleteUser {
            association,
            access_key,
        };
        self.registrar.submit(delete).await?;
        self.done(exchange).await
    }
}

fn show(user: &ApiUser) -> Shown<'_> {
    Shown {
        access_key: &user.access_key,
        scopes: user.scopes,
        root: &user.root,
        description: &user.description,
        enabled: user.enabled,
    }
}
