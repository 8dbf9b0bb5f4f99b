//! A key-value store as a machine, on the tree store that members use: what etcd does with a put.

use std::path::Path;

use filegrid_meta::machine::{Chunk, Machine, MachineError, MachineInstall, MachineSnapshot};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// No key of a client: those have 16 bytes.
const MARK: &[u8] = b"mark";
const KEY_BYTES: usize = 16;

/// Keys and values; a command is a key and then a value.
pub(crate) struct Puts {
    database: Database,
    keyspace: Keyspace,
}

fn broken(error: impl std::fmt::Display) -> MachineError {
    MachineError::Disk(error.to_string())
}

impl Puts {
    /// Opens the store in a directory.
    pub(crate) fn open(path: &Path) -> Result<Self, MachineError> {
        let database = Database::builder(path)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(broken)?;
        let options = || KeyspaceCreateOptions::default().manual_journal_persist(true);
        let keyspace = database.keyspace("puts", options).map_err(broken)?;
        Ok(Self { database, keyspace })
    }
}

impl Machine for Puts {
    fn applied(&self) -> Result<Option<Vec<u8>>, MachineError> {
        let mark = self.keyspace.get(MARK).map_err(broken)?;
        Ok(mark.map(|mark| mark.to_vec()))
    }

    fn apply(&self, entries: Vec<Option<Vec<u8>>>, mark: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let mut batch = self.database.batch();
        let count = entries.len();
        for command in entries.into_iter().flatten() {
            let (key, value) = command
                .split_at_checked(KEY_BYTES)
                .ok_or_else(|| broken("a short command"))?;
            batch.insert(&self.keyspace, key, value);
        }
        batch.insert(&self.keyspace, MARK, mark);
        batch.commit().map_err(broken)?;
        Ok(vec![Vec::new(); count])
    }

    fn persist(&self) -> Result<(), MachineError> {
        self.database.persist(PersistMode::SyncAll).map_err(broken)
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, MachineError> {
        Ok(Box::new(NoRows(self.applied()?)))
    }

    fn install(&self) -> Result<Box<dyn MachineInstall>, MachineError> {
        Err(broken("members of the bench do not lag so far"))
    }
}

/// What a member says of its rows when it makes them durable; they are not sent.
struct NoRows(Option<Vec<u8>>);

impl MachineSnapshot for NoRows {
    fn mark(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    fn next(&mut self, _: usize) -> Result<Option<Chunk>, MachineError> {
        Ok(None)
    }
}
