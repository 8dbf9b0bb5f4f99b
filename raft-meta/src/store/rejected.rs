//! Changes that were rejected: kept with their reasons, shown to the operator.

use std::ops::ControlFlow;

use filegrid_tree::{View, keys as tree_keys};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::limits::OPERATOR_PAGE_MAX_COUNT;
use crate::machine::MachineError;

/// Some of the changes that were rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPage {
    /// The changes, by node, log and sequence.
    pub entries: Vec<RejectedShown>,
    /// Goes on behind this key; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// A change that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedShown {
    /// The node that sent it.
    pub node: u64,
    /// The log.
    pub log: u8,
    /// Its sequence there.
    pub sequence: u64,
    /// Why.
    pub reason: String,
}

impl RejectedPage {
    /// The changes behind a key.
    ///
    /// # Errors
    ///
    /// If rows cannot be read.
    pub fn of(view: &dyn View, after: &[u8]) -> Result<Self, MachineError> {
        let (mut from, to) = tree_keys::all(keys::REJECTED);
        if !after.is_empty() {
            from = after.to_vec();
            from.push(0);
        }
        let mut page = Self::default();
        let mut last = Vec::new();
        let mut unreadable = false;
        view.scan(&from, &to, &mut |key, value| {
            if page.entries.len() >= OPERATOR_PAGE_MAX_COUNT {
                page.next = Some(std::mem::take(&mut last));
                return ControlFlow::Break(());
            }
            match (keys::split_rejected(key), serde_json::from_slice(value)) {
                (Some((node, log, sequence)), Ok(reason)) => page.entries.push(RejectedShown {
                    node,
                    log,
                    sequence,
                    reason,
                }),
                _ => unreadable = true,
            }
            last = key.to_vec();
            if unreadable {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(|error| MachineError::Disk(error.to_string()))?;
        if unreadable {
            let what = "a rejected change cannot be read".to_owned();
            return Err(MachineError::Damaged(what));
        }
        Ok(page)
    }
}
