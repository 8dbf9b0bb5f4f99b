//! What a node had of its own becomes part of its cluster's registry.

use super::*;

const NODE: u64 = 7;

/// A node's own: an association with a user, two accounts, a key and an operator.
fn own(association: u128) -> Registry {
    let mut own = registry(0);
    let user = NewUser {
        access_key: "AK_1".to_owned(),
        secret_hash: HASH.to_owned(),
        scopes: Scopes::all(),
        root: "/".to_owned(),
        description: String::new(),
    };
    let signing = SigningKey {
        kid: format!("of {association}"),
        public: String::new(),
        pkcs8: String::new(),
        signs_from: 1,
    };
    for command in [
        Command::CreateAssociation {
            key: key(association),
            name: "mine".to_owned(),
            node: None,
        },
        Command::CreateUser {
            association: key(association),
            user,
        },
        create(association, account("joe")),
        create(association, account("jim")),
        delete(association, 2),
        Command::PublishKey {
            key: signing,
            now_s: 1,
        },
        Command::SetOperator {
            sha256: format!("{association:064x}"),
        },
    ] {
        own.apply(&command).unwrap();
    }
    own
}

fn take_over(node: u64, own: &Registry, is_all: bool) -> Command {
    Command::TakeOver {
        node,
        rows: own.rows().collect(),
        is_all,
        if_empty: false,
    }
}

#[test]
fn of_two_first_starts_one_makes_the_association() {
    let first = |node| {
        let mut command = take_over(u64::from(node), &own(u128::from(node)), true);
        if let Command::TakeOver { if_empty, .. } = &mut command {
            *if_empty = true;
        }
        command
    };
    let mut registry = registry(0);
    registry.apply(&first(1_u32)).unwrap();
    let operator = registry.operator().map(ToOwned::to_owned);
    registry.apply(&first(2)).unwrap();
    assert_eq!((registry.tenants().len(), registry.keys().len()), (1, 1));
    assert!(registry.is_at_home(key(1), 1));
    assert!(registry.is_taken_over(2));
    assert_eq!(registry.operator(), operator.as_deref());
}

#[test]
fn all_is_kept_and_is_at_home_on_the_node() {
    let own = own(1);
    let mut registry = registry(0);
    registry.apply(&take_over(NODE, &own, true)).unwrap();
    let tenant = registry.tenant(key(1)).unwrap();
    assert_eq!(
        tenant.association().home,
        Some(Home {
            node: NODE,
            generation: 1
        })
    );
    assert_eq!(tenant.association().next_account, 3);
    assert_eq!(registry.user(key(1), "AK_1"), own.user(key(1), "AK_1"));
    assert_eq!(
        registry.lookup("joe").unwrap().account,
        own.lookup("joe").unwrap().account
    );
    assert_eq!(registry.bare_name("jim"), Some(key(1)));
    assert_eq!(registry.keys(), own.keys());
    assert_eq!(registry.operator(), own.operator());
    assert!(registry.is_taken_over(NODE) && registry.is_at_home(key(1), NODE));
    assert!(!registry.is_at_home(key(1), NODE + 1) && !registry.is_at_home(key(2), NODE));
    assert!(
        own.is_at_home(key(1), NODE),
        "what has no home yet is where it is kept"
    );
}

#[test]
fn it_is_done_once_whatever_became_of_it_since() {
    let own = own(1);
    let mut registry = registry(0);
    // In pieces, some of them twice.
    let rows: Vec<_> = own.rows().collect();
    for (piece, is_all) in [(0..4, false), (0..4, false), (4..rows.len(), true)] {
        let rows = rows[piece].to_vec();
        let command = Command::TakeOver {
            node: NODE,
            rows,
            is_all,
            if_empty: false,
        };
        registry.apply(&command).unwrap();
    }
    let mut at_once = super::registry(0);
    at_once.apply(&take_over(NODE, &own, true)).unwrap();
    assert!(registry.rows().skip(2).eq(at_once.rows().skip(2)));
    registry.apply(&delete(1, 1)).unwrap();
    let disable = Command::UpdateAssociation {
        key: key(1),
        name: None,
        enabled: Some(false),
    };
    registry.apply(&disable).unwrap();
    let before = registry.clone();
    assert!(
        registry
            .apply(&take_over(NODE, &own, true))
            .unwrap()
            .rows
            .is_empty()
    );
    assert_eq!(registry, before);
}

#[test]
fn a_second_node_adds_and_takes_nothing_away() {
    let (first, second) = (own(1), own(2));
    let mut registry = registry(0);
    registry.apply(&take_over(NODE, &first, true)).unwrap();
    registry.apply(&take_over(NODE + 1, &second, true)).unwrap();
    assert_eq!(registry.operator(), first.operator());
    assert_eq!(registry.keys().len(), 2);
    assert_eq!(registry.bare_name("joe"), Some(key(1)));
    assert!(registry.lookup(&format!("joe@{}", key(2))).is_some());
    assert!(registry.is_at_home(key(2), NODE + 1));
    // One that has the same association is not a second home of it.
    registry.apply(&take_over(NODE + 2, &first, true)).unwrap();
    assert!(registry.is_at_home(key(1), NODE));
}

#[test]
fn what_was_known_by_its_name_only_is_filled() {
    let own = own(1);
    let mut registry = registry(1);
    let place = Command::Place {
        key: key(1),
        node: NODE,
        from: 0,
    };
    registry.apply(&place).unwrap();
    registry.apply(&take_over(NODE, &own, true)).unwrap();
    let tenant = registry.tenant(key(1)).unwrap();
    assert_eq!(
        (
            tenant.association().name.as_str(),
            tenant.association().next_account
        ),
        ("mine", 3)
    );
    assert_eq!((tenant.users().len(), tenant.accounts().len()), (1, 1));
}

#[test]
fn a_copy_brings_the_nodes_that_it_knows_with_it() {
    let mut lost = registry(0);
    lost.apply(&take_over(NODE, &own(1), true)).unwrap();
    lost.apply(&take_over(NODE + 1, &own(2), true)).unwrap();
    let mut registry = registry(0);
    registry.apply(&take_over(NODE, &lost, true)).unwrap();
    // In another order of their keys, perhaps.
    assert!(registry.rows().skip(2).eq(lost.rows().skip(2)));
    assert_ne!(registry.position(), lost.position());
}

#[test]
fn positions_tell_other_ways_to_the_same_revision_apart() {
    let (mut one, mut other) = (registry(1), registry(1));
    assert_eq!(one.position(), other.position());
    one.apply(&create(1, account("joe"))).unwrap();
    other.apply(&create(1, account("jim"))).unwrap();
    assert_eq!(one.revision(), other.revision());
    assert_ne!(one.position(), other.position());
    for registry in [&mut one, &mut other] {
        let disable = Command::UpdateAssociation {
            key: key(1),
            name: None,
            enabled: Some(false),
        };
        registry.apply(&disable).unwrap();
    }
    assert_ne!(one.position(), other.position());
}
