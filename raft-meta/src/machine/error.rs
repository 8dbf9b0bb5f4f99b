//! Why a machine cannot go on.

/// A failure of the machine's store. It is not retried: the member says so and ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// A read or a write failed.
    #[error("metadata store: {0}")]
    Disk(String),
    /// What was read or sent is not what can have been written.
    #[error("metadata store is damaged: {0}")]
    Damaged(String),
}
