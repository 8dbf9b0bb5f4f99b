//! Who is asking, and what they may do.
//!
//! Effective rights are the token's and the registry's together: a shard keeps what it has verified of a token until
//! the token expires or the registry changes.

mod brute;
mod keys;
mod login;
mod pool;
mod registry;
mod scope;
mod secret;
mod token;

#[cfg(test)]
mod tests;

pub use self::login::Login;
pub(crate) use self::registry::change_file as change_registry;
pub use self::registry::{ApiUser, Association, FirstKeys, Registry, RegistryFile};
pub use self::scope::{Scope, Scopes};
pub use self::token::{Authenticator, Principal};
