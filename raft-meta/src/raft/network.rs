//! What openraft sends, given to whoever carries it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, Snapshot, StorageIOError, Vote};

use super::message;
use super::snapshot::SnapshotData;
use super::types::{Mark, Peer, Types};
use crate::limits::{SNAPSHOT_CHUNK_MAX_BYTES, SNAPSHOT_STEP_TIMEOUT_S};
use crate::machine::{Chunk, MachineError, MachineSnapshot};
use crate::wire::{CallError, Carrier, Destination, Method};

type Failed = RPCError<u64, Peer, RaftError<u64>>;

/// Makes a [`Link`] to each member.
pub(super) struct Network {
    pub(super) carrier: Arc<dyn Carrier>,
}

/// The way to one member.
pub(super) struct Link {
    carrier: Arc<dyn Carrier>,
    to: Destination,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Link {
        Link {
            carrier: Arc::clone(&self.carrier),
            to: Destination {
                member: target,
                address: node.address.clone(),
            },
        }
    }
}

impl Link {
    async fn call<T>(
        &self,
        method: Method,
        body: Bytes,
        read: impl FnOnce(Bytes) -> Option<T>,
    ) -> Result<T, CallError> {
        let answer = self.carrier.call(&self.to, method, body).await?;
        read(answer).ok_or_else(|| CallError::Lost("the answer is not readable".to_owned()))
    }

    /// A step of a snapshot, which may take as long as the other's disk.
    async fn step<T>(
        &self,
        method: Method,
        body: Bytes,
        read: impl FnOnce(Bytes) -> Option<T>,
    ) -> Result<T, Broken> {
        let limit = Duration::from_secs(SNAPSHOT_STEP_TIMEOUT_S);
        match tokio::time::timeout(limit, self.call(method, body, read)).await {
            Ok(result) => result.map_err(Broken::Way),
            Err(_) => Err(Broken::Way(CallError::Lost("no answer in time".to_owned()))),
        }
    }

    async fn send_snapshot(&self, vote: &Vote<u64>, snapshot: Snapshot<Types>) -> Result<Vote<u64>, Broken> {
        let SnapshotData::Outgoing(mut view) = *snapshot.snapshot else {
            let wrong = "a snapshot that is being taken cannot be sent".to_owned();
            return Err(Broken::Rows(MachineError::Damaged(wrong)));
        };
        let mark = Mark {
            applied: snapshot.meta.last_log_id,
            members: snapshot.meta.last_membership,
        };
        let begin = message::write_snapshot_begin(vote, &mark);
        let number = self
            .step(Method::SNAPSHOT_BEGIN, begin, |mut answer| {
                answer.try_get_u64_le().ok()
            })
            .await?;
        let mut chunks = 0;
        loop {
            let (back, rows) = next_rows(view).await?;
            view = back;
            let Some(rows) = rows else { break };
            let body = message::write_rows(number, chunks, &rows);
            self.step(Method::SNAPSHOT_ROWS, body, |_| Some(())).await?;
            chunks += 1;
        }
        let end = message::write_snapshot_end(number, chunks);
        self.step(Method::SNAPSHOT_END, end, message::read_vote).await
    }
}

/// Why a snapshot did not get there.
enum Broken {
    Way(CallError),
    Rows(MachineError),
}

/// Reads the next rows where blocking hurts nobody.
async fn next_rows(
    mut view: Box<dyn MachineSnapshot>,
) -> Result<(Box<dyn MachineSnapshot>, Option<Chunk>), Broken> {
    let read = tokio::task::spawn_blocking(move || {
        let rows = view.next(SNAPSHOT_CHUNK_MAX_BYTES)?;
        Ok((view, rows))
    });
    let ended = |error: tokio::task::JoinError| Broken::Rows(MachineError::Disk(error.to_string()));
    read.await.map_err(ended)?.map_err(Broken::Rows)
}

fn failed(error: CallError) -> Failed {
    match error {
        CallError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&error)),
        CallError::Lost(_) | CallError::Refused(_) => RPCError::Network(NetworkError::new(&error)),
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed> {
        let body = message::write_append(request);
        self.call(Method::APPEND, body, message::read_append_answer)
            .await
            .map_err(failed)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed> {
        let body = message::write_vote_request(&request);
        self.call(Method::VOTE, body, message::read_vote_answer)
            .await
            .map_err(failed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = self.send_snapshot(&vote, snapshot) => sent,
        };
        match sent {
            Ok(vote) => Ok(SnapshotResponse::new(vote)),
            Err(Broken::Way(error)) => Err(Unreachable::new(&error).into()),
            Err(Broken::Rows(error)) => {
                let fault = StorageIOError::read_state_machine(AnyError::new(&error));
                Err(StreamingError::StorageError(fault.into()))
            }
        }
    }

    fn backoff(&self) -> Backoff {
        // A member that starts again is back within the time of an election.
        Backoff::new(std::iter::repeat(Duration::from_millis(200)))
    }
}
