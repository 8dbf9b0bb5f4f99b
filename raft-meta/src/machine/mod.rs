//! The seam between replication and what is replicated.
//!
//! Commands, answers and marks are bytes: the replication layer knows nothing of what commands mean, and a machine
//! knows nothing of terms and members.

pub mod chunk;
mod error;

pub use self::error::MachineError;

/// A replicated state machine.
///
/// # Ensures
///
/// The same entries in the same order make the same rows and the same answers on every member.
///
/// Calls block, so they are made from a thread that may. [`apply`](Self::apply), [`persist`](Self::persist) and
/// [`MachineInstall::finish`] are called by one thread at a time; the rest may run beside them.
pub trait Machine: Send + Sync + 'static {
    /// The mark of the last batch; `None` for a machine that has applied nothing.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    fn applied(&self) -> Result<Option<Vec<u8>>, MachineError>;

    /// Applies entries in order. An entry of `None` changes nothing, it only moves the mark: a blank entry or a
    /// change of members. Returns an answer for each entry, an empty one for `None`. A command that is refused is
    /// an answer, not an error.
    ///
    /// # Crash
    ///
    /// The rows of all entries and `mark` are one atomic batch. It is not synced: after a power cut the machine may
    /// be older, and the log is applied again from [`applied`](Self::applied).
    ///
    /// # Errors
    ///
    /// If the batch cannot be read or written. The state is unknown then and the process must stop.
    fn apply(&self, entries: Vec<Option<Vec<u8>>>, mark: &[u8]) -> Result<Vec<Vec<u8>>, MachineError>;

    /// Makes everything applied so far survive a power cut, before the log is purged up to it.
    ///
    /// # Errors
    ///
    /// As for [`apply`](Self::apply).
    fn persist(&self) -> Result<(), MachineError>;

    /// A view of the rows as they are now, to be sent to another member. Later batches do not change it.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, MachineError>;

    /// Begins to take a snapshot of another member, in a directory beside the live one.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made.
    fn install(&self) -> Result<Box<dyn MachineInstall>, MachineError>;
}

/// Rows on their way, in the order of their keys.
pub type Chunk = Vec<(Vec<u8>, Vec<u8>)>;

/// A consistent view of the rows, read from the smallest key to the largest.
pub trait MachineSnapshot: Send {
    /// The mark that the view belongs to, as in [`Machine::applied`].
    fn mark(&self) -> Option<&[u8]>;

    /// The next rows: at least one, and no more than `max_bytes` of keys and values unless the first row alone is
    /// longer. `None` at the end.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read.
    fn next(&mut self, max_bytes: usize) -> Result<Option<Chunk>, MachineError>;
}

/// A snapshot that is being taken. Dropped before [`finish`](Self::finish), it leaves nothing behind.
pub trait MachineInstall: Send {
    /// Takes rows. They come in the order of [`MachineSnapshot::next`].
    ///
    /// # Errors
    ///
    /// If they are out of order or cannot be written.
    fn put(&mut self, chunk: Chunk) -> Result<(), MachineError>;

    /// Puts the taken rows and `mark` in the place of the live ones.
    ///
    /// # Crash
    ///
    /// Synced, renamed, the parent directory synced: after a power cut the machine has the old rows with the old
    /// mark or the new rows with the new mark.
    ///
    /// # Errors
    ///
    /// If they cannot be written or opened. The process must stop then.
    fn finish(self: Box<Self>, mark: &[u8]) -> Result<(), MachineError>;
}
