//! Who is asking, and what they may do.
//!
//! Effective rights are the token's and the registry's together: a shard keeps what it has verified of a token until
//! the token expires or the registry changes.

mod account;
mod brute;
mod copy;
mod first;
mod guesses;
mod inbox;
mod keys;
mod login;
mod operator;
mod pool;
mod registrar;
mod registry;
mod token;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use filegrid_meta::registry::{Scope, Scopes};
pub use filegrid_meta::secret::UserKeys;

pub use self::account::AccountPrincipal;
pub use self::copy::has_registry;
pub(crate) use self::copy::read_data;
pub use self::first::{First, first_registry};
pub use self::guesses::Guesses;
pub(crate) use self::inbox::{Asked, ask, waiting as waiting_changes};
pub use self::login::Login;
pub(crate) use self::operator::new_operator_token;
pub use self::registrar::{Authority, Registrar};
pub use self::registry::RegistryFile;
pub use self::token::{Authenticator, Principal};

/// Opens the registry of a `DATA`. At the first start it is made, with one association and one user who may do
/// everything; its keys and the operator's token come back.
///
/// # Errors
///
/// If it cannot be read, made or written; says why.
pub fn open_registry(data: &Path, now_s: u64) -> Result<(Arc<RegistryFile>, Option<First>), String> {
    let mut first = None;
    let registry = RegistryFile::open(data, || {
        let (registry, made) = first::first_registry(now_s)?;
        first = Some(made);
        Ok(registry)
    })?;
    Ok((registry, first))
}
