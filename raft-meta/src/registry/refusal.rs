//! Why a command is refused. Texts are shown to clients.

use serde::{Deserialize, Serialize};

/// A command that the registry does not allow. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A field holds what it may not.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as the API calls it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What is to be changed is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// It is there already, or another state is in the way.
    #[error("{0}")]
    Conflict(String),
}

impl Refusal {
    pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}
