//! Commands on their way into the log: those that wait together become one entry.
//!
//! openraft writes each entry by itself and waits until it is durable, so a command an entry would be a flush of the
//! device a command. What queues while an entry is on its way goes into the next; no timer delays a lone command.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::error::{ClientWriteError, ForwardToLeader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::types::{Answers, CommandList, Commands, Peer, Raft};
use crate::limits::{
    COMMAND_MAX_BYTES, COMMANDS_QUEUED_MAX_BYTES, COMMANDS_QUEUED_MAX_COUNT, ENTRIES_IN_FLIGHT_MAX_COUNT,
    ENTRY_COMMANDS_MAX_COUNT, ENTRY_TARGET_BYTES, LEADER_PATIENCE_S,
};
use crate::wire::{CallError, Carrier, Destination, Method, Refusal};

/// What became of a command that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Index of its entry: whoever has applied it sees what the command did.
    pub index: u64,
    /// What the state machine said.
    pub answer: Vec<u8>,
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It is longer than [`COMMAND_MAX_BYTES`]. Not applied.
    #[error("a command of {0} bytes is too long")]
    TooLong(usize),
    /// No member leads, or it cannot be reached. Not applied; try again later.
    #[error("the metadata cluster is not available: {0}")]
    Unavailable(String),
    /// It may or may not have been applied.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Answers of an entry, and its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) index: u64,
    pub(super) answers: Answers,
}

impl Batch {
    /// # Layout
    ///
    /// Index (8), answers.
    pub(super) fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_u64_le(self.index);
        self.answers.write(&mut to);
        to.freeze()
    }

    pub(super) fn read(mut from: Bytes) -> Option<Self> {
        let index = from.try_get_u64_le().ok()?;
        let answers = Answers::read(from)?;
        Some(Self { index, answers })
    }
}

type Outcome = Result<Batch, ProposeError>;

struct Proposal {
    commands: Commands,
    answer: oneshot::Sender<Outcome>,
    /// Whether another member may be asked: not if it came from one.
    forward: bool,
    _room: OwnedSemaphorePermit,
}

/// Takes commands.
#[derive(Clone)]
pub(super) struct Proposer {
    queue: mpsc::Sender<Proposal>,
    room: Arc<Semaphore>,
}

/// What an entry on its way needs.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) raft: Raft,
    pub(super) carrier: Arc<dyn Carrier>,
    /// Whether nothing may be proposed here, for leadership is being handed over.
    pub(super) paused: watch::Receiver<bool>,
}

impl Proposer {
    pub(super) fn start(way: Way) -> Self {
        let (queue, proposals) = mpsc::channel(COMMANDS_QUEUED_MAX_COUNT);
        tokio::spawn(run(way, proposals));
        Self {
            queue,
            room: Arc::new(Semaphore::new(COMMANDS_QUEUED_MAX_BYTES)),
        }
    }

    pub(super) async fn propose(&self, commands: Commands, forward: bool) -> Outcome {
        let bytes = commands.0.len();
        if bytes > COMMAND_MAX_BYTES + 16 {
            return Err(ProposeError::TooLong(bytes));
        }
        let stopped = || ProposeError::Unavailable("the member is stopping".to_owned());
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let (answer, outcome) = oneshot::channel();
        let proposal = Proposal {
            commands,
            answer,
            forward,
            _room: room.map_err(|_| stopped())?,
        };
        self.queue.send(proposal).await.map_err(|_| stopped())?;
        let lost = || ProposeError::Unknown("the member is stopping".to_owned());
        outcome.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Makes entries of what waits and sends them on their way.
async fn run(way: Way, mut proposals: mpsc::Receiver<Proposal>) {
    let mut waiting = Vec::new();
    let mut flights = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = flights.next() => {}
            count = proposals.recv_many(&mut waiting, ENTRY_COMMANDS_MAX_COUNT),
                if flights.len() < ENTRIES_IN_FLIGHT_MAX_COUNT => {
                if count == 0 {
                    break;
                }
                for lot in lots(&mut waiting) {
                    flights.push(fly(way.clone(), lot));
                }
            }
        }
    }
    while flights.next().await.is_some() {}
}

