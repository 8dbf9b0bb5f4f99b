//! The registry in the store.

use super::*;
use crate::limits::REGISTRY_HISTORY_MAX_BYTES;
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
        node: None,
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

#[test]
fn who_follows_is_told_what_changed_or_all() {
    let mut world = World::with_home();
    let mut copy = (*world.store.registry()).clone();
    let rename = |name: &str| accounts::Command::UpdateAssociation {
        key: association(1),
        name: Some(name.to_owned()),
        enabled: None,
    };
    let follow = |world: &World, copy: &mut accounts::Registry| {
        let (since, now) = world.store.registry_since(copy.position());
        let told = match since {
            Since::Changes(changes) => {
                let count = changes.len();
                changes.into_iter().for_each(|change| copy.put(change));
                Some(count)
            }
            Since::All(registry) => {
                *copy = (*registry).clone();
                None
            }
        };
        assert_eq!((copy.position(), &*copy), (now, &*world.store.registry()));
        told
    };
    assert_eq!(follow(&world, &mut copy), Some(0));
    let changed = world.store.registry_position();
    world.registry(rename("a"));
    world.registry(rename("b"));
    assert!(changed.has_changed().unwrap());
    assert_eq!(
        follow(&world, &mut copy),
        Some(6),
        "a row, the revision and the chain, twice"
    );
    let mut world = world.reopen();
    assert_eq!(follow(&world, &mut copy), Some(0));
    world.registry(rename("c"));
    assert_eq!(follow(&world, &mut copy), Some(3));
    // One that has not listened for so long that nobody knows what happened.
    let mut late = copy.clone();
    let long = "x".repeat(crate::limits::DESCRIPTION_MAX_BYTES - 8);
    for number in 0..REGISTRY_HISTORY_MAX_BYTES / long.len() {
        world.registry(rename(&format!("{long}{number}")));
        if number % 1000 == 0 {
            assert!(follow(&world, &mut copy).is_some());
        }
    }
    assert!(follow(&world, &mut copy).is_some());
    assert_eq!(follow(&world, &mut late), None);
}
