//! What the store can fail with.

use std::path::Path;
use std::time::Duration;

use filegrid_tree::TreeError;

use super::log::LogError;
use super::rows::RowsError;
use crate::error::Error;
use crate::limits;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused; names the operation, the file and the reason.
    #[error("{0}")]
    Disk(String),
    /// Durable bytes are not what was written; names the place.
    #[error("{0}")]
    Damaged(String),
    /// `DATA` is not one that this program may use; says why.
    #[error("{0}")]
    Refused(String),
    /// The log goes on in a segment that is still being made. Inside of the store, where that is waited for.
    #[error("the next segment of the log is being made")]
    NotReady,
    /// No space for this kind of write.
    #[error("no space left")]
    Full,
    /// The cluster is too far behind for more changes, or too far away.
    #[error(
        "the metadata cluster does not take changes, and too many wait for it already or it is away for too long"
    )]
    Behind,
    /// A write of a log failed earlier, so nothing is acknowledged any more.
    #[error("the log is fenced")]
    Fenced,
    /// The tree does not allow it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Ours.
    #[error("{0}")]
    Bug(String),
}

impl StoreError {
    /// A failed operation on a file.
    #[must_use]
    pub fn disk(what: &str, path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Disk(format!("cannot {what} {}: {error}", path.display())),
        }
    }
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full => Self::Full,
            LogError::NotReady => Self::NotReady,
            LogError::Fenced => Self::Fenced,
            LogError::Damaged(place) => Self::Damaged(place.to_string()),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<RowsError> for StoreError {
    fn from(error: RowsError) -> Self {
        Self::Disk(error.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::StorageFull,
            StoreError::Behind | StoreError::NotReady => Self::Unavailable {
                detail: error.to_string(),
                retry_after: Duration::from_secs(limits::BEHIND_RETRY_S),
            },
            StoreError::Fenced => Self::Fenced,
            StoreError::Damaged(place) => Self::Damaged(place),
            StoreError::Disk(text) => Self::Disk(text),
            StoreError::Tree(error) => error.into(),
            StoreError::Refused(text) | StoreError::Bug(text) => Self::Internal(text),
        }
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        let text = error.to_string();
        match error {
            TreeError::NotFound(_) => Self::NotFound(text),
            TreeError::Exists(_)
            | TreeError::IsDirectory(_)
            | TreeError::NotDirectory(_)
            | TreeError::NotEmpty(_)
            | TreeError::IntoItself(_) => Self::Conflict(text),
            TreeError::Stale(_) => Self::PreconditionFailed,
            TreeError::TooLarge => Self::TooLarge(text),
            TreeError::NoIds => Self::Unavailable {
                detail: text,
                retry_after: Duration::from_secs(limits::IDS_RETRY_S),
            },
            TreeError::Damaged(_) => Self::Damaged(text),
            TreeError::View(_) => Self::Disk(text),
        }
    }
}
