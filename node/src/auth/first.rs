//! New API users, and the registry of a first start.

use filegrid_meta::registry::{Command, NewUser, Registry, Scopes};
use uuid::Uuid;

use super::{keys, operator, secret};

/// The keys of a new user. The secret is known here and nowhere else.
#[derive(Debug, Clone)]
pub struct FirstKeys {
    /// AssociationKey.
    pub association: Uuid,
    /// AccessKey.
    pub access_key: String,
    /// SecretKey.
    pub secret_key: String,
}

/// What a first start makes, shown once.
#[derive(Debug, Clone)]
pub struct First {
    /// Keys of the first API user.
    pub keys: FirstKeys,
    /// Opens the operator's API; `None` where another token does.
    pub operator_token: Option<String>,
}

/// A command that makes an API user with new keys. Hashes, so it takes some 20 ms.
///
/// # Errors
///
/// If the system gives no random bytes.
pub(crate) fn new_user(
    association: Uuid,
    scopes: Scopes,
    root: &str,
    description: &str,
) -> Result<(Command, FirstKeys), String> {
    let access_key = format!("AK_{}", secret::random_text(15)?);
    let secret_key = secret::new_key()?;
    let user = NewUser {
        access_key: access_key.clone(),
        secret_hash: secret::hash(&secret_key)?,
        scopes,
        root: root.to_owned(),
        description: description.to_owned(),
    };
    let keys = FirstKeys {
        association,
        access_key,
        secret_key,
    };
    Ok((Command::CreateUser { association, user }, keys))
}

/// A registry with one association and one user who may do everything.
///
/// # Errors
///
/// If the system gives no random bytes.
pub fn first_registry(now_s: u64) -> Result<(Registry, First), String> {
    let mut registry = Registry::default();
    let key = Uuid::new_v4();
    let name = "first".to_owned();
    let (user, keys) = new_user(key, Scopes::all(), "/", "made at the first start")?;
    let publish = keys::publish(&registry, now_s)?;
    let (operator, operator_token) = operator::new_operator_token()?;
    for command in [
        Command::CreateAssociation {
            key,
            name,
            node: None,
        },
        publish,
        user,
        operator,
    ] {
        registry.apply(&command).map_err(|refusal| refusal.to_string())?;
    }
    let first = First {
        keys,
        operator_token: Some(operator_token),
    };
    Ok((registry, first))
}
