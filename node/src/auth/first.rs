//! The registry of a first start.

use filegrid_meta::registry::{Command, Registry, Scopes};
use filegrid_meta::secret::{UserKeys, new_user};
use uuid::Uuid;

use super::{keys, operator};

/// What a first start makes, shown once.
#[derive(Debug, Clone)]
pub struct First {
    /// Keys of the first API user.
    pub keys: UserKeys,
    /// Opens the operator's API; `None` where another token does.
    pub operator_token: Option<String>,
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