/// Cuts what waits into lots for one entry each.
fn lots(waiting: &mut Vec<Proposal>) -> Vec<Vec<Proposal>> {
    let mut lots = vec![Vec::new()];
    let mut bytes = 0;
    for proposal in waiting.drain(..) {
        let more = proposal.commands.0.len();
        let other = |last: &Vec<Proposal>| {
            last.first()
                .is_some_and(|first| first.forward != proposal.forward)
        };
        if bytes > 0 && (bytes + more > ENTRY_TARGET_BYTES || lots.last().is_some_and(other)) {
            lots.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(last) = lots.last_mut() {
            last.push(proposal);
        }
    }
    lots
}

/// Brings a lot into the log, here or at the leader, and answers each.
async fn fly(way: Way, lot: Vec<Proposal>) {
    let forward = lot.first().is_some_and(|first| first.forward);
    let commands = match &lot[..] {
        [only] => only.commands.clone(),
        many => {
            let mut list = CommandList::new();
            many.iter().for_each(|proposal| list.push_all(&proposal.commands));
            list.finish()
        }
    };
    let mut outcome = way.bring(commands, forward).await;
    for proposal in lot {
        let count = proposal.commands.count() as usize;
        let own = match &mut outcome {
            Ok(batch) => Ok(Batch {
                index: batch.index,
                answers: Answers(
                    batch
                        .answers
                        .0
                        .drain(..count.min(batch.answers.0.len()))
                        .collect(),
                ),
            }),
            Err(error) => Err(error.clone()),
        };
        // One who waits no more has given up.
        let _ = proposal.answer.send(own);
    }
}

/// Why an attempt came to nothing; another may be made.
enum NotYet {
    /// Another member leads, if one does.
    Elsewhere(Option<Destination>),
    Failed(ProposeError),
}

impl Way {
    async fn bring(&self, commands: Commands, forward: bool) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(LEADER_PATIENCE_S);
        let mut why = "no member leads".to_owned();
        loop {
            let leader = match self.here(commands.clone()).await {
                Ok(batch) => return Ok(batch),
                Err(NotYet::Failed(error)) => return Err(error),
                Err(NotYet::Elsewhere(leader)) => leader,
            };
            if !forward {
                return Err(ProposeError::Unavailable("another member leads".to_owned()));
            }
            if let Some(leader) = leader {
                match self.there(&leader, &commands).await {
                    Ok(batch) => return Ok(batch),
                    Err(NotYet::Failed(ProposeError::Unavailable(reason))) => why = reason,
                    Err(NotYet::Failed(error)) => return Err(error),
                    Err(NotYet::Elsewhere(_)) => {}
                }
            }
            if Instant::now() >= deadline {
                return Err(ProposeError::Unavailable(why));
            }
            // An election takes some hundred milliseconds.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Proposes to our own Raft.
    async fn here(&self, commands: Commands) -> Result<Batch, NotYet> {
        // An error is the end of the sender, and with it of the member.
        let _ = self.paused.clone().wait_for(|paused| !paused).await;
        let gone = |_| NotYet::Failed(ProposeError::Unknown("the member has failed".to_owned()));
        let receiver = self.raft.client_write_ff(commands).await.map_err(gone)?;
        match receiver.await {
            Ok(Ok(response)) => Ok(Batch {
                index: response.log_id.index,
                answers: response.data,
            }),
            Ok(Err(ClientWriteError::ForwardToLeader(to))) => Err(NotYet::Elsewhere(destination(to))),
            Ok(Err(error @ ClientWriteError::ChangeMembershipError(_))) => {
                Err(NotYet::Failed(ProposeError::Unknown(error.to_string())))
            }
            Err(_) => Err(NotYet::Failed(ProposeError::Unknown(
                "the member is stopping".to_owned(),
            ))),
        }
    }

    /// Asks the leader to propose.
    async fn there(&self, leader: &Destination, commands: &Commands) -> Result<Batch, NotYet> {
        let failed = |error| Err(NotYet::Failed(error));
        match self
            .carrier
            .call(leader, Method::PROPOSE, commands.0.clone())
            .await
        {
            Ok(answer) => match Batch::read(answer) {
                Some(batch) => Ok(batch),
                None => failed(ProposeError::Unknown("the answer is not readable".to_owned())),
            },
            Err(CallError::Refused(Refusal::NotLeader(leader))) => Err(NotYet::Elsewhere(leader)),
            Err(CallError::Unreachable(why) | CallError::Refused(Refusal::NotNow(why))) => {
                failed(ProposeError::Unavailable(why))
            }
            Err(error) => failed(ProposeError::Unknown(error.to_string())),
        }
    }
}

/// Where a leader is reached, if one is known.
pub(super) fn destination(to: ForwardToLeader<u64, Peer>) -> Option<Destination> {
    Some(Destination {
        member: to.leader_id?,
        address: to.leader_node?.address,
    })
}
