//! Whole lives of a tree.

use filegrid_tree::TreePath;
use proptest::prelude::*;

use crate::plan::{FilePlan, On, Place, Plan, Step, steps};
use crate::twin::Twin;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_tree_does_what_the_model_does(steps in steps(80)) {
        let mut twin = Twin::new();
        for step in &steps {
            twin.step(step);
        }
        purged(&mut twin);
    }
}

/// Applies what is queued, and purges to the end: nothing is left but what paths reach.
fn purged(twin: &mut Twin) {
    twin.step(&Step::Apply(usize::MAX));
    while twin.purge(2) {
        twin.step(&Step::Apply(usize::MAX));
    }
    let there: usize = twin.models.iter().map(|model| model.entries.len()).sum();
    assert_eq!(
        twin.rows.with_prefix(b't').len(),
        there,
        "rows that no path reaches"
    );
    assert!(twin.rows.with_prefix(b'q').is_empty(), "detached directories");
}

fn at(path: &str) -> Place {
    Place::Named(TreePath::parse(path).unwrap())
}

fn publish(paths: &[&str]) -> Step {
    let file = |path: &&str| FilePlan {
        place: at(path),
        extents: vec![true],
        on: On::Any,
        summed: false,
        mtime: None,
    };
    Step::Command(0, Plan::Publish(paths.iter().map(file).collect(), true))
}

fn moves(list: &[(&str, &str)]) -> Step {
    let moves = list.iter().map(|(from, to)| (at(from), at(to))).collect();
    Step::Command(0, Plan::Move(moves, false))
}

fn delete(path: &str) -> Step {
    Step::Command(0, Plan::Delete(vec![at(path)], at("/")))
}

/// Every sum that was made so far is noted.
fn sums() -> Step {
    Step::Command(0, Plan::SetSha256((0..40).collect()))
}

fn run(steps: &[Step]) {
    let mut twin = Twin::new();
    steps.iter().for_each(|step| twin.step(step));
    purged(&mut twin);
}

#[test]
fn a_sum_does_not_bring_back_what_is_being_purged() {
    run(&[
        publish(&["/d/f"]),
        delete("/d"),
        Step::Apply(9),
        Step::Purge(9),
        sums(),
        Step::Apply(9),
    ]);
}

#[test]
fn a_sum_stays_with_its_content_when_files_that_came_together_are_swapped() {
    let swap = moves(&[("/a", "/t"), ("/b", "/a"), ("/t", "/b")]);
    run(&[publish(&["/a", "/b"]), swap, sums()]);
}

#[test]
fn a_directory_that_was_looked_at_is_not_remembered_where_it_no_longer_is() {
    let look = [
        publish(&["/a/b/f"]),
        Step::Apply(9),
        publish(&["/a/b/g"]),
        Step::Apply(9),
    ];
    let after = [Step::Apply(9), publish(&["/a/b/h"]), moves(&[("/a/b", "/b")])];
    for change in [
        delete("/"),
        delete("/a"),
        delete("/a/b"),
        moves(&[("/a", "/c")]),
        moves(&[("/a/b", "/c")]),
    ] {
        run(&[&look[..], &[change], &after[..]].concat());
    }
}
