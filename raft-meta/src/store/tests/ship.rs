//! Changes of nodes: each is applied once, in order, whatever the network does.

use filegrid_tree::PurgedEntry;
use proptest::prelude::*;

use super::*;
use crate::limits::REJECTED_KEPT_MAX_COUNT;

fn ship(world: &mut World, epoch: u64, first: u64, names: &[&str]) -> Reply {
    let changes = names.iter().map(|name| put(1, name)).collect();
    world.one(Command::Ship(batch(epoch, first, changes)))
}

#[test]
fn what_is_known_is_skipped_and_what_is_missing_asked_for() {
    let mut world = World::with_home();
    assert_eq!(ship(&mut world, 1, 1, &["a", "b"]), Reply::Applied(2));
    assert_eq!(
        ship(&mut world, 1, 1, &["x", "y"]),
        Reply::Applied(2),
        "seen before"
    );
    assert_eq!(
        ship(&mut world, 1, 2, &["x", "c"]),
        Reply::Applied(3),
        "the first was seen"
    );
    assert_eq!(ship(&mut world, 1, 5, &["x"]), Reply::Gap(4));
    assert_eq!(
        ship(&mut world, 1, 4, &[]),
        Reply::Applied(3),
        "tells the time only"
    );
    assert_eq!(world.names(), ["a", "b", "c"]);
    let mut world = world.reopen();
    let producer = world.store.producer(NODE, 0).unwrap();
    assert_eq!((producer.applied, producer.as_of_ms), (3, 4));
    assert_eq!(ship(&mut world, 1, 4, &["d"]), Reply::Applied(4));
    assert_eq!(world.names(), ["a", "b", "c", "d"]);
}

#[test]
fn a_copy_puts_rows_and_leaves_the_sequence_alone() {
    let mut world = World::with_home();
    ship(&mut world, 1, 1, &["a"]);
    let copy = |epoch, first, generation| {
        let mut batch = batch(epoch, first, vec![put(1, "a"), put(1, "b")]);
        batch
            .changes
            .iter_mut()
            .for_each(|shipped| shipped.generation = generation);
        Command::Copy(batch)
    };
    assert_eq!(world.one(copy(2, 2, 1)), Reply::Fenced);
    assert_eq!(world.one(copy(1, 2, 9)), Reply::Applied(1), "not at home");
    assert_eq!(world.names(), ["a"]);
    for elsewhere in [0, 1, 3] {
        assert_eq!(world.one(copy(1, elsewhere, 1)), Reply::Gap(2));
    }
    assert_eq!(world.names(), ["a"]);
    assert_eq!(world.one(copy(1, 2, 1)), Reply::Applied(1));
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(ship(&mut world, 1, 2, &["c"]), Reply::Applied(2));
    assert_eq!(world.store.producer(NODE, 0).unwrap().rejected, 0);
}

#[test]
fn an_earlier_start_of_a_node_sends_no_more() {
    let mut world = World::with_home();
    ship(&mut world, 1, 1, &["a"]);
    assert_eq!(world.enter(), (2, vec![1, 0]));
    assert_eq!(ship(&mut world, 1, 2, &["b"]), Reply::Fenced);
    assert_eq!(
        ship(&mut world, 3, 2, &["b"]),
        Reply::Fenced,
        "nor one that was not let in"
    );
    let jump = |epoch, from| Command::Jump {
        node: NODE,
        log: 0,
        epoch,
        from,
        to: 9,
    };
    assert_eq!(world.one(jump(1, 1)), Reply::Fenced);
    assert_eq!(ship(&mut world, 2, 2, &["b"]), Reply::Applied(2));
    assert_eq!(world.one(jump(2, 1)), Reply::Gap(3), "it is late");
    assert_eq!(world.one(jump(2, 2)), Reply::Applied(9));
    assert_eq!(
        world.one(jump(2, 2)),
        Reply::Applied(9),
        "again, as nobody heard it"
    );
    assert_eq!(ship(&mut world, 2, 10, &["c"]), Reply::Applied(10));
    let stranger = Batch {
        node: 99,
        ..batch(0, 1, vec![put(1, "x")])
    };
    assert_eq!(world.one(Command::Ship(stranger)), Reply::Fenced);
    assert_eq!(world.names(), ["a", "b", "c"]);
}

