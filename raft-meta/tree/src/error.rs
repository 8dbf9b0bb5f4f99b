//! Why a path or a command is refused. Texts are shown to clients.

use crate::ViewError;

/// A path that names nothing in any tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` as a component.
    #[error("a path may not contain `..`")]
    Parent,
    /// A NUL byte.
    #[error("a path may not contain a NUL byte")]
    Nul,
    /// A backslash where a root is set.
    #[error("a root may not contain a backslash")]
    Backslash,
    /// A component over its limit.
    #[error("a name in the path is longer than 255 bytes")]
    NameTooLong,
    /// A path over its limit.
    #[error("the path is longer than 4096 bytes")]
    TooLong,
}

/// A command that the tree does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Nothing is there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Something is there and may not be replaced.
    #[error("{0} exists already")]
    Exists(String),
    /// A file was wanted.
    #[error("{0} is a directory")]
    IsDirectory(String),
    /// A directory was wanted.
    #[error("{0} is not a directory")]
    NotDirectory(String),
    /// An empty directory was wanted.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// A directory cannot be moved below itself.
    #[error("{0} cannot be moved into itself")]
    IntoItself(String),
    /// The file is no longer the version that the command was built on.
    #[error("{0} has changed meanwhile")]
    Stale(String),
    /// More than one change can hold.
    #[error("too much for one request: send it in several")]
    TooLarge,
    /// The ids of this start are used up, and there is no further one yet.
    #[error("there are no ids left: try again soon")]
    NoIds,
    /// A row that cannot be read.
    #[error("the tree is damaged: {0}")]
    Damaged(String),
    /// The rows could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}
