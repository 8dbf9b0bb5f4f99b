//! The state machine as openraft's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError, StorageIOError,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::snapshot::SnapshotData;
use super::types::{Answers, Mark, Peer, StoredMembers, Types};
use crate::limits::APPLY_INLINE_MAX_BYTES;
use crate::machine::{Machine, MachineError};

type Failure = StorageError<u64>;

/// The machine, and what must not happen to it at the same time.
pub(crate) struct Applier {
    machine: Arc<dyn Machine>,
    /// Held by whoever applies, persists or swaps.
    turn: Arc<Mutex<()>>,
    /// Behind the last entry that the machine does not lose any more.
    persisted: AtomicU64,
}

/// openraft's handle: what of the mark it needs often.
pub(crate) struct StateMachine {
    applier: Arc<Applier>,
    mark: Mark,
}

/// Makes snapshots.
pub(crate) struct Builder(Arc<Applier>);

fn read_failed(error: &MachineError) -> Failure {
    StorageIOError::read_state_machine(AnyError::new(error)).into()
}

fn write_failed(error: &MachineError) -> Failure {
    StorageIOError::write_state_machine(AnyError::new(error)).into()
}

fn mark_of(bytes: Option<&[u8]>) -> Result<Mark, MachineError> {
    let damaged = || MachineError::Damaged("its mark is not readable".to_owned());
    bytes.map_or_else(
        || Ok(Mark::default()),
        |bytes| Mark::read(bytes).ok_or_else(damaged),
    )
}

fn behind(id: Option<&LogId<u64>>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// Runs what may block for long where that hurts nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MachineError> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::from(StorageIOError::write_state_machine(AnyError::new(&error))))?
        .map_err(|error| write_failed(&error))
}

impl Applier {
    pub(crate) fn new(machine: Arc<dyn Machine>) -> Arc<Self> {
        Arc::new(Self {
            machine,
            turn: Arc::default(),
            persisted: AtomicU64::new(0),
        })
    }

    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Makes the machine keep what it has applied up to an index.
    pub(crate) async fn persist_upto(&self, index: u64) -> Result<(), Failure> {
        if self.persisted.load(Ordering::Acquire) <= index {
            let turn = self.turn().await;
            self.persist(&turn).await?;
        }
        Ok(())
    }

    async fn persist(&self, _turn: &OwnedMutexGuard<()>) -> Result<(), Failure> {
        let machine = Arc::clone(&self.machine);
        let applied = blocking(move || {
            let applied = machine.applied()?;
            machine.persist()?;
            Ok(applied)
        })
        .await?;
        let mark = mark_of(applied.as_deref()).map_err(|error| read_failed(&error))?;
        self.persisted
            .fetch_max(behind(mark.applied.as_ref()), Ordering::AcqRel);
        Ok(())
    }

    /// A view of the rows as they are.
    async fn view(&self) -> Result<Snapshot<Types>, Failure> {
        let machine = Arc::clone(&self.machine);
        let view = blocking(move || machine.snapshot()).await?;
        let mark = mark_of(view.mark()).map_err(|error| read_failed(&error))?;
        Ok(Snapshot {
            meta: meta(&mark),
            snapshot: Box::new(SnapshotData::Outgoing(view)),
        })
    }

    /// Applies commands and answers each. Small lots are done here and now: handing them over takes longer.
    async fn apply(
        &self,
        commands: Vec<Option<Vec<u8>>>,
        bytes: usize,
        mark: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        if bytes <= APPLY_INLINE_MAX_BYTES {
            return self
                .machine
                .apply(commands, &mark)
                .map_err(|error| write_failed(&error));
        }
        let machine = Arc::clone(&self.machine);
        blocking(move || machine.apply(commands, &mark)).await
    }
}

fn meta(mark: &Mark) -> SnapshotMeta<u64, Peer> {
    let name = mark.applied.map_or_else(String::new, |id| {
        format!("{}-{}-{}", id.leader_id.term, id.leader_id.node_id, id.index)
    });
    SnapshotMeta {
        last_log_id: mark.applied,
        last_membership: mark.members.clone(),
        snapshot_id: name,
    }
}

impl StateMachine {
    pub(crate) fn new(applier: Arc<Applier>) -> Result<Self, MachineError> {
        let applied = applier.machine.applied()?;
        let mark = mark_of(applied.as_deref())?;
        Ok(Self { applier, mark })
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembers), Failure> {
        Ok((self.mark.applied, self.mark.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, Failure>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut commands = Vec::new();
        let mut bytes = 0;
        // How many commands each entry has; none is one without an answer.
        let mut counts = Vec::new();
        for entry in entries {
            self.mark.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {
                    commands.push(None);
                    counts.push(None);
                }
                EntryPayload::Membership(members) => {
                    self.mark.members = StoredMembers::new(Some(entry.log_id), members);
                    commands.push(None);
                    counts.push(None);
                }
                EntryPayload::Normal(list) => {
                    let split = list.split().ok_or_else(|| {
                        let damaged = AnyError::error("an entry does not hold commands");
                        Failure::from(StorageIOError::read_log_entry(entry.log_id, damaged))
                    })?;
                    bytes += list.0.len();
                    counts.push(Some(split.len()));
                    commands.extend(split.into_iter().map(|command| Some(command.to_vec())));
                }
            }
        }
        let expected = commands.len();
        let mark = self.mark.write();
        let turn = self.applier.turn().await;
        let answers = self.applier.apply(commands, bytes, mark).await?;
        drop(turn);
        if answers.len() != expected {
            let wrong = format!("{} answers to {expected} commands", answers.len());
            return Err(write_failed(&MachineError::Damaged(wrong)));
        }
        let mut answers = answers.into_iter();
        Ok(counts
            .into_iter()
            .map(|count| match count {
                Some(count) => Answers(answers.by_ref().take(count).collect()),
                None => {
                    answers.next();
                    Answers::default()
                }
            })
            .collect())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder(Arc::clone(&self.applier))
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, Failure> {
        let machine = Arc::clone(&self.applier.machine);
        let install = blocking(move || machine.install()).await?;
        Ok(Box::new(SnapshotData::Incoming(install)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, Peer>,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), Failure> {
        let mark = Mark {
            applied: meta.last_log_id,
            members: meta.last_membership.clone(),
        };
        let turn = self.applier.turn().await;
        let (machine, bytes) = (Arc::clone(&self.applier.machine), mark.write());
        blocking(move || snapshot.finish(|| machine.install(), &bytes)).await?;
        drop(turn);
        self.applier
            .persisted
            .fetch_max(behind(mark.applied.as_ref()), Ordering::AcqRel);
        self.mark = mark;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, Failure> {
        if self.mark.applied.is_none() {
            return Ok(None);
        }
        Ok(Some(self.applier.view().await?))
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    /// Makes what was applied durable: the log may be purged up to there, and the live rows are the snapshot.
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, Failure> {
        let turn = self.0.turn().await;
        self.0.persist(&turn).await?;
        self.0.view().await
    }
}