#[test]
fn numbers_at_their_ends_do_no_harm() {
    let mut world = World::with_home();
    assert_eq!(ship(&mut world, 1, 0, &["a"]), Reply::Applied(0));
    assert_eq!(ship(&mut world, 1, u64::MAX, &["a"]), Reply::Gap(1));
    let jump = Command::Jump {
        node: NODE,
        log: 0,
        epoch: 1,
        from: 0,
        to: u64::MAX,
    };
    assert_eq!(world.one(jump), Reply::Applied(u64::MAX));
    assert_eq!(
        world.one(Command::Copy(batch(1, 1, vec![put(1, "a")]))),
        Reply::Gap(u64::MAX)
    );
    assert_eq!(ship(&mut world, 1, u64::MAX, &["a"]), Reply::Applied(u64::MAX));
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_change_from_elsewhere_is_rejected_and_the_rest_goes_on() {
    let mut world = World::with_home();
    let unknown = put(2, "unknown");
    assert_eq!(
        world.one(Command::Ship(batch(
            1,
            1,
            vec![put(1, "a"), unknown, put(1, "b")]
        ))),
        Reply::Applied(3)
    );
    let mut moved = batch(1, 4, vec![put(1, "moved")]);
    moved.changes[0].generation = 2;
    assert_eq!(world.one(Command::Ship(moved)), Reply::Applied(4));
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.store.producer(NODE, 0).unwrap().rejected, 2);
    let kept: Vec<_> = world
        .rows()
        .into_iter()
        .filter(|(key, _)| key[0] == b'j')
        .collect();
    assert_eq!(kept[0].0, keys::rejected(NODE, 0, 2));
    assert!(String::from_utf8_lossy(&kept[0].1).contains("no association"));
    assert!(String::from_utf8_lossy(&kept[1].1).contains("generation 2"));
}

#[test]
fn rejections_are_counted_but_not_all_kept() {
    let mut world = World::with_home();
    let most = usize::try_from(REJECTED_KEPT_MAX_COUNT).unwrap();
    let changes = vec![put(2, "x"); most + 1];
    world.one(Command::Ship(batch(1, 1, changes)));
    let kept = world.rows().into_iter().filter(|(key, _)| key[0] == b'j').count();
    assert_eq!(kept, most);
    assert_eq!(
        world.store.producer(NODE, 0).unwrap().rejected,
        REJECTED_KEPT_MAX_COUNT + 1
    );
}

#[test]
fn what_a_deleted_tenant_left_is_still_purged() {
    let mut world = World::with_home();
    ship(&mut world, 1, 1, &["a", "b"]);
    world.registry(accounts::Command::DeleteAssociation { key: association(1) });
    let entry = PurgedEntry::Dir {
        name: "a".to_owned(),
        id: Id([2; 16]),
    };
    let purge = Op::Purge {
        directory: DIRECTORY,
        entries: vec![entry],
        done: false,
    };
    let purge = change(1, vec![purge]);
    world.one(Command::Ship(batch(1, 3, vec![purge, put(1, "c")])));
    assert_eq!(world.names(), ["b"], "purged, and nothing is added");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A node sends any runs of its changes, again and again, and restarts; at last it sends all that is missing.
    #[test]
    fn every_change_is_applied_once_and_in_order(
        runs in prop::collection::vec((0_u64..30, 0_usize..8, prop::bool::weighted(0.1)), 0..40),
    ) {
        let mut world = World::with_home();
        let mut epoch = 1;
        // Every change takes the same name, so an older one that is applied later shows.
        let version = |sequence: u64| {
            let row = Row::Dir(DirRow {
                id: Id([2; 16]),
                created_at: i64::try_from(sequence).unwrap(),
                updated_at: None,
                mtime: 1,
                protocol: Protocol::Api,
            });
            let put = |name: String| Op::Put {
                directory: DIRECTORY,
                name,
                row: row.clone(),
                released: Vec::new(),
                linked: Vec::new(),
                was_unsummed: false,
            };
            change(1, vec![put("same".to_owned()), put(format!("{sequence:03}"))])
        };
        let send = |world: &mut World, epoch, first: u64, count: usize| {
            let changes = (first..first + count as u64).map(version).collect();
            world.one(Command::Ship(batch(epoch, first, changes)))
        };
        for (first, count, restart) in runs {
            if restart {
                epoch = world.enter().0;
            }
            let before = world.store.producer(NODE, 0).unwrap().applied;
            let reply = send(&mut world, epoch, first.max(1), count);
            let applied = world.store.producer(NODE, 0).unwrap().applied;
            prop_assert!(applied >= before);
            prop_assert!(reply == Reply::Applied(applied) || reply == Reply::Gap(before + 1));
            let expected: Vec<_> = (1..=applied).map(|sequence| format!("{sequence:03}")).collect();
            let mut names = world.names();
            if applied > 0 {
                prop_assert_eq!(names.pop().unwrap(), "same");
                let visit = &mut |name: &str, row: filegrid_tree::RowRef<'_>| {
                    let last = i64::try_from(applied).unwrap();
                    assert!(name != "same" || row.created_at() == last, "an older change came later");
                    ControlFlow::Continue(())
                };
                filegrid_tree::list_dir(&world.store.view(), DIRECTORY, None, visit).unwrap();
            }
            prop_assert_eq!(names, expected);
        }
    }
}

