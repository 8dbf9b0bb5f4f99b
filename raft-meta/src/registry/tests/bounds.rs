//! Every bound is reached.

use super::*;
use crate::limits::{
    ACCOUNTS_MAX_COUNT, ASSOCIATIONS_MAX_COUNT, BARE_NAMES_MAX_COUNT, KEYS_MAX_COUNT, USERS_MAX_COUNT,
};

#[test]
fn an_association_has_so_many_accounts_and_names_and_no_more() {
    let mut registry = registry(2);
    for number in 0..ACCOUNTS_MAX_COUNT {
        registry.apply(&create(1, account(&number.to_string()))).unwrap();
    }
    conflict(&mut registry, &create(1, account("one more")));
    assert_eq!(
        registry.tenant(key(1)).unwrap().bare_names(),
        BARE_NAMES_MAX_COUNT
    );
    registry.apply(&delete(1, 1)).unwrap();
    registry.apply(&create(1, account("beyond"))).unwrap();
    assert!(registry.lookup("beyond").is_none(), "all names are used up");
    assert!(registry.lookup(&format!("beyond@{}", key(1))).is_some());
    registry.apply(&create(2, account("beyond"))).unwrap();
    assert!(registry.lookup("beyond").is_some());
}

#[test]
fn an_association_has_so_many_users_and_no_more() {
    let mut registry = registry(1);
    let create = |number: usize| Command::CreateUser {
        association: key(1),
        user: NewUser {
            access_key: format!("AK_{number}"),
            secret_hash: HASH.to_owned(),
            scopes: Scopes::all(),
            root: "/".to_owned(),
            description: String::new(),
        },
    };
    for number in 0..USERS_MAX_COUNT {
        registry.apply(&create(number)).unwrap();
    }
    conflict(&mut registry, &create(USERS_MAX_COUNT));
}

#[test]
fn a_cluster_has_so_many_associations_and_no_more() {
    let most = ASSOCIATIONS_MAX_COUNT as u128;
    let mut registry = registry(most);
    let create = Command::CreateAssociation {
        key: key(most + 1),
        name: String::new(),
        node: None,
    };
    conflict(&mut registry, &create);
}

#[test]
fn a_cluster_has_so_many_signing_keys_and_no_more() {
    let mut registry = Registry::default();
    let publish = |registry: &Registry, number: usize| Command::PublishKey {
        key: SigningKey {
            kid: number.to_string(),
            public: String::new(),
            pkcs8: String::new(),
            signs_from: registry.next_key_signs_from(0),
        },
        now_s: 0,
    };
    for number in 0..KEYS_MAX_COUNT {
        let publish = publish(&registry, number);
        registry.apply(&publish).unwrap();
    }
    let publish = publish(&registry, KEYS_MAX_COUNT);
    conflict(&mut registry, &publish);
}
