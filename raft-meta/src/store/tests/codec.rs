//! Commands as bytes.

use proptest::prelude::*;

use super::*;

fn lost() -> impl Strategy<Value = Lost> {
    let mark = (any::<u128>(), any::<u64>(), any::<String>());
    (any::<[u8; 16]>(), any::<String>(), mark).prop_map(|(directory, name, (key, node, path))| {
        let association = association(key);
        let mark = LostMark {
            association,
            node,
            path,
        };
        Lost::new(Id(directory), &name, mark)
    })
}

fn start() -> impl Strategy<Value = Start> {
    any::<(u32, u64)>().prop_map(|(number, nonce)| Start { number, nonce })
}

fn commands() -> impl Strategy<Value = Command> {
    let shipped = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(generation, change)| Shipped { generation, change });
    let numbers = (
        any::<u64>(),
        any::<u8>(),
        any::<u64>(),
        any::<u64>(),
        any::<i64>(),
    );
    prop_oneof![
        (numbers, prop::collection::vec(shipped, 0..4)).prop_map(
            |((node, log, epoch, first, as_of_ms), changes)| Command::Ship(Batch {
                node,
                log,
                epoch,
                first,
                as_of_ms,
                changes,
            })
        ),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|change| Command::Copy(batch(1, 1, vec![change]))),
        (any::<(u64, u8)>(), start()).prop_map(|((node, logs), start)| Command::Enter { node, logs, start }),
        (any::<(u64, u8, u64)>(), start()).prop_map(|((node, logs, epoch), start)| Command::Return {
            node,
            logs,
            start,
            epoch,
        }),
        any::<(u64, u8, u64, u64, u64)>().prop_map(|(node, log, epoch, from, to)| Command::Jump {
            node,
            log,
            epoch,
            from,
            to,
        }),
        (any::<(u64, u8, u64, u64)>(), prop::collection::vec(lost(), 0..4)).prop_map(
            |((node, log, epoch, at), entries)| Command::Lost {
                node,
                log,
                epoch,
                at,
                entries,
            }
        ),
        any::<u128>().prop_map(|key| Command::Registry(accounts::Command::DeleteAssociation {
            key: association(key)
        })),
    ]
}

proptest! {
    #[test]
    fn a_command_reads_back_and_a_part_of_it_does_not(command in commands(), cut in any::<prop::sample::Index>()) {
        let bytes = command.encode().unwrap();
        prop_assert_eq!(&Command::decode(&bytes).unwrap(), &command);
        let part = &bytes[..cut.index(bytes.len())];
        if let Ok(other) = Command::decode(part) {
            // Between two changes of a batch a cut cannot be seen: frames carry the length and a sum.
            prop_assert!(matches!(other, Command::Ship(_) | Command::Copy(_)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Command::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}

#[test]
fn a_store_does_not_go_on_without_what_it_cannot_read() {
    let mut world = World::with_home();
    let before = world.rows();
    for bytes in [vec![], vec![9], vec![2, 1], b"\x01{}".to_vec()] {
        assert!(world.store.apply(vec![Some(bytes)], b"x").is_err());
    }
    let broken = Command::Ship(batch(1, 1, vec![b"no change".to_vec()]));
    assert!(
        world
            .store
            .apply(vec![Some(broken.encode().unwrap())], b"x")
            .is_err()
    );
    assert_eq!(world.rows(), before);
    world.applied += 1;
}
