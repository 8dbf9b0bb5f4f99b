//! Bytes of changes and rows, and the longest change.

use filegrid_tree::{
    CHANGE_MAX_BYTES, Change, Command, DirRow, Extent, FileRow, Id, IdMaker, Op, Protocol, PurgedEntry, Row,
    Stamp, TreeError, TreePath, resolve,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::rows::Rows;

fn id() -> impl Strategy<Value = Id> {
    any::<[u8; 16]>().prop_map(Id)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z]{1,12}", 1 => "[^/\0]{1,80}", 1 => Just("x".repeat(255))]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![
        Protocol::Api,
        Protocol::Ftp,
        Protocol::Ftps,
        Protocol::Sftp,
        Protocol::Scp,
    ])
}

fn row() -> impl Strategy<Value = Row> {
    let extent =
        (id(), any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(blob, offset, length, crc32)| Extent {
            blob,
            offset,
            length,
            crc32,
        });
    let times = || (any::<i64>(), option::of(any::<i64>()), any::<i64>(), protocol());
    let file = (
        any::<(u64, u64, u32)>(),
        option::of(any::<[u8; 32]>()),
        times(),
        vec(extent, 0..9),
    );
    let file = file.prop_map(
        |((version, size, crc32), sha256, (created_at, updated_at, mtime, protocol), extents)| {
            Row::File(FileRow {
                version,
                size,
                crc32,
                sha256,
                created_at,
                updated_at,
                mtime,
                protocol,
                extents,
            })
        },
    );
    let directory = (id(), times()).prop_map(|(id, (created_at, updated_at, mtime, protocol))| {
        Row::Dir(DirRow {
            id,
            created_at,
            updated_at,
            mtime,
            protocol,
        })
    });
    prop_oneof![file, directory]
}

fn op() -> impl Strategy<Value = Op> {
    let blobs = || vec(id(), 0..5);
    let entry = prop_oneof![
        (name(), blobs()).prop_map(|(name, released)| PurgedEntry::File { name, released }),
        (name(), id()).prop_map(|(name, id)| PurgedEntry::Dir { name, id }),
    ];
    prop_oneof![
        (id(), name(), row(), blobs(), blobs(), any::<bool>()).prop_map(
            |(directory, name, row, released, linked, was_unsummed)| Op::Put {
                directory,
                name,
                row,
                released,
                linked,
                was_unsummed,
            }
        ),
        (id(), name(), blobs()).prop_map(|(directory, name, released)| Op::Remove {
            directory,
            name,
            released,
        }),
        (id(), name(), id(), name(), row()).prop_map(
            |(from_directory, from_name, to_directory, to_name, row)| {
                Op::Rename {
                    from_directory,
                    from_name,
                    to_directory,
                    to_name,
                    row,
                }
            }
        ),
        (id(), name(), id()).prop_map(|(directory, name, id)| Op::Detach { directory, name, id }),
        (id(), vec(entry, 0..9), any::<bool>()).prop_map(|(directory, entries, done)| Op::Purge {
            directory,
            entries,
            done,
        }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    (any::<[u8; 16]>(), any::<i64>(), protocol(), vec(op(), 0..6)).prop_map(
        |(association, time, protocol, ops)| Change {
            association,
            time,
            protocol,
            ops,
        },
    )
}

proptest! {
    #[test]
    fn a_change_is_read_as_written_and_not_longer_than_its_weight(change in change()) {
        let bytes = change.encode();
        prop_assert!(bytes.len() <= change.weight(), "{} over {}", bytes.len(), change.weight());
        prop_assert_eq!(Change::decode(&bytes), Ok(change));
    }

    #[test]
    fn a_row_is_read_as_written(row in row()) {
        prop_assert_eq!(Row::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn damaged_bytes_are_refused_or_read(
        change in change(), row in row(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        for bytes in [change.encode(), row.encode()] {
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= byte;
            let _ = (Change::decode(&damaged), Row::decode(&damaged));
            let cut = &bytes[..cut.index(bytes.len())];
            let _ = (Change::decode(cut), Row::decode(cut));
        }
        prop_assert_eq!(Row::decode(&[]), Err(TreeError::Damaged("a row cannot be read".to_owned())));
    }
}

/// Resolves a list of so many moves, of names of 255 bytes.
fn make(count: usize) -> Result<Change, TreeError> {
    let moves = |count: usize| -> Vec<_> {
        let path = |at: usize| TreePath::parse(&format!("{at:0255}")).unwrap();
        (0..count).map(|at| (path(at), path(at + 1))).collect()
    };
    let (mut rows, mut ids) = (Rows::default(), IdMaker::new(1, 1, 1));
    let stamp = Stamp {
        now_ms: 1,
        version: 1,
        protocol: Protocol::Api,
    };
    let first = Command::MakeDir {
        path: TreePath::parse(&format!("{:0255}", 0)).unwrap(),
        parents: false,
        existing_ok: false,
    };
    let made = resolve(&rows, [1; 16], stamp, &mut ids, &first)?;
    filegrid_tree::apply(&made.change, &mut rows)?;
    let moves = Command::Move {
        moves: moves(count),
        replace: false,
    };
    resolve(&rows, [1; 16], stamp, &mut ids, &moves).map(|resolved| resolved.change)
}

#[test]
fn the_longest_change_fits_and_a_longer_one_is_refused() {
    // What one move of this kind weighs.
    let one = make(2).unwrap().weight() - make(1).unwrap().weight();
    let most = (CHANGE_MAX_BYTES - (make(1).unwrap().weight() - one)) / one;
    let longest = make(most).unwrap();
    assert!(longest.encode().len() <= CHANGE_MAX_BYTES);
    assert_eq!(make(most + 1), Err(TreeError::TooLarge));
}
