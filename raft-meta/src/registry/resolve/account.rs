//! Rules of FTP accounts.

use uuid::Uuid;

use super::{Applied, Outcome, bound, check_hash, check_text, done, replaced};
use crate::limits::{ACCOUNTS_MAX_COUNT, BARE_NAMES_MAX_COUNT, USERNAME_MAX_BYTES};
use crate::registry::{
    Account, AccountChange, Edit, NewAccount, Refusal, Registry, Row, RowChange, RowKey, SshKey, Tenant,
};

impl Registry {
    pub(super) fn create_account(&self, association: Uuid, wanted: &NewAccount) -> Result<Applied, Refusal> {
        let tenant = self.tenant_or_refuse(association)?;
        let mut parent = (**tenant.association()).clone();
        let id = parent.next_account;
        let account = Account {
            association,
            id,
            username: wanted.username.clone(),
            access: wanted.access,
            chroot: bound("Chroot", &wanted.chroot)?,
            password_hash: wanted.password_hash.clone(),
            rsa_key: wanted.rsa_key.as_deref().map(key_line).transpose()?,
            description: wanted.description.clone(),
            enabled: wanted.enabled,
            version: 1,
        };
        check(&account)?;
        check_free(tenant, &account)?;
        if tenant.accounts().len() >= ACCOUNTS_MAX_COUNT {
            return Err(Refusal::Conflict(format!(
                "the association has {ACCOUNTS_MAX_COUNT} FTP accounts, the most there may be"
            )));
        }
        parent.next_account += 1;
        let mut rows = vec![RowChange::Put(Row::Association(parent))];
        rows.extend(self.claim(tenant, &account));
        rows.push(RowChange::Put(Row::Account(account)));
        Ok(Applied {
            rows,
            outcome: Outcome::Account { id },
        })
    }

    pub(super) fn update_account(
        &self,
        association: Uuid,
        id: u64,
        change: &AccountChange,
    ) -> Result<Applied, Refusal> {
        let tenant = self.tenant_or_refuse(association)?;
        let old = self.account_or_refuse(association, id)?;
        let mut new = old.clone();
        if let Some(username) = &change.username {
            new.username.clone_from(username);
        }
        if let Some(chroot) = &change.chroot {
            new.chroot = bound("Chroot", chroot)?;
        }
        if let Some(description) = &change.description {
            new.description.clone_from(description);
        }
        new.access = change.access.unwrap_or(old.access);
        new.enabled = change.enabled.unwrap_or(old.enabled);
        new.password_hash = change.password_hash.of(old.password_hash.as_ref());
        new.rsa_key = match &change.rsa_key {
            Edit::Set(line) => Some(key_line(line)?),
            other => other.of(old.rsa_key.as_ref()),
        };
        check(&new)?;
        check_free(tenant, &new)?;
        if closes_sessions(old, &new) {
            new.version += 1;
        }
        let mut rows: Vec<_> = self.claim(tenant, &new).into_iter().collect();
        rows.extend(replaced(old, new, Row::Account));
        Ok(done(rows))
    }

    pub(super) fn delete_account(&self, association: Uuid, id: u64) -> Result<Applied, Refusal> {
        self.account_or_refuse(association, id)?;
        // Its bare name stays the association's: see docs/decisions/0002-registry.md.
        Ok(done(vec![RowChange::Remove(RowKey::Account(association, id))]))
    }

    fn account_or_refuse(&self, association: Uuid, id: u64) -> Result<&Account, Refusal> {
        self.tenant_or_refuse(association)?;
        self.account(association, id)
            .map(|account| &**account)
            .ok_or_else(|| Refusal::NotFound(format!("the FTP account {id}")))
    }

    /// The bare name, if it is still free.
    fn claim(&self, tenant: &Tenant, account: &Account) -> Option<RowChange> {
        let free = self.bare_name(&account.username).is_none() && tenant.bare_names() < BARE_NAMES_MAX_COUNT;
        free.then(|| {
            RowChange::Put(Row::BareName {
                name: account.username.clone(),
                association: account.association,
            })
        })
    }
}

fn check(account: &Account) -> Result<(), Refusal> {
    check_username(&account.username)?;
    check_text("Description", &account.description)?;
    match (&account.password_hash, &account.rsa_key) {
        (None, None) => Err(Refusal::invalid(
            "Password",
            "an account needs a Password, an RsaKey, or both",
        )),
        (Some(hash), _) => check_hash("Password", hash),
        (None, Some(_)) => Ok(()),
    }
}

fn check_username(name: &str) -> Result<(), Refusal> {
    let reason = if name.is_empty() {
        "may not be empty".to_owned()
    } else if name.len() > USERNAME_MAX_BYTES {
        format!("longer than {USERNAME_MAX_BYTES} bytes")
    } else if name.contains('@') {
        "may not hold @, which separates it from the AssociationKey in a login".to_owned()
    } else if name.contains(char::is_control) {
        "holds a control character".to_owned()
    } else if name.trim() != name {
        "begins or ends with a space".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::invalid("Username", reason))
}

/// Whether nobody else of the association has the name.
fn check_free(tenant: &Tenant, account: &Account) -> Result<(), Refusal> {
    match tenant.account_named(&account.username) {
        Some(other) if other.id != account.id => Err(Refusal::Conflict(format!(
            "there is an FTP account {} already",
            account.username
        ))),
        _ => Ok(()),
    }
}

fn key_line(line: &str) -> Result<String, Refusal> {
    SshKey::parse(line)
        .map(|_| line.trim().to_owned())
        .map_err(|reason| Refusal::invalid("RsaKey", reason))
}

/// Whether anything differs that a session was opened with.
fn closes_sessions(old: &Account, new: &Account) -> bool {
    let described = Account {
        description: old.description.clone(),
        ..new.clone()
    };
    *old != described
}
