//! Who may use the cluster: associations, API users, FTP accounts, the keys that sign tokens, and which node is at home
//! for whom. A pure state machine: no I/O, no clock, nothing random.
//!
//! A [`Command`] carries all that is random or read from a clock. [`Registry::resolve`] checks it, which is the one
//! place for the rules of accounts whatever protocol they come by, and says which [`Row`]s it sets or removes, or why it
//! is [refused](Refusal). Every copy that puts the same rows in the same order is the same.
//!
//! The whole registry is in memory on every member and node; rows are what is stored and sent.

mod account;
mod association;
mod command;
mod key;
mod lookup;
mod node;
mod position;
mod refusal;
mod resolve;
mod row;
mod scope;
mod ssh_key;
mod state;
mod user;

#[cfg(test)]
mod tests;

pub use self::account::{Access, Account};
pub use self::association::{Association, Home};
pub use self::command::{AccountChange, Command, Edit, NewAccount, NewUser, UserChange};
pub use self::key::SigningKey;
pub use self::lookup::Found;
pub use self::node::Node;
pub use self::position::Position;
pub use self::refusal::Refusal;
pub use self::resolve::{Applied, Outcome};
pub use self::row::{Row, RowChange, RowKey};
pub use self::scope::{Scope, Scopes};
pub use self::ssh_key::SshKey;
pub use self::state::{Registry, Tenant};
pub use self::user::ApiUser;
