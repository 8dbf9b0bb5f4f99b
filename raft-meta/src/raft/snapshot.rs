//! The rows of the state machine on their way to or from another member.

use crate::machine::{MachineError, MachineInstall, MachineSnapshot};

/// A snapshot, from one side or the other.
pub(crate) enum SnapshotData {
    /// To be sent: a view of our rows.
    Outgoing(Box<dyn MachineSnapshot>),
    /// Being taken: the rows that have come so far.
    Incoming(Box<dyn MachineInstall>),
}

impl std::fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Outgoing(_) => "outgoing snapshot",
            Self::Incoming(_) => "incoming snapshot",
        })
    }
}

impl SnapshotData {
    /// Puts the rows in the place of the live ones. `install` is used for a view of other rows in this process.
    ///
    /// # Errors
    ///
    /// Those of the machine.
    pub(super) fn finish(
        self,
        install: impl FnOnce() -> Result<Box<dyn MachineInstall>, MachineError>,
        mark: &[u8],
    ) -> Result<(), MachineError> {
        let into = match self {
            Self::Incoming(into) => into,
            Self::Outgoing(mut view) => {
                let mut into = install()?;
                while let Some(chunk) = view.next(crate::limits::SNAPSHOT_CHUNK_MAX_BYTES)? {
                    into.put(chunk)?;
                }
                into
            }
        };
        into.finish(mark)
    }
}
