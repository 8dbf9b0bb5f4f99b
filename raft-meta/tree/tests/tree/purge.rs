//! Taking away, in steps, what hung below deleted directories.

use filegrid_tree::{
    Base, CHANGE_MAX_BYTES, Change, Command, Extent, FileContent, Id, IdMaker, Op, Protocol, Publication,
    TreePath, apply, purge_step,
};

use crate::rows::{ASSOCIATION, Rows, run};

/// Entries that a step may take.
const ENTRIES: usize = 1000;

/// Publishes files of so many extents below `/d`, and deletes that.
fn deleted(files: usize, extents: usize) -> Rows {
    let (mut rows, mut ids) = (Rows::default(), IdMaker::new(1, 1, 1));
    let mut blobs = IdMaker::new(1, 1, 2);
    for file in 0..files {
        let extents: Vec<_> = (0..extents)
            .map(|_| Extent {
                blob: blobs.next_id().unwrap(),
                offset: 0,
                length: 1,
                crc32: 0,
            })
            .collect();
        let publish = Command::Publish {
            files: vec![Publication {
                path: TreePath::parse(&format!("/d/{file:06}")).unwrap(),
                content: FileContent {
                    size: extents.len() as u64,
                    extents,
                    crc32: 0,
                    sha256: None,
                },
                base: Base::Any,
                mtime: None,
            }],
            make_parents: true,
        };
        run(&mut rows, &mut ids, &publish);
    }
    let delete = Command::Delete {
        paths: vec![TreePath::parse("/d").unwrap()],
        root: TreePath::root(),
    };
    run(&mut rows, &mut ids, &delete);
    rows
}

/// Purges to the end: the entries of each step.
fn purge(rows: &mut Rows) -> Vec<usize> {
    let mut steps = Vec::new();
    while let Some((association, op)) = purge_step(rows, ENTRIES, &|_| true).unwrap() {
        let Op::Purge { entries, .. } = &op else {
            panic!("{op:?}")
        };
        steps.push(entries.len());
        let change = Change {
            association,
            time: 1,
            protocol: Protocol::Api,
            ops: vec![op],
        };
        assert!(change.weight() <= CHANGE_MAX_BYTES, "a step is no change");
        assert!(change.encode().len() <= change.weight());
        apply(&change, rows).unwrap();
    }
    assert_eq!(rows.rows().len(), 1, "the root is left");
    assert!(rows.links.is_empty() && rows.with_prefix(b'q').is_empty());
    steps
}

#[test]
fn a_step_takes_so_many_entries_and_the_next_goes_on_behind_them() {
    assert_eq!(purge(&mut deleted(2500, 0)), [1000, 1000, 500]);
    assert_eq!(purge(&mut deleted(1000, 1)), [1000]);
}

#[test]
fn a_step_ends_early_where_files_have_many_blobs() {
    let steps = purge(&mut deleted(150, 1000));
    assert!(steps.len() > 2, "{steps:?}");
    assert_eq!(steps.iter().sum::<usize>(), 150);
    assert!(steps.iter().all(|step| *step > 0), "{steps:?}");
    // A file alone may be as heavy as a change can make it.
    assert_eq!(purge(&mut deleted(2, 70_000)), [1, 1]);
}

#[test]
fn only_ones_own_directories_are_purged() {
    let mut rows = deleted(1, 1);
    assert_eq!(
        purge_step(&rows, ENTRIES, &|association| *association != ASSOCIATION).unwrap(),
        None
    );
    purge(&mut rows);
    assert_eq!(
        rows.keys
            .keys()
            .filter(|key| key[1..17] == Id(ASSOCIATION).0)
            .count(),
        1
    );
}
