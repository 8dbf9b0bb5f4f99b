//! Rules of tenants.

use uuid::Uuid;

use super::{Applied, check_text, done, replaced};
use crate::limits::ASSOCIATIONS_MAX_COUNT;
use crate::registry::{Association, Home, Refusal, Registry, Row, RowChange, RowKey, Tenant};

impl Registry {
    pub(super) fn tenant_or_refuse(&self, key: Uuid) -> Result<&Tenant, Refusal> {
        self.tenant(key)
            .ok_or_else(|| Refusal::NotFound(format!("the association {key}")))
    }

    pub(super) fn create_association(
        &self,
        key: Uuid,
        name: &str,
        node: Option<u64>,
    ) -> Result<Applied, Refusal> {
        check_text("Name", name)?;
        // The tree keeps the roots of associations under this id.
        if key.is_nil() {
            return Err(Refusal::invalid("AssociationKey", "may not be all zero"));
        }
        if self.tenant(key).is_some() {
            return Err(Refusal::Conflict(format!(
                "there is an association {key} already"
            )));
        }
        if self.tenants().len() >= ASSOCIATIONS_MAX_COUNT {
            return Err(Refusal::Conflict(format!(
                "there are {ASSOCIATIONS_MAX_COUNT} associations, the most there may be"
            )));
        }
        node.map_or(Ok(()), |node| self.check_takes(node))?;
        Ok(done(vec![RowChange::Put(Row::Association(Association {
            key,
            name: name.to_owned(),
            enabled: true,
            retired: false,
            next_account: 1,
            home: node.map(|node| Home { node, generation: 1 }),
        }))]))
    }

    pub(super) fn update_association(
        &self,
        key: Uuid,
        name: Option<&str>,
        enabled: Option<bool>,
    ) -> Result<Applied, Refusal> {
        let old = &**self.tenant_or_refuse(key)?.association();
        let mut new = old.clone();
        if let Some(name) = name {
            check_text("Name", name)?;
            name.clone_into(&mut new.name);
        }
        new.enabled = enabled.unwrap_or(old.enabled);
        if new.enabled && old.retired {
            return Err(Refusal::Conflict(format!(
                "the association {key} is being deleted: it cannot be enabled any more"
            )));
        }
        Ok(done(replaced(old, new, Row::Association)))
    }

    /// Only one that is disabled, so that one slip destroys nothing and nobody is at work in it.
    pub(super) fn retire_association(&self, key: Uuid) -> Result<Applied, Refusal> {
        let old = &**self.tenant_or_refuse(key)?.association();
        if old.enabled {
            return Err(Refusal::Conflict(format!(
                "the association {key} is enabled: disable it first"
            )));
        }
        let mut new = old.clone();
        new.retired = true;
        Ok(done(replaced(old, new, Row::Association)))
    }

    pub(super) fn delete_association(&self, key: Uuid) -> Result<Applied, Refusal> {
        let tenant = self.tenant_or_refuse(key)?;
        let names = self.bare_names_of(key).cloned().map(RowKey::BareName);
        let users = tenant
            .users()
            .map(|user| RowKey::User(key, user.access_key.clone()));
        let accounts = tenant.accounts().map(|account| RowKey::Account(key, account.id));
        let own = names
            .chain(users)
            .chain(accounts)
            .chain([RowKey::Association(key)]);
        Ok(done(own.map(RowChange::Remove).collect()))
    }

    pub(super) fn place(&self, key: Uuid, node: u64, from: u64) -> Result<Applied, Refusal> {
        let old = &**self.tenant_or_refuse(key)?.association();
        let generation = old.home.map_or(0, |home| home.generation);
        if generation != from {
            return Err(Refusal::Conflict(format!(
                "the association {key} has moved meanwhile: generation {generation}, not {from}"
            )));
        }
        if old.home.is_some_and(|home| home.node == node) {
            return Ok(done(Vec::new()));
        }
        self.check_takes(node)?;
        let mut new = old.clone();
        new.home = Some(Home {
            node,
            generation: generation + 1,
        });
        Ok(done(replaced(old, new, Row::Association)))
    }
}
