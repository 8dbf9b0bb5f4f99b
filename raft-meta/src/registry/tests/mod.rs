//! The rules of the registry, one by one and as properties.

mod account;
mod bounds;
mod key;
mod node;
mod property;
mod ssh_key;
mod take_over;
mod user;

use uuid::Uuid;

use super::*;

pub(super) const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";
pub(super) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJAjRd3RacziVnVOz9qHDDRQKnsxTc4KFNulJRaqEcJM me@host";

pub(super) fn key(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A registry with associations 1 to `count`.
pub(super) fn registry(count: u128) -> Registry {
    let mut registry = Registry::default();
    for number in 1..=count {
        let create = Command::CreateAssociation {
            key: key(number),
            name: format!("tenant {number}"),
            node: None,
        };
        registry.apply(&create).unwrap();
    }
    registry
}

pub(super) fn account(username: &str) -> NewAccount {
    NewAccount {
        username: username.to_owned(),
        access: Access::ReadWrite,
        chroot: "/".to_owned(),
        password_hash: Some(HASH.to_owned()),
        rsa_key: None,
        description: String::new(),
        enabled: true,
    }
}

pub(super) fn create(association: u128, account: NewAccount) -> Command {
    Command::CreateAccount {
        association: key(association),
        account,
    }
}

pub(super) fn update(association: u128, id: u64, change: AccountChange) -> Command {
    Command::UpdateAccount {
        association: key(association),
        id,
        change,
    }
}

pub(super) fn delete(association: u128, id: u64) -> Command {
    Command::DeleteAccount {
        association: key(association),
        id,
    }
}

/// Demands a refusal for a field, and that nothing has changed.
#[track_caller]
pub(super) fn invalid(registry: &mut Registry, command: &Command, wanted: &str) {
    let before = registry.clone();
    match registry.apply(command) {
        Err(Refusal::Invalid { field, .. }) if field == wanted => assert_eq!(*registry, before),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn conflict(registry: &mut Registry, command: &Command) {
    let before = registry.clone();
    match registry.apply(command) {
        Err(Refusal::Conflict(_)) => assert_eq!(*registry, before),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn missing(registry: &mut Registry, command: &Command) {
    assert!(matches!(registry.apply(command), Err(Refusal::NotFound(_))));
}
