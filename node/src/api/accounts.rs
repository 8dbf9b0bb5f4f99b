//! `/ftpaccounts`: the FTP accounts of an association.
//!
//! A user with a root sees the accounts below it, with paths as seen from there: nobody can make an account that sees
//! more than the user does.

use filegrid_meta::registry::{Access, Account, AccountChange, Command, Edit, NewAccount, Outcome};
use filegrid_tree::TreePath;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Api, prefix, request, shown};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{PASSWORD_MAX_BYTES, PATH_MAX_BYTES};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Create {
    username: String,
    access_rights: Access,
    chroot: String,
    password: Option<String>,
    rsa_key: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "request::flag")]
    enabled: Option<bool>,
}

/// What is left out or null stays as it is. An empty password or key is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Update {
    #[serde(deserialize_with = "request::number")]
    id: u64,
    username: Option<String>,
    access_rights: Option<Access>,
    chroot: Option<String>,
    password: Option<String>,
    rsa_key: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "request::flag")]
    enabled: Option<bool>,
}

/// An account as it is shown. The password never is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: u64,
    username: &'a str,
    access_rights: Access,
    chroot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    more: Option<More<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    association_key: Uuid,
    rsa_key: Option<&'a str>,
}

impl Api {
    /// A route whose path begins with `/ftpaccounts`, by what follows.
    pub(super) async fn accounts(&self, exchange: &mut Exchange, below: &str) -> Result<(), Error> {
        let id = below.strip_prefix("/id/");
        let allow = match (below, id) {
            ("", _) => "GET, HEAD, PATCH",
            ("/list", _) => "GET, HEAD",
            ("/create", _) => "POST",
            (_, Some(_)) => "GET, HEAD, DELETE",
            _ => return Err(super::no_route(exchange)),
        };
        match (super::allowed(exchange, allow)?, id) {
            ("POST", _) => self.create_account(exchange).await,
            ("PATCH", _) => self.update_account(exchange).await,
            ("DELETE", Some(id)) => self.delete_account(exchange, number(id)?).await,
            (_, Some(id)) => self.get_account(exchange, number(id)?).await,
            _ => self.list_accounts(exchange).await,
        }
    }

    async fn create_account(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::AccountCreate)?;
        let wanted: Create = request::read(exchange).await?;
        let chroot = chroot(&principal, &wanted.chroot)?;
        let password_hash = match given(wanted.password) {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let account = NewAccount {
            username: wanted.username,
            access: wanted.access_rights,
            chroot,
            password_hash,
            rsa_key: given(wanted.rsa_key),
            description: wanted.description.unwrap_or_default(),
            enabled: wanted.enabled.unwrap_or(true),
        };
        let command = Command::CreateAccount {
            association: Uuid::from_bytes(principal.association),
            account: account.clone(),
        };
        let Outcome::Account { id } = self.registrar.submit(command).await? else {
            return Err(Error::Internal("a new account has no id".to_owned()));
        };
        let made = Shown {
            id,
            username: &account.username,
            access_rights: account.access,
            chroot: shown(&prefix(&principal), &account.chroot),
            description: None,
            enabled: account.enabled,
            more: None,
        };
        self.json_of(exchange, &made).await
    }

    async fn list_accounts(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::AccountList)?;
        let registry = self.registrar.current();
        let tenant = registry.tenant(Uuid::from_bytes(principal.association));
        let accounts = tenant.into_iter().flat_map(|tenant| tenant.accounts());
        let root = prefix(&principal);
        let seen: Vec<_> = accounts
            .filter(|account| is_below(&principal, account))
            .map(|account| show(&root, account))
            .collect();
        self.json_of(exchange, &seen).await
    }

    async fn get_account(&self, exchange: &mut Exchange, id: u64) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::AccountGet)?;
        let account = self.account(&principal, id)?;
        let root = prefix(&principal);
        let found = Shown {
            more: Some(More {
                association_key: account.association,
                rsa_key: account.rsa_key.as_deref(),
            }),
            ..show(&root, &account)
        };
        self.json_of(exchange, &found).await
    }

    async fn update_account(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::AccountUpdate)?;
        let wanted: Update = request::read(exchange).await?;
        let account = self.account(&principal, wanted.id)?;
        let chroot = wanted.chroot.map(|path| chroot(&principal, &path)).transpose()?;
        let password_hash = match wanted.password {
            None => Edit::Keep,
            Some(password) if password.is_empty() => Edit::Clear,
            Some(password) => Edit::Set(self.hash(password).await?),
        };
        let rsa_key = match wanted.rsa_key {
            None => Edit::Keep,
            Some(key) if key.is_empty() => Edit::Clear,
            Some(key) => Edit::Set(key),
        };
        let change = AccountChange {
            username: wanted.username,
            access: wanted.access_rights,
            chroot,
            password_hash,
            rsa_key,
            description: wanted.description,
            enabled: wanted.enabled,
        };
        let command = Command::UpdateAccount {
            association: account.association,
            id: wanted.id,
            change,
        };
        self.registrar.submit(command).await?;
        self.json(exchange, super::OK.to_vec()).await
    }

    async fn delete_account(&self, exchange: &mut Exchange, id: u64) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::AccountDelete)?;
        let association = self.account(&principal, id)?.association;
        let command = Command::DeleteAccount { association, id };
        self.registrar.submit(command).await?;
        self.json(exchange, super::OK.to_vec()).await
    }

    /// An account that who asks may see.
    fn account(&self, principal: &Principal, id: u64) -> Result<std::sync::Arc<Account>, Error> {
        let registry = self.registrar.current();
        let account = registry.account(Uuid::from_bytes(principal.association), id);
        account
            .filter(|account| is_below(principal, account))
            .cloned()
            .ok_or_else(|| Error::NotFound(format!("the FTP account {id} does not exist")))
    }

    async fn hash(&self, password: String) -> Result<String, Error> {
        if password.len() > PASSWORD_MAX_BYTES {
            return Err(Error::BadRequest(format!(
                "Password: longer than {PASSWORD_MAX_BYTES} bytes"
            )));
        }
        // A line of FTP could not carry it.
        if password.contains(char::is_control) {
            return Err(Error::BadRequest(
                "Password: holds a control character".to_owned(),
            ));
        }
        self.registrar.hash(password).await
    }
}

/// `None` for what is left out, which forms do by an empty field.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn number(id: &str) -> Result<u64, Error> {
    id.parse()
        .map_err(|_| Error::BadRequest(format!("{id} is no Id: it is a number")))
}

/// A `Chroot` of a request as a path of the tree.
fn chroot(principal: &Principal, text: &str) -> Result<String, Error> {
    let refused = |error: filegrid_tree::PathError| Error::BadRequest(format!("Chroot: {error}"));
    let path = TreePath::parse_chroot(text).map_err(refused)?;
    let joined = principal.root.join(&path).to_string();
    if joined.len() > PATH_MAX_BYTES {
        return Err(refused(filegrid_tree::PathError::TooLong));
    }
    Ok(joined)
}

fn is_below(principal: &Principal, account: &Account) -> bool {
    TreePath::parse(&account.chroot).is_ok_and(|path| path.strip_prefix(&principal.root).is_some())
}

fn show<'a>(root: &str, account: &'a Account) -> Shown<'a> {
    Shown {
        id: account.id,
        username: &account.username,
        access_rights: account.access,
        chroot: shown(root, &account.chroot),
        description: Some(&account.description),
        enabled: account.enabled,
        more: None,
    }
}
