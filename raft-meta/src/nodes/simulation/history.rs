//! Whether what several clients were told of one thing could have been so if it had happened one after the other, each
//! between question and answer (Herlihy and Wing 1990; the search is that of Wing and Gong with the memory of Lowe).

use std::collections::HashSet;

/// What was wanted of an entry that is there with a value, or is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Makes it. Refused if it is there.
    Create(u64),
    /// Gives it another value. Refused if it is not there.
    Update(u64),
    /// Takes it away. Refused if it is not there.
    Delete,
    /// Looks at it.
    Read,
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is done.
    Done,
    /// It is refused.
    Refused,
    /// The value; `None` if it is not there.
    Seen(Option<u64>),
    /// Nothing: it may be done at any time from the question on, or never.
    Nothing,
}

/// A question and its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) want: Want,
    pub(super) told: Told,
    /// When it was asked, and answered, by one clock that never shows the same twice.
    pub(super) asked: u64,
    pub(super) answered: u64,
}

type State = Option<u64>;

impl Operation {
    /// The state after it, if it may happen to a state and be told so.
    fn happen(&self, state: State) -> Option<State> {
        let (after, told) = match (self.want, state) {
            (Want::Create(value), None) => (Some(value), Told::Done),
            (Want::Update(value), Some(_)) => (Some(value), Told::Done),
            (Want::Delete, Some(_)) => (None, Told::Done),
            (Want::Read, state) => (state, Told::Seen(state)),
            (Want::Create(_), Some(_)) | (Want::Update(_) | Want::Delete, None) => (state, Told::Refused),
        };
        (self.told == told || self.told == Told::Nothing).then_some(after)
    }

    /// Whether it matters: of what nobody was told of, only what somebody may have seen.
    fn matters(&self, all: &[Self]) -> bool {
        match (self.told, self.want) {
            (Told::Nothing, Want::Read) => false,
            (Told::Nothing, Want::Update(value)) => {
                all.iter().any(|other| other.told == Told::Seen(Some(value)))
            }
            _ => true,
        }
    }
}

/// Whether there is an order. At most 128 operations that matter.
pub(super) fn has_order(history: &[Operation]) -> bool {
    let mut operations: Vec<_> = history
        .iter()
        .filter(|operation| operation.matters(history))
        .copied()
        .collect();
    operations.sort_by_key(|operation| operation.asked);
    assert!(operations.len() <= 128, "{} operations", operations.len());
    let mut search = Search {
        operations,
        seen: HashSet::new(),
    };
    search.goes_on(0, None)
}

struct Search {
    operations: Vec<Operation>,
    /// From where it is known that there is no way: what has happened, and the state.
    seen: HashSet<(u128, State)>,
}

impl Search {
    /// Whether all that is left can happen, where `done` has.
    fn goes_on(&mut self, done: u128, state: State) -> bool {
        let is_left = |at: usize| done & (1 << at) == 0;
        let left: Vec<_> = (0..self.operations.len()).filter(|at| is_left(*at)).collect();
        let told = left.iter().map(|at| &self.operations[*at]);
        let told = told.filter(|operation| operation.told != Told::Nothing);
        // Nothing can happen that was asked after something was answered that has not happened yet.
        let Some(end) = told.map(|operation| operation.answered).min() else {
            return true;
        };
        if !self.seen.insert((done, state)) {
            return false;
        }
        for at in left {
            let operation = self.operations[at];
            if operation.asked > end {
                break;
            }
            if let Some(after) = operation.happen(state)
                && self.goes_on(done | (1 << at), after)
            {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations by what was wanted and told, and when they began and ended.
    fn history(of: &[(Want, Told, u64, u64)]) -> Vec<Operation> {
        let operation = |(want, told, asked, answered): &(Want, Told, u64, u64)| Operation {
            want: *want,
            told: *told,
            asked: *asked,
            answered: *answered,
        };
        of.iter().map(operation).collect()
    }

    use Told::{Done, Nothing, Refused, Seen};
    use Want::{Create, Delete, Read, Update};

    #[test]
    fn what_happened_one_after_the_other_has_an_order() {
        assert!(has_order(&[]));
        assert!(has_order(&history(&[
            (Read, Seen(None), 1, 2),
            (Create(1), Done, 3, 4),
            (Create(2), Refused, 5, 6),
            (Update(3), Done, 7, 8),
            (Read, Seen(Some(3)), 9, 10),
            (Delete, Done, 11, 12),
            (Delete, Refused, 13, 14),
            (Read, Seen(None), 15, 16),
        ])));
    }

    #[test]
    fn what_overlaps_may_have_happened_in_any_order() {
        for seen in [1, 2] {
            assert!(has_order(&history(&[
                (Create(1), Done, 1, 2),
                (Update(2), Done, 3, 10),
                (Read, Seen(Some(seen)), 4, 5),
            ])));
        }
        // The answer to the read comes last, but it may have happened first.
        assert!(has_order(&history(&[
            (Read, Seen(None), 1, 9),
            (Create(1), Done, 2, 3),
            (Update(2), Done, 4, 5),
        ])));
    }

    #[test]
    fn what_nobody_was_told_of_may_happen_late_or_never() {
        let begun = [(Create(1), Done, 1, 2), (Update(2), Nothing, 3, 4)];
        for seen in [[1, 1], [2, 2], [1, 2]] {
            let reads = [
                (Read, Seen(Some(seen[0])), 5, 6),
                (Read, Seen(Some(seen[1])), 7, 8),
            ];
            assert!(has_order(&history(&[begun, reads].concat())));
        }
        let reads = [(Read, Seen(Some(2)), 5, 6), (Read, Seen(Some(1)), 7, 8)];
        assert!(!has_order(&history(&[begun, reads].concat())), "but not twice");
        let before = [(Read, Seen(Some(2)), 1, 2), (Create(1), Done, 3, 4)];
        assert!(!has_order(&history(&before)), "nor unasked");
    }

    #[test]
    fn an_old_value_is_found_out() {
        let begun = [(Create(1), Done, 1, 2), (Update(2), Done, 3, 4)];
        for wrong in [Seen(Some(1)), Seen(None), Seen(Some(7))] {
            let read = [(Read, wrong, 5, 6)];
            assert!(!has_order(&history(&[&begun[..], &read].concat())), "{wrong:?}");
        }
        // Two that overlap the change, one after the other: the second goes back.
        assert!(!has_order(&history(&[
            (Create(1), Done, 1, 2),
            (Update(2), Done, 3, 20),
            (Read, Seen(Some(2)), 5, 6),
            (Read, Seen(Some(1)), 7, 8),
        ])));
    }

    #[test]
    fn what_is_done_twice_or_not_at_all_is_found_out() {
        assert!(!has_order(&history(&[
            (Create(1), Done, 1, 10),
            (Create(2), Done, 2, 9),
        ])));
        assert!(!has_order(&history(&[
            (Create(1), Done, 1, 2),
            (Delete, Done, 3, 4),
            (Delete, Done, 5, 6),
        ])));
        assert!(!has_order(&history(&[
            (Create(1), Done, 1, 2),
            (Delete, Refused, 3, 4)
        ])));
    }
}
