//! Accounts by their login names.

use std::sync::Arc;

use uuid::Uuid;

use super::{Account, Association, Registry};

/// An account that a login name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The tenant.
    pub association: Arc<Association>,
    /// The account.
    pub account: Arc<Account>,
}

impl Found {
    /// Whether account and tenant are both enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.association.enabled && self.account.enabled
    }
}

impl Registry {
    /// The account behind a login name: `Username@AssociationKey`, or `Username` alone, which means the account of
    /// the association that the bare name belongs to. It may be disabled.
    #[must_use]
    pub fn lookup(&self, login: &str) -> Option<Found> {
        // A Username holds no `@`, so the one there is, if any, ends it.
        match login.split_once('@') {
            Some((username, association)) => self.account_named(Uuid::try_parse(association).ok()?, username),
            None => self.account_named(self.bare_name(login)?, login),
        }
    }

    /// Whether the files of an association are on a node. What has no home is on a node that keeps a registry of its own.
    #[must_use]
    pub fn is_at_home(&self, association: Uuid, node: u64) -> bool {
        self.tenant(association)
            .is_some_and(|tenant| match tenant.association().home {
                Some(home) => home.node == node,
                None => !self.is_taken_over(node),
            })
    }

    fn account_named(&self, association: Uuid, username: &str) -> Option<Found> {
        let tenant = self.tenant(association)?;
        Some(Found {
            association: Arc::clone(tenant.association()),
            account: Arc::clone(tenant.account_named(username)?),
        })
    }
}
