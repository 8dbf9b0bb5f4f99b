//! Our log as openraft's.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, Entry, LogId, LogState, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote,
};

use super::applier::Applier;
use super::types::{
    Types, entry_id, entry_of_record, entry_to_record, log_id, vote_of_record, vote_to_record,
};
use crate::limits::APPEND_MAX_BYTES;
use crate::log::{Done, Log, LogError};

type Failure = StorageError<u64>;

/// The log, and the machine that must be persisted before entries are given up.
#[derive(Clone)]
pub(crate) struct Store {
    log: Log,
    applier: Arc<Applier>,
}

impl Store {
    pub(crate) fn new(log: Log, applier: Arc<Applier>) -> Self {
        Self { log, applier }
    }

    async fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry<Types>>, Failure> {
        let entries = match self.log.read_cached(start, end, max_bytes) {
            Some(entries) => entries,
            None => {
                let log = self.log.clone();
                tokio::task::spawn_blocking(move || log.read(start, end, max_bytes))
                    .await
                    .map_err(|error| StorageIOError::read_logs(AnyError::new(&error)))?
                    .map_err(|error| StorageIOError::read_logs(AnyError::new(&error)))?
            }
        };
        let readable: Option<Vec<_>> = entries.into_iter().map(entry_of_record).collect();
        let unreadable =
            || StorageIOError::read_logs(AnyError::error("an entry with members is not readable"));
        Ok(readable.ok_or_else(unreadable)?)
    }
}

/// Starts a write and waits until it is durable.
async fn durable(begin: impl FnOnce(Done) -> Result<(), LogError>) -> Result<(), LogError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody waits any more if the receiver is gone.
    begin(Box::new(move |result| drop(sender.send(result))))?;
    receiver.await.unwrap_or(Err(LogError::Closed))
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, Failure> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<Types>>, Failure> {
        let mut entries = self.read(start, end, APPEND_MAX_BYTES).await?;
        // Purged meanwhile: nothing rather than what does not follow. The leader looks again.
        if entries.first().is_some_and(|first| first.log_id.index != start) {
            entries.clear();
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, Failure> {
        Ok(LogState {
            last_purged_log_id: self.log.state().purged.map(log_id),
            last_log_id: self.log.last().map(log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), Failure> {
        let vote = vote_to_record(vote);
        durable(|done| self.log.vote(vote, done))
            .await
            .map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, Failure> {
        Ok(self.log.state().vote.map(vote_of_record))
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), Failure> {
        self.log.note_committed(committed.as_ref().map(entry_id));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, Failure> {
        Ok(self.log.state().committed.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), Failure>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(entry_to_record).collect();
        let done: Done = Box::new(move |result| callback.log_io_completed(result.map_err(io::Error::other)));
        self.log
            .append(entries, done)
            .map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }

    async fn truncate(&mut self, since: LogId<u64>) -> Result<(), Failure> {
        self.log
            .cut(since.index)
            .map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), Failure> {
        self.applier.persist_upto(upto.index).await?;
        durable(|done| self.log.purge(entry_id(&upto), done))
            .await
            .map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }
}
