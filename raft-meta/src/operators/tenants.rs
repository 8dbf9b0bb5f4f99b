//! Pages of associations, API users and FTP accounts, as operators are shown them: without secrets.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::OPERATOR_PAGE_MAX_COUNT;
use crate::registry::{Access, Account, ApiUser, Home, Registry, Scopes, Tenant};

/// Asks for a page, strictly behind what the page before ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantsRequest {
    /// Whose users or accounts; `None` for associations.
    pub association: Option<Uuid>,
    /// Where to go on.
    pub after: TenantsAfter,
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TenantsAfter {
    /// Associations behind this AssociationKey.
    Association(Option<Uuid>),
    /// API users behind this AccessKey.
    User(Option<String>),
    /// FTP accounts behind this id, 0 for all.
    Account(u64),
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantsPage {
    /// Whether the association that was asked for is there.
    pub found: bool,
    /// Whether there is more behind it.
    pub more: bool,
    /// Associations, by AssociationKey.
    pub associations: Vec<AssociationShown>,
    /// API users, by AccessKey.
    pub users: Vec<UserShown>,
    /// FTP accounts, by id.
    pub accounts: Vec<AccountShown>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationShown {
    /// AssociationKey.
    pub key: Uuid,
    /// What the operator calls it.
    pub name: String,
    /// Whether anybody of it may do anything.
    pub enabled: bool,
    /// Whether it ends.
    pub retired: bool,
    /// Where its files are.
    pub home: Option<Home>,
    /// How many API users it has.
    pub users: usize,
    /// How many FTP accounts it has.
    pub accounts: usize,
}

/// An API user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserShown {
    /// AccessKey.
    pub access_key: String,
    /// What the user may do.
    pub scopes: Scopes,
    /// A path that bounds all that the user sees.
    pub root: String,
    /// What the operator says of the user.
    pub description: String,
    /// Whether the user may do anything.
    pub enabled: bool,
}

/// An FTP account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountShown {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub username: String,
    /// What it may do.
    pub access: Access,
    /// A path that bounds all that it sees.
    pub chroot: String,
    /// Whether it has a password.
    pub password: bool,
    /// Whether it has a key.
    pub key: bool,
    /// What the tenant says of it.
    pub description: String,
    /// Whether it may log in.
    pub enabled: bool,
}

impl TenantsPage {
    /// The page of a registry that is asked for.
    #[must_use]
    pub fn of(registry: &Registry, request: &TenantsRequest) -> Self {
        let mut page = Self::default();
        if let TenantsAfter::Association(after) = &request.after {
            let tenants = match (request.association, after) {
                (Some(one), _) => registry.tenants_from(Bound::Included(one)),
                (None, Some(after)) => registry.tenants_from(Bound::Excluded(*after)),
                (None, None) => registry.tenants_from(Bound::Unbounded),
            };
            let tenants = tenants.take_while(|tenant| {
                request
                    .association
                    .is_none_or(|one| tenant.association().key == one)
            });
            (page.associations, page.more) = some(tenants, AssociationShown::of);
            page.found = request.association.is_none() || !page.associations.is_empty();
            return page;
        }
        let Some(tenant) = request.association.and_then(|key| registry.tenant(key)) else {
            return page;
        };
        page.found = true;
        match &request.after {
            TenantsAfter::User(after) => {
                let users = tenant.users().filter(|user| {
                    after
                        .as_ref()
                        .is_none_or(|after| user.access_key.as_str() > after.as_str())
                });
                (page.users, page.more) = some(users, |user| UserShown::of(user));
            }
            TenantsAfter::Account(after) => {
                let accounts = tenant.accounts().filter(|account| account.id > *after);
                (page.accounts, page.more) = some(accounts, |account| AccountShown::of(account));
            }
            TenantsAfter::Association(_) => {}
        }
        page
    }
}

/// The first of some things, as they are shown, and whether there are more.
fn some<T, S>(mut all: impl Iterator<Item = T>, show: impl Fn(T) -> S) -> (Vec<S>, bool) {
    let shown = all.by_ref().take(OPERATOR_PAGE_MAX_COUNT).map(show).collect();
    (shown, all.next().is_some())
}

impl AssociationShown {
    fn of(tenant: &Tenant) -> Self {
        let association = tenant.association();
        Self {
            key: association.key,
            name: association.name.clone(),
            enabled: association.enabled,
            retired: association.retired,
            home: association.home,
            users: tenant.users().len(),
            accounts: tenant.accounts().len(),
        }
    }
}

impl UserShown {
    fn of(user: &ApiUser) -> Self {
        Self {
            access_key: user.access_key.clone(),
            scopes: user.scopes,
            root: user.root.clone(),
            description: user.description.clone(),
            enabled: user.enabled,
        }
    }
}

impl AccountShown {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            username: account.username.clone(),
            access: account.access,
            chroot: account.chroot.clone(),
            password: account.password_hash.is_some(),
            key: account.rsa_key.is_some(),
            description: account.description.clone(),
            enabled: account.enabled,
        }
    }
}
