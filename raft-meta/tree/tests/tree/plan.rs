//! Random steps. Paths are few, so that commands meet; many point at what is there.

use filegrid_tree::{Removal, TreePath};
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
    /// One of those that are there; the root only if nothing else is.
    There(usize),
    /// A name in one of the directories that are there.
    In(usize, String),
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
    Remove(Place, Removal),
    SetTime(Place, i64),
    /// Which of the sums that were made so far are noted.
    SetSha256(Vec<usize>),
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    // Before and behind `/` in the order of bytes.
    prop::sample::select(vec!["a", "b", "a!", "a0", "b!", "c", "z", "é"]).prop_map(str::to_owned)
}

fn named() -> impl Strategy<Value = Place> {
    vec(name(), 0..4).prop_map(|names| Place::Named(TreePath::parse(&names.join("/")).unwrap()))
}

fn there() -> impl Strategy<Value = Place> {
    (0..1000_usize).prop_map(Place::There)
}

/// Mostly one that is there.
fn old() -> impl Strategy<Value = Place> {
    prop_oneof![1 => named(), 9 => there()]
}

/// Mostly one that could be there.
fn new() -> impl Strategy<Value = Place> {
    let within = (0..1000_usize, name()).prop_map(|(at, name)| Place::In(at, name));
    prop_oneof![1 => named(), 1 => there(), 5 => within]
}

/// A root, mostly the association's.
fn root() -> impl Strategy<Value = Place> {
    prop_oneof![1 => there(), 1 => Just(Place::Named(TreePath::root()))]
}

fn file() -> impl Strategy<Value = FilePlan> {
    let on =
        prop_oneof![4 => Just(On::Any), 1 => Just(On::Absent), 2 => Just(On::Current), 1 => Just(On::Other)];
    let extents = vec(prop::bool::weighted(0.7), 0..4);
    (new(), extents, on, any::<bool>(), option::of(0..1000_i64)).prop_map(
        |(place, extents, on, summed, mtime)| FilePlan {
            place,
            extents,
            on,
            summed,
            mtime,
        },
    )
}

/// Mostly one: all of a list have to succeed.
fn moves() -> impl Strategy<Value = Vec<(Place, Place)>> {
    let one = || (old(), new());
    prop_oneof![2 => vec(one(), 1), 1 => vec(one(), 2..4)]
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        1 => Just(Plan::CreateRoot),
        8 => (vec(file(), 1..4), prop::bool::weighted(0.8)).prop_map(|(files, make)| Plan::Publish(files, make)),
        6 => (new(), any::<bool>(), any::<bool>()).prop_map(|(at, parents, ok)| Plan::MakeDir(at, parents, ok)),
        12 => (moves(), any::<bool>()).prop_map(|(moves, replace)| Plan::Move(moves, replace)),
        1 => (vec(old(), 1..3), root()).prop_map(|(paths, root)| Plan::Delete(paths, root)),
        3 => (old(), any::<bool>()).prop_map(|(at, file)| {
            Plan::Remove(at, if file { Removal::File } else { Removal::EmptyDirectory })
        }),
        1 => (old(), 0..1000_i64).prop_map(|(at, mtime)| Plan::SetTime(at, mtime)),
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
    vec(step, count / 2..count)
}
