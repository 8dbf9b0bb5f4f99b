//! The registry in the store.

use super::*;
use crate::registry::{NewUser, Refusal, Scopes};

#[test]
fn the_registry_outlives_a_restart() {
    let mut world = World::with_home();
    let user = NewUser {
        access_key: "AK_1".to_owned(),
        secret_hash: "$argon2id$".to_owned(),
        scopes: Scopes::all(),
        root: "/".to_owned(),
        description: String::new(),
    };
    let create = accounts::Command::CreateUser {
        association: association(1),
        user,
    };
    world.registry(create.clone());
    let refused = world.one(Command::Registry(create));
    assert!(
        matches!(refused, Reply::Registry(Err(Refusal::Conflict(_)))),
        "{refused:?}"
    );
    let registry = world.store.registry();
    assert_eq!(registry.revision(), 3);
    assert!(registry.user(association(1), "AK_1").is_some());
    let world = world.reopen();
    assert_eq!(world.store.registry(), registry);
    assert_eq!(
        world.store.applied().unwrap().unwrap(),
        world.applied.to_be_bytes()
    );
}

#[test]
fn entries_of_one_batch_see_each_other_and_blank_ones_move_the_mark() {
    let world = World::new();
    let create = Command::Registry(accounts::Command::CreateAssociation {
        key: association(1),
        name: String::new(),
    });
    let create = create.encode().unwrap();
    let entries = vec![None, Some(create.clone()), Some(create), None];
    assert_eq!(world.store.applied().unwrap(), None);
    let replies = world.store.apply(entries, b"4").unwrap();
    assert_eq!((replies[0].len(), replies[3].len()), (0, 0));
    let reply = |at: usize| Reply::decode(&replies[at]).unwrap();
    assert!(matches!(reply(1), Reply::Registry(Ok(_))));
    assert!(matches!(reply(2), Reply::Registry(Err(Refusal::Conflict(_)))));
    assert_eq!(world.store.applied().unwrap().unwrap(), b"4");
}

#[test]
fn a_deleted_association_leaves_no_root() {
    let mut world = World::with_home();
    let root = Op::Put {
        directory: filegrid_tree::ROOTS,
        name: filegrid_tree::root_name(association(1).as_bytes()),
        row: Row::Dir(DirRow {
            id: DIRECTORY,
            created_at: 1,
            updated_at: None,
            mtime: 1,
            protocol: Protocol::Api,
        }),
        released: Vec::new(),
        linked: Vec::new(),
        was_unsummed: false,
    };
    world.one(Command::Ship(batch(1, 1, vec![change(1, vec![root])])));
    let is_there = |world: &World| {
        let path = filegrid_tree::TreePath::root();
        let found = filegrid_tree::lookup(&world.store.view(), *association(1).as_bytes(), &path);
        found.unwrap().is_some()
    };
    assert!(is_there(&world));
    world.registry(accounts::Command::DeleteAssociation { key: association(1) });
    assert!(!is_there(&world));
}
