//! Random steps. Paths are few, so that commands meet; many point at what is there.

use filegrid_tree::TreePath;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What is to be done next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A command in one of two associations.
    Command(usize, Plan),
    /// The oldest queued changes are applied.
    Apply(usize),
    /// A step of purging, of so many entries.
    Purge(usize),
}

/// A path.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// As it stands.
    Named(TreePath),
    /// One of those that are there, or a name below it.
    There(usize, Option<String>),
}

/// What a publication builds on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Any,
    Absent,
    /// The version that is there; it is continued.
    Current,
    Other,
}

/// A file to be published.
#[derive(Debug, Clone)]
pub(crate) struct FilePlan {
    pub(crate) place: Place,
    /// For each extent whether it is of a fresh blob, else of the one before.
    pub(crate) extents: Vec<bool>,
    pub(crate) on: On,
    pub(crate) summed: bool,
    pub(crate) mtime: Option<i64>,
}

/// A command before its paths are chosen.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    CreateRoot,
    Publish(Vec<FilePlan>, bool),
    MakeDir(Place, bool, bool),
    Move(Vec<(Place, Place)>, bool),
    Delete(Vec<Place>, Place),
    SetTime(Place, i64),
    /// Which of the sums that were made so far are noted.
    SetSha256(Vec<usize>),
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    // Before and behind `/` in the order of bytes.
    prop::sample::select(vec!["a", "b", "a!", "a0", "é"]).prop_map(str::to_owned)
}

fn place() -> impl Strategy<Value = Place> {
    let named = vec(name(), 0..4).prop_map(|names| Place::Named(TreePath::parse(&names.join("/")).unwrap()));
    let there = (0..1000_usize, option::of(name()));
    prop_oneof![1 => named, 2 => there.prop_map(|(at, below)| Place::There(at, below))]
}

fn file() -> impl Strategy<Value = FilePlan> {
    let on =
        prop_oneof![4 => Just(On::Any), 1 => Just(On::Absent), 2 => Just(On::Current), 1 => Just(On::Other)];
    let extents = vec(prop::bool::weighted(0.7), 0..4);
    (place(), extents, on, any::<bool>(), option::of(0..1000_i64)).prop_map(
        |(place, extents, on, summed, mtime)| FilePlan {
            place,
            extents,
            on,
            summed,
            mtime,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        1 => Just(Plan::CreateRoot),
        8 => (vec(file(), 1..4), prop::bool::weighted(0.8)).prop_map(|(files, make)| Plan::Publish(files, make)),
        4 => (place(), any::<bool>(), any::<bool>()).prop_map(|(at, parents, ok)| Plan::MakeDir(at, parents, ok)),
        8 => (vec((place(), place()), 1..4), any::<bool>()).prop_map(|(moves, replace)| Plan::Move(moves, replace)),
        3 => (vec(place(), 1..3), place()).prop_map(|(paths, root)| Plan::Delete(paths, root)),
        1 => (place(), 0..1000_i64).prop_map(|(at, mtime)| Plan::SetTime(at, mtime)),
        4 => vec(0..1000_usize, 1..4).prop_map(Plan::SetSha256),
    ]
}

/// Steps, of which some apply what is queued.
pub(crate) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let command = (prop::bool::weighted(0.15), plan())
        .prop_map(|(other, plan)| Step::Command(usize::from(other), plan));
    let step = prop_oneof![
        8 => command,
        3 => (1..6_usize).prop_map(Step::Apply),
        2 => (1..4_usize).prop_map(Step::Purge),
    ];
    vec(step, 1..count)
}
