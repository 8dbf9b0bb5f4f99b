//! `/admin/associations`: tenants.

use filegrid_meta::registry::{Command, Tenant};
use filegrid_tree::{Command as TreeCommand, Protocol, TreePath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Admin, request};
use crate::error::Error;
use crate::http::exchange::Exchange;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Create {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Update {
    name: Option<String>,
    #[serde(default, deserialize_with = "request::flag")]
    enabled: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    association_key: Uuid,
    name: &'a str,
    enabled: bool,
    api_users: usize,
    ftp_accounts: usize,
}

impl Admin {
    pub(super) async fn create_association(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let Create { name } = request::read(exchange).await?;
        let key = Uuid::new_v4();
        let create = Command::CreateAssociation {
            key,
            name,
            node: Some(self.cluster.node()),
        };
        self.registrar.submit(create).await?;
        // If it ends here, the next start makes the root.
        self.commit(key, TreeCommand::CreateRoot).await?;
        self.get_association(exchange, key).await
    }

    pub(super) async fn list_associations(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let registry = self.registrar.current();
        let shown: Vec<_> = registry.tenants().map(show).collect();
        self.answer(exchange, &shown).await
    }

    pub(super) async fn get_association(&self, exchange: &mut Exchange, key: Uuid) -> Result<(), Error> {
        let registry = self.registrar.current();
        let tenant = registry.tenant(key).ok_or_else(|| missing(key))?;
        self.answer(exchange, &show(tenant)).await
    }

    pub(super) async fn update_association(&self, exchange: &mut Exchange, key: Uuid) -> Result<(), Error> {
        let Update { name, enabled } = request::read(exchange).await?;
        let update = Command::UpdateAssociation { key, name, enabled };
        self.registrar.submit(update).await?;
        self.done(exchange).await
    }

    /// Only a disabled association can be deleted, so that one slip destroys nothing and nobody is at work in it.
    pub(super) async fn delete_association(&self, exchange: &mut Exchange, key: Uuid) -> Result<(), Error> {
        let registry = self.registrar.current();
        let tenant = registry.tenant(key).ok_or_else(|| missing(key))?;
        if tenant.association().enabled {
            return Err(Error::Conflict(
                "the association is enabled: disable it first".to_owned(),
            ));
        }
        self.registrar.check_home(key.as_bytes())?;
        // Files first: if it ends here, deleting again goes on.
        let (paths, root) = (vec![TreePath::root()], TreePath::root());
        self.commit(key, TreeCommand::Delete { paths, root }).await?;
        // Of an association that it does not know the cluster takes no changes.
        self.cluster.catch_up(self.store.log_of(key.as_bytes())).await?;
        self.registrar.submit(Command::DeleteAssociation { key }).await?;
        self.done(exchange).await
    }

    async fn commit(&self, key: Uuid, command: TreeCommand) -> Result<(), Error> {
        let done = self
            .store
            .commit(*key.as_bytes(), Protocol::Api, command, Vec::new(), Vec::new());
        done.await.map(drop).map_err(Error::from)
    }
}

fn show(tenant: &Tenant) -> Shown<'_> {
    let association = tenant.association();
    Shown {
        association_key: association.key,
        name: &association.name,
        enabled: association.enabled,
        api_users: tenant.users().len(),
        ftp_accounts: tenant.accounts().len(),
    }
}

fn missing(key: Uuid) -> Error {
    Error::NotFound(format!("the association {key} does not exist"))
}
