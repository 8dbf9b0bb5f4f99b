//! What other members ask of this one's Raft.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use openraft::{Snapshot, SnapshotMeta, Vote};

use super::message;
use super::snapshot::SnapshotData;
use super::types::{Mark, Raft};
use crate::machine::{Chunk, MachineInstall};
use crate::wire::{Method, Refusal};

/// Answers members.
pub(super) struct Rpc {
    raft: Raft,
    receiving: Mutex<Receiving>,
}

/// The snapshot that is being taken; a new one takes the place of one that stalled.
#[derive(Default)]
struct Receiving {
    last_number: u64,
    current: Option<Taking>,
}

struct Taking {
    number: u64,
    next_chunk: u32,
    vote: Vote<u64>,
    mark: Mark,
    install: Box<dyn MachineInstall>,
}

fn unreadable() -> Refusal {
    Refusal::BadRequest("the message is not readable".to_owned())
}

impl Rpc {
    pub(super) fn new(raft: Raft) -> Self {
        Self {
            raft,
            receiving: Mutex::default(),
        }
    }

    pub(super) async fn call(&self, method: Method, body: Bytes) -> Result<Bytes, Refusal> {
        match method {
            Method::VOTE => {
                let request = message::read_vote_request(body).ok_or_else(unreadable)?;
                let answer = self.raft.vote(request).await.map_err(stopped)?;
                Ok(message::write_vote_answer(&answer))
            }
            Method::APPEND => {
                let request = message::read_append(body).ok_or_else(unreadable)?;
                let answer = self.raft.append_entries(request).await.map_err(stopped)?;
                Ok(message::write_append_answer(&answer))
            }
            Method::SNAPSHOT_BEGIN => {
                let (vote, mark) = message::read_snapshot_begin(body).ok_or_else(unreadable)?;
                self.begin(vote, mark).await
            }
            Method::SNAPSHOT_ROWS => {
                let (number, chunk, rows) = message::read_rows(body).ok_or_else(unreadable)?;
                self.rows(number, chunk, rows).await
            }
            Method::SNAPSHOT_END => {
                let (number, chunks) = message::read_snapshot_end(body).ok_or_else(unreadable)?;
                self.end(number, chunks).await
            }
            Method(other) => Err(Refusal::BadRequest(format!("method {other} is not known"))),
        }
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, vote: Vote<u64>, mark: Mark) -> Result<Bytes, Refusal> {
        let mine = self
            .raft
            .with_raft_state(|state| *state.vote_ref())
            .await
            .map_err(stopped)?;
        if vote < mine {
            return Err(Refusal::NotNow("a snapshot of a leader of the past".to_owned()));
        }
        let data = self.raft.begin_receiving_snapshot().await.map_err(stopped)?;
        let SnapshotData::Incoming(install) = *data else {
            return Err(Refusal::NotNow("no snapshot can be taken".to_owned()));
        };
        let mut receiving = self.receiving();
        receiving.last_number += 1;
        let number = receiving.last_number;
        receiving.current = Some(Taking {
            number,
            next_chunk: 0,
            vote,
            mark,
            install,
        });
        let mut answer = BytesMut::with_capacity(8);
        answer.put_u64_le(number);
        Ok(answer.freeze())
    }

    /// Takes the snapshot out if it is this one and as far as that.
    fn take(&self, number: u64, chunk: u32) -> Result<Taking, Refusal> {
        self.receiving()
            .current
            .take_if(|taking| taking.number == number && taking.next_chunk == chunk)
            .ok_or_else(|| Refusal::NotNow("this snapshot is not being taken".to_owned()))
    }

    async fn rows(&self, number: u64, chunk: u32, rows: Chunk) -> Result<Bytes, Refusal> {
        let mut taking = self.take(number, chunk)?;
        let put = tokio::task::spawn_blocking(move || taking.install.put(rows).map(|()| taking));
        let mut taking = put
            .await
            .map_err(|error| Refusal::Failed(error.to_string()))?
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        taking.next_chunk += 1;
        let mut receiving = self.receiving();
        // Another may have begun meanwhile.
        if receiving.last_number == number {
            receiving.current = Some(taking);
        }
        Ok(Bytes::new())
    }

    async fn end(&self, number: u64, chunks: u32) -> Result<Bytes, Refusal> {
        let taking = self.take(number, chunks)?;
        let name = taking.mark.applied.map_or_else(String::new, |id| id.to_string());
        let snapshot = Snapshot {
            meta: SnapshotMeta {
                last_log_id: taking.mark.applied,
                last_membership: taking.mark.members,
                snapshot_id: name,
            },
            snapshot: Box::new(SnapshotData::Incoming(taking.install)),
        };
        let answer = self
            .raft
            .install_full_snapshot(taking.vote, snapshot)
            .await
            .map_err(stopped)?;
        Ok(message::write_vote(&answer.vote))
    }
}

fn stopped(error: impl std::error::Error) -> Refusal {
    Refusal::Failed(error.to_string())
}