#[test]
fn a_start_that_the_cluster_has_forgotten_is_let_in_again_by_another_number() {
    let mut world = World::new();
    let again = Command::Return {
        node: NODE,
        logs: 2,
        start: Start::default(),
        epoch: 1,
    };
    let entered = world.one(again.clone());
    assert!(matches!(entered, Reply::Entered { epoch: 2, .. }), "{entered:?}");
    assert_eq!(
        world.one(again),
        Reply::Fenced,
        "what that start had sent before is late"
    );
}

#[test]
fn a_start_is_given_a_number_that_no_other_has_had() {
    let mut world = World::new();
    let mut enter = |number, nonce| {
        let start = Start { number, nonce };
        let entered = world.one(Command::Enter {
            node: NODE,
            logs: 2,
            start,
        });
        match entered {
            Reply::Entered { epoch, number, .. } => (epoch, number),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(enter(7, 1), (1, 7));
    assert_eq!(enter(7, 1), (1, 7), "nobody heard the first answer");
    assert_eq!(enter(8, 2), (2, 8));
    let other = 8 + Start::LEFT_OUT;
    assert_eq!(enter(8, 3), (3, other), "an older copy of its disk");
    assert_eq!(enter(8, 3), (3, other));
    assert_eq!(
        enter(7, 4),
        (4, other + Start::LEFT_OUT),
        "again, and still older"
    );
    assert_eq!(
        enter(other + Start::LEFT_OUT + 1, 5),
        (5, other + Start::LEFT_OUT + 1)
    );
}

#[test]
fn who_was_not_believed_is_asked_once_what_it_has_when_that_becomes_known() {
    let mut world = World::with_home();
    let compares = |world: &World| world.store.registry().compares(NODE);
    let create = |world: &mut World, key, node| {
        world.registry(accounts::Command::CreateAssociation {
            key: association(key),
            name: "again".to_owned(),
            node: Some(node),
        });
    };
    world.registry(accounts::Command::TakeOver {
        node: NODE,
        rows: Vec::new(),
        is_all: true,
        if_empty: false,
    });
    create(&mut world, 7, NODE);
    assert_eq!(compares(&world), 0, "nothing was rejected");
    world.one(Command::Ship(batch(1, 1, vec![put(2, "unknown")])));
    create(&mut world, 3, NODE + 1);
    assert_eq!(compares(&world), 0, "it is another node's");
    create(&mut world, 2, NODE);
    assert_eq!(compares(&world), 1);
    let compared = Compared {
        number: 1,
        rows: 2,
        sent: 1,
        lost: 0,
    };
    let told = Command::Compared {
        node: NODE,
        log: 0,
        epoch: 1,
        compared,
    };
    assert_eq!(world.one(told), Reply::Applied(1));
    create(&mut world, 5, NODE);
    assert_eq!(compares(&world), 1, "it has been asked");
}

#[test]
fn a_start_that_returns_twice_is_in_once() {
    let mut world = World::new();
    let back = |nonce| Command::Return {
        node: NODE,
        logs: 2,
        start: Start { number: 4, nonce },
        epoch: 1,
    };
    let entered = world.one(back(9));
    assert!(matches!(entered, Reply::Entered { epoch: 2, .. }), "{entered:?}");
    assert_eq!(world.one(back(9)), entered, "nobody heard the first answer");
    assert_eq!(world.one(back(8)), Reply::Fenced, "a copy of it");
}
