//! Directories as deep as paths reach, and as moves can make them.

use std::ops::ControlFlow;

use filegrid_tree::{Change, Command, IdMaker, PATH_MAX_BYTES, Protocol, TreePath, apply, purge_step, walk};

use crate::rows::{ASSOCIATION, Rows, run};

/// What a thread of Rust has when nobody says otherwise.
const STACK_BYTES: usize = 2 << 20;
/// Names in the longest path.
const NAMES: usize = PATH_MAX_BYTES / 2;

fn chain(names: usize) -> TreePath {
    TreePath::parse(&"/a".repeat(names)).unwrap()
}

/// A chain of directories, as many times longer than the longest path.
fn deep(times: usize) -> Rows {
    let (mut rows, mut ids) = (Rows::default(), IdMaker::new(1, 1, 1));
    let make = Command::MakeDir {
        path: chain(NAMES - 1),
        parents: true,
        existing_ok: false,
    };
    let top = |name: &str| TreePath::parse(name).unwrap();
    run(&mut rows, &mut ids, &make);
    for _ in 1..times {
        let aside = vec![(top("/a"), top("/b"))];
        run(
            &mut rows,
            &mut ids,
            &Command::Move {
                moves: aside,
                replace: false,
            },
        );
        run(&mut rows, &mut ids, &make);
        let below = vec![(top("/b"), chain(NAMES))];
        run(
            &mut rows,
            &mut ids,
            &Command::Move {
                moves: below,
                replace: false,
            },
        );
    }
    rows
}

/// Walks the chain behind a path of so many names; each entry is one name longer than the one before.
fn count(rows: &Rows, after: usize) -> usize {
    let mut depth = after;
    let after = chain(after);
    walk(
        rows,
        ASSOCIATION,
        &TreePath::root(),
        Some(&after),
        &mut |path, _| {
            depth += 1;
            assert!(depth < rows.keys.len(), "the walk goes round");
            assert_eq!(path.len(), 2 * depth);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    depth
}

#[test]
fn the_deepest_directories_are_walked_on_a_small_stack() {
    let times = 8;
    let walked = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let rows = deep(times);
            [0, 1, NAMES - 1, NAMES].map(|after| count(&rows, after))
        })
        .unwrap();
    assert_eq!(walked.join().unwrap(), [times * (NAMES - 1); 4]);
}

#[test]
fn the_deepest_directories_are_purged() {
    let (mut rows, mut ids) = (deep(2), IdMaker::new(1, 2, 1));
    let root = TreePath::root();
    let delete = Command::Delete {
        paths: vec![root.clone()],
        root,
    };
    run(&mut rows, &mut ids, &delete);
    while let Some((association, op)) = purge_step(&rows, 1000, &|_| true).unwrap() {
        let change = Change {
            association,
            time: 1,
            protocol: Protocol::Api,
            ops: vec![op],
        };
        apply(&change, &mut rows).unwrap();
    }
    assert_eq!(rows.rows().len(), 1);
    assert_eq!(rows.keys.len(), 2, "the root and its place");
}
