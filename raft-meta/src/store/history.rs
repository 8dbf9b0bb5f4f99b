//! The newest changes of the registry, for those who follow it.

use std::collections::VecDeque;

use crate::limits::REGISTRY_HISTORY_MAX_BYTES;
use crate::registry::{Position, RowChange};

/// What one command changed.
struct Step {
    before: Position,
    changes: Vec<RowChange>,
    bytes: usize,
}

/// The newest changes, as many as the limit lets. In memory only: who followed a member before it started, or another, and
/// is not where this one is, is sent all.
#[derive(Default)]
pub(super) struct History {
    steps: VecDeque<Step>,
    bytes: usize,
}

impl History {
    /// Takes what a command changed, and gives up what is oldest.
    pub(super) fn push(&mut self, before: Position, changes: Vec<RowChange>, bytes: usize) {
        self.bytes += bytes;
        self.steps.push_back(Step {
            before,
            changes,
            bytes,
        });
        while self.bytes > REGISTRY_HISTORY_MAX_BYTES
            && let Some(oldest) = self.steps.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// What was changed since a position; `None` if that is not known any more, or never was.
    pub(super) fn since(&self, position: Position) -> Option<Vec<RowChange>> {
        let from = self.steps.iter().position(|step| step.before == position)?;
        let steps = self.steps.iter().skip(from);
        Some(steps.flat_map(|step| step.changes.iter().cloned()).collect())
    }
}
