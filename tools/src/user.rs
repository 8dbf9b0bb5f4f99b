//! API users and FTP accounts of an association.

use filegrid_meta::operators::{AccountShown, TENANTS, TenantsAfter, TenantsPage, TenantsRequest, UserShown};
use filegrid_meta::registry::{Access, Command, Scopes, UserChange};
use filegrid_meta::secret::{self, UserKeys};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::operator::Operator;
use crate::report::Report;

impl Operator {
    /// Makes an API user with new keys, which are shown and known to nobody else.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn create_user(
        &self,
        association: Uuid,
        scopes: Scopes,
        root: &str,
        description: &str,
    ) -> Result<Report, String> {
        let (command, keys) = secret::new_user(association, scopes, root, description)?;
        self.register(&command).await?;
        Ok(shown_once(&keys))
    }

    /// Gives an API user another secret; the one before ends.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn rotate_user(&self, association: Uuid, access_key: &str) -> Result<Report, String> {
        let (command, keys) = secret::rotate(association, access_key)?;
        self.register(&command).await?;
        Ok(shown_once(&keys))
    }

    /// Changes an API user.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn update_user(
        &self,
        association: Uuid,
        access_key: &str,
        change: UserChange,
    ) -> Result<Report, String> {
        self.register(&Command::UpdateUser {
            association,
            access_key: access_key.to_owned(),
            change,
        })
        .await?;
        let users = self.users(association).await?;
        let user = users.iter().find(|user| user.access_key == access_key);
        let user = user.ok_or_else(|| format!("the API user {access_key} is deleted meanwhile"))?;
        Ok(Report::new(user_line(user), user_json(user)))
    }

    /// Deletes an API user.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn delete_user(&self, association: Uuid, access_key: &str) -> Result<Report, String> {
        self.register(&Command::DeleteUser {
            association,
            access_key: access_key.to_owned(),
        })
        .await?;
        Ok(Report::new(
            format!("the API user {access_key} is deleted\n"),
            json!({ "accessKey": access_key, "deleted": true }),
        ))
    }

    /// The API users of an association.
    ///
    /// # Errors
    ///
    /// If there is no such association, or no member answers.
    pub async fn list_users(&self, association: Uuid) -> Result<Report, String> {
        let users = self.users(association).await?;
        Ok(Report::new(
            users.iter().map(user_line).collect(),
            users.iter().map(user_json).collect::<Vec<_>>().into(),
        ))
    }

    /// The FTP accounts of an association.
    ///
    /// # Errors
    ///
    /// As for [`Self::list_users`].
    pub async fn list_accounts(&self, association: Uuid) -> Result<Report, String> {
        let mut all: Vec<AccountShown> = Vec::new();
        loop {
            let after = TenantsAfter::Account(all.last().map_or(0, |last| last.id));
            let page = self.page_of(association, after).await?;
            all.extend(page.accounts);
            if !page.more {
                break;
            }
        }
        Ok(Report::new(
            all.iter().map(account_line).collect(),
            all.iter().map(account_json).collect::<Vec<_>>().into(),
        ))
    }

    async fn users(&self, association: Uuid) -> Result<Vec<UserShown>, String> {
        let mut all: Vec<UserShown> = Vec::new();
        loop {
            let after = TenantsAfter::User(all.last().map(|last| last.access_key.clone()));
            let page = self.page_of(association, after).await?;
            all.extend(page.users);
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn page_of(&self, association: Uuid, after: TenantsAfter) -> Result<TenantsPage, String> {
        let request = TenantsRequest {
            association: Some(association),
            after,
        };
        let page: TenantsPage = self.ask(TENANTS, &request).await?;
        let missing = || format!("the association {association} does not exist");
        page.found.then_some(page).ok_or_else(missing)
    }
}

/// The scopes that an option names; `all` stands for all but `edge`, which narrows.
///
/// # Errors
///
/// A text that names what is none.
pub fn scopes(text: &str) -> Result<Scopes, String> {
    if text == "all" {
        return Ok(Scopes::all());
    }
    Scopes::parse(text).map_err(|name| format!("there is no scope {name}"))
}

/// The only time that a secret is shown.
fn shown_once(keys: &UserKeys) -> Report {
    Report::new(
        format!(
            "AssociationKey: {}\nAccessKey: {}\nSecretKey: {}\n",
            keys.association, keys.access_key, keys.secret_key
        ),
        json!({
            "associationKey": keys.association,
            "accessKey": keys.access_key,
            "secretKey": keys.secret_key,
        }),
    )
}

fn state(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn user_line(user: &UserShown) -> String {
    format!(
        "{} {}, root {}, scopes {}: {}\n",
        user.access_key,
        state(user.enabled),
        user.root,
        user.scopes,
        user.description
    )
}

fn user_json(user: &UserShown) -> Value {
    json!({
        "accessKey": user.access_key,
        "scopes": user.scopes,
        "root": user.root,
        "description": user.description,
        "enabled": user.enabled,
    })
}

fn rights(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "RO",
        Access::ReadWrite => "RW",
    }
}

fn opened_by(account: &AccountShown) -> &'static str {
    match (account.password, account.key) {
        (true, true) => "a password or a key",
        (true, false) => "a password",
        _ => "a key",
    }
}

fn account_line(account: &AccountShown) -> String {
    format!(
        "{} {} {}, {} below {}, opened by {}: {}\n",
        account.id,
        account.username,
        state(account.enabled),
        rights(account.access),
        account.chroot,
        opened_by(account),
        account.description
    )
}

fn account_json(account: &AccountShown) -> Value {
    json!({
        "id": account.id,
        "username": account.username,
        "accessRights": rights(account.access),
        "chroot": account.chroot,
        "hasPassword": account.password,
        "hasKey": account.key,
        "description": account.description,
        "enabled": account.enabled,
    })
}
